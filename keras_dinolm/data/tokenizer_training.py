"""Learning a vocabulary from a corpus."""

import collections
from typing import TYPE_CHECKING

from keras_dinolm.data.arguments import check_flag
from keras_dinolm.data.arguments import check_integer
from keras_dinolm.data.corpora.documents import Texts
from keras_dinolm.data.corpora.documents import read_documents
from keras_dinolm.text.encoder import SUFFIX_INDICATOR
from keras_dinolm.text.encoder import UNKNOWN
from keras_dinolm.text.normalization import normalize

if TYPE_CHECKING:
    from keras_dinolm.models import DinoLMTokenizer


def train_tokenizer(
    corpus: Texts,
    vocabulary_size: int = 8_192,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    alphabet_size: int | None = None,
    minimum_frequency: int = 2,
    show_progress: bool = True,
) -> "DinoLMTokenizer":
    """Learns a WordPiece vocabulary from a corpus.

    The result depends on the counts of words alone, not on the order of the
    documents, the number of threads or the run. The corpus is read once, and
    only its distinct words are held in memory.

    Args:
        corpus: iterable of `str`, `Document`, or mappings with `"text"`.
            Alternates of a document count as text, too.
        vocabulary_size: int. Number of ids, the five special ones included.
            A small corpus may give fewer. Defaults to `8192`.
        lowercase: bool. Whether letters are lower-cased. Defaults to `True`.
        strip_accents: bool. Whether accents are removed. Defaults to the value
            of `lowercase`.
        alphabet_size: int. How many characters the vocabulary can spell, the
            most frequent ones. A word with any other is `[UNK]`. Defaults to
            an eighth of the vocabulary, but at least 128 (where there is room)
            and at most 1,000.
        minimum_frequency: int. A character or a pair of pieces must occur
            this often to get an id. Defaults to `2`.
        show_progress: bool. Whether to show a progress bar.

    Returns:
        A `keras_dinolm.models.DinoLMTokenizer`.

    Raises:
        ValueError: if the corpus holds no word, or `vocabulary_size` leaves
            no room for its characters.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "a cat and a mat"] * 10
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=64)
    tokenizer.tokenize("the mat")
    ```
    """
    import tokenizers

    from keras_dinolm.models.tasks.tokenizer import SPECIAL_TOKENS
    from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer

    check_integer("vocabulary_size", vocabulary_size, 1)
    lowercase = check_flag("lowercase", lowercase)
    if strip_accents is None:
        strip_accents = lowercase
    strip_accents = check_flag("strip_accents", strip_accents)
    if alphabet_size is not None:
        check_integer("alphabet_size", alphabet_size, 1)
    check_integer("minimum_frequency", minimum_frequency, 1)
    words = _count_words(corpus, lowercase, strip_accents, show_progress)
    alphabet = _most_frequent_characters(
        words,
        alphabet_size or _default_alphabet_size(vocabulary_size),
        minimum_frequency,
    )
    # Every character gets its ids, alone and inside a word, before training.
    # The trainer would number them in the random order of a hash map, and
    # break ties between merges by these numbers.
    inside = _characters_inside_words(words, alphabet)
    pieces = sorted(alphabet) + [SUFFIX_INDICATOR + c for c in sorted(inside)]
    if len(SPECIAL_TOKENS) + len(pieces) > vocabulary_size:
        raise ValueError(
            "`vocabulary_size` must leave room for the characters. Received: "
            f"vocabulary_size={vocabulary_size}, while the corpus needs "
            f"{len(pieces)} for its characters and {len(SPECIAL_TOKENS)} "
            "special tokens. Raise it, or set a lower `alphabet_size`."
        )
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        min_frequency=minimum_frequency,
        show_progress=False,
        special_tokens=[*SPECIAL_TOKENS, *pieces],
        continuing_subword_prefix=SUFFIX_INDICATOR,
        limit_alphabet=len(alphabet),
        initial_alphabet=sorted(alphabet),
    )
    model = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=UNKNOWN))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    model.train_from_iterator(_repeat(words, alphabet), trainer)
    vocabulary = model.get_vocab(with_added_tokens=True)
    return DinoLMTokenizer(
        sorted(vocabulary, key=vocabulary.__getitem__),
        lowercase=lowercase,
        strip_accents=strip_accents,
    )


def _count_words(corpus, lowercase, strip_accents, show_progress):
    words = collections.Counter()
    documents = 0
    for document in read_documents(corpus, "Counting words", show_progress):
        documents += 1
        for text in (document.text, *document.alternates):
            words.update(normalize(text, lowercase, strip_accents).split())
    if not words:
        raise ValueError(
            "A tokenizer needs text to learn from. Received: a corpus of "
            f"{documents} documents without a single word. Check the path or "
            "the iterable (an iterator can be read only once)."
        )
    return words


def _default_alphabet_size(vocabulary_size):
    # A character takes two ids: one at the start of a word, one inside.
    room = max((vocabulary_size - 8) // 2, 1)
    return min(max(vocabulary_size // 8, min(128, room)), 1_000)


def _most_frequent_characters(words, size, minimum_frequency):
    counts = collections.Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    ranked = sorted(counts, key=lambda c: (-counts[c], c))
    kept = [c for c in ranked[:size] if counts[c] >= minimum_frequency]
    return set(kept or ranked[:size])


def _characters_inside_words(words, alphabet):
    """Characters that some word has after its first."""
    inside = set()
    for word in words:
        inside.update(word[1:])
    return inside & alphabet


def _repeat(words, alphabet, chunk=1_000):
    """Yields every word as often as the corpus has it, in a fixed order."""
    for word in sorted(words):
        # Parts of a word that cannot be spelled would count too much.
        if not alphabet.issuperset(word):
            continue
        count = words[word]
        for start in range(0, count, chunk):
            yield (word + " ") * min(chunk, count - start)
