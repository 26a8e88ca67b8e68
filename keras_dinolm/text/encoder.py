"""Text to ids in Rust, for plain Python and for many processes at once."""

import itertools

import tokenizers

from keras_dinolm.text.normalization import normalize

UNKNOWN = "[UNK]"
SUFFIX_INDICATOR = "##"

# How many words are remembered with their ids, in some 100 MB.
_MAXIMUM_WORDS = 500_000


class Encoder:
    """WordPiece of normalised text by Hugging Face `tokenizers`.

    The ids are those of `DinoLMTokenizer`. This class needs neither Keras nor
    keras-hub, so that worker processes start at once.

    Args:
        vocabulary: list of str. Token of each id.
        lowercase: bool. Whether letters are lower-cased. Defaults to `True`.
        strip_accents: bool. Whether accents are removed. Defaults to `True`.
    """

    def __init__(
        self,
        vocabulary: list[str],
        lowercase: bool = True,
        strip_accents: bool = True,
    ):
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.vocabulary = list(vocabulary)
        ids = {token: index for index, token in enumerate(vocabulary)}
        self.unknown_id = ids[UNKNOWN]
        self._ids_of_word: dict[str, list[int]] = {}
        self._tokenizer = tokenizers.Tokenizer(
            tokenizers.models.WordPiece(
                ids,
                unk_token=UNKNOWN,
                # Longer words were cut by `normalize`.
                max_input_chars_per_word=1_000,
                continuing_subword_prefix=SUFFIX_INDICATOR,
            )
        )
        # Without `add_special_tokens`, "[MASK]" in a text is three words, and
        # no text can contain a special id.
        self._tokenizer.pre_tokenizer = (
            tokenizers.pre_tokenizers.WhitespaceSplit()
        )

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """Returns a list of ids for each text of a list."""
        rows = [
            normalize(text, self.lowercase, self.strip_accents).split()
            for text in texts
        ]
        known = self._learn(set().union(*rows))
        return [
            list(itertools.chain.from_iterable(map(known.__getitem__, row)))
            for row in rows
        ]

    def _learn(self, words):
        # Texts repeat their words, and looking ids up takes a fifth of the
        # time of encoding them again.
        if len(self._ids_of_word) + len(words) > _MAXIMUM_WORDS:
            # A new dict, because another thread may be reading the old one.
            self._ids_of_word = {}
        known = self._ids_of_word
        new = list(words - known.keys())
        encodings = self._tokenizer.encode_batch_fast(
            new, add_special_tokens=False
        )
        for word, encoding in zip(new, encodings):
            known[word] = encoding.ids
        return known
