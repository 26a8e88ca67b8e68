"""Learning a vocabulary from a corpus."""

import collections
import sys
from typing import TYPE_CHECKING

from keras_dinolm import arguments
from keras_dinolm.data.alphabet import Alphabet
from keras_dinolm.data.corpora.documents import Texts
from keras_dinolm.data.corpora.documents import read_documents
from keras_dinolm.data.unknown_rates import rates_by_script
from keras_dinolm.data.unknown_rates import warn_of_unknown
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

    A warning names the scripts of which this vocabulary does not know at least
    one word in a hundred. `keras_dinolm.data.unknown_rates` counts the unknown
    words of any texts.

    Args:
        corpus: iterable of `str`, `Document`, or mappings with `"text"`.
            Alternates of a document count as text, too.
        vocabulary_size: int. Number of ids, the five special ones included.
            A small corpus may give fewer. Defaults to `8192`.
        lowercase: bool. Whether letters are lower-cased. Defaults to `True`.
        strip_accents: bool. Whether accents are removed. Defaults to the value
            of `lowercase`.
        alphabet_size: int. How many characters the vocabulary can spell, the
            most frequent ones. A word with any other is `[UNK]`. By default,
            an eighth of the vocabulary, but at least 128 (where there is room)
            and at most 1,000. A corpus of many characters gets as many more as
            its text needs, in up to half of the ids. Where learned words leave
            ids unused, further characters fill them, also rare ones.
        minimum_frequency: int. A character or a pair of pieces must occur
            this often to get an id. A rarer character gets one only if it
            would stay unused. Defaults to `2`.
        show_progress: bool. Whether to show a progress bar, and the share of
            unknown words of each script. Defaults to `True`.

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
    from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer

    vocabulary_size = arguments.count("vocabulary_size", vocabulary_size)
    lowercase = arguments.flag("lowercase", lowercase)
    if strip_accents is None:
        strip_accents = lowercase
    strip_accents = arguments.flag("strip_accents", strip_accents)
    if alphabet_size is not None:
        alphabet_size = arguments.integer("alphabet_size", alphabet_size, 1)
    minimum_frequency = arguments.count("minimum_frequency", minimum_frequency)
    show_progress = arguments.flag("show_progress", show_progress)
    words = _count_words(corpus, lowercase, strip_accents, show_progress)
    alphabet = Alphabet(words, minimum_frequency)
    if alphabet_size is None:
        alphabet.choose_by_default(vocabulary_size)
    else:
        alphabet.choose(alphabet_size)
    vocabulary = _learn(words, alphabet, vocabulary_size, minimum_frequency)
    # With further characters there are further words to learn from.
    while alphabet_size is None and alphabet.fill(
        vocabulary_size - len(vocabulary)
    ):
        vocabulary = _learn(words, alphabet, vocabulary_size, minimum_frequency)
    _report(words, alphabet, vocabulary_size, show_progress)
    return DinoLMTokenizer(
        vocabulary, lowercase=lowercase, strip_accents=strip_accents
    )


def _learn(words, alphabet, vocabulary_size, minimum_frequency):
    """The list of tokens that an alphabet and the counts of words give."""
    import tokenizers

    from keras_dinolm.models.tasks.tokenizer import SPECIAL_TOKENS

    # Every character gets its ids, alone and inside a word, before training.
    # The trainer would number them in the random order of a hash map, and
    # break ties between merges by these numbers.
    pieces = alphabet.pieces(SUFFIX_INDICATOR)
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
        limit_alphabet=len(alphabet.characters),
        initial_alphabet=sorted(alphabet.characters),
    )
    model = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=UNKNOWN))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    model.train_from_iterator(_repeat(words, alphabet), trainer)
    ids = model.get_vocab(with_added_tokens=True)
    return sorted(ids, key=ids.__getitem__)


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


def _repeat(words, alphabet, chunk=1_000):
    """Yields every word as often as the corpus has it, in a fixed order."""
    for word in sorted(words):
        # Parts of a word that cannot be spelled would count too much.
        if not alphabet.spells(word):
            continue
        count = words[word]
        for start in range(0, count, chunk):
            yield (word + " ") * min(chunk, count - start)


def _report(words, alphabet, vocabulary_size, show):
    unknown = [word for word in words if not alphabet.spells(word)]
    rates = rates_by_script(words, unknown)
    if show:
        from tqdm import tqdm

        listed = ", ".join(
            f"{script} {100 * rate:.2f} % of {count:,}"
            for script, (rate, count) in rates.items()
        )
        tqdm.write(f"Unknown words: {listed}", file=sys.stderr)
    warn_of_unknown(
        rates,
        "Raise `vocabulary_size` (here "
        f"{vocabulary_size:,}) or `alphabet_size`, lower `minimum_frequency`, "
        "or give a corpus with more of their text.",
    )
