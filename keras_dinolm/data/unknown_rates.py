"""How much of a text a tokenizer does not know, script by script."""

import collections
import functools
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING
from typing import NamedTuple

from keras_dinolm import arguments
from keras_dinolm.data.corpora.documents import Texts
from keras_dinolm.data.corpora.documents import read_texts
from keras_dinolm.text.encoder import Encoder
from keras_dinolm.text.normalization import normalize

if TYPE_CHECKING:
    from keras_dinolm.models import DinoLMTokenizer

# `train_tokenizer` warns of scripts that are at least this share of a corpus,
# if at least that share of their words is unknown.
_NOTABLE_SCRIPT = 0.01
_NOTABLE_RATE = 0.01


class UnknownRate(NamedTuple):
    """The words of one script in some texts.

    Attributes:
        rate: float. The share of them that is `[UNK]`.
        words: int. How many there are.
    """

    rate: float
    words: int


def unknown_rates(
    tokenizer: "DinoLMTokenizer", texts: Texts, show_progress: bool = False
) -> dict[str, UnknownRate]:
    """Counts the words that are `[UNK]` to a tokenizer, by script.

    What a tokenizer does not know, no encoder can learn. A vocabulary learned
    from English has no tokens for Thai, and nothing else would say so.

    A word belongs to the script of its first letter. Ideographs, punctuation
    marks and syllables of scripts without spaces are words of their own.

    Args:
        tokenizer: `DinoLMTokenizer`.
        texts: iterable of `str`, `Document`, or mappings with `"text"`.
            Alternates of a document count as text, too.
        show_progress: bool. Whether to show a progress bar. Defaults to
            `False`.

    Returns:
        A dict from the Unicode name of a script (such as `"Latin"`, `"Thai"`,
        `"Han"`; `"Common"` for digits and punctuation) to an `UnknownRate`,
        the most frequent script first.

    Raises:
        ValueError: if `tokenizer` or `texts` is something else.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["the cat sat on the mat", "a cat and a mat"] * 10
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=64)
    rates = kd.data.unknown_rates(tokenizer, ["the mat, แมว"])
    assert rates["Latin"] == (0.0, 2)
    assert rates["Thai"].rate == 1.0
    ```
    """
    from keras_dinolm.models import DinoLMTokenizer

    arguments.instance(
        "tokenizer",
        tokenizer,
        DinoLMTokenizer,
        "a `keras_dinolm.models.DinoLMTokenizer`",
    )
    show_progress = arguments.flag("show_progress", show_progress)
    config = tokenizer.encoder_config()
    options = (config["lowercase"], config["strip_accents"])
    words: collections.Counter[str] = collections.Counter()
    for text in read_texts(
        texts, "Counting words", show_progress, True, "texts"
    ):
        words.update(normalize(text, *options).split())
    encoder = Encoder(**config)
    unknown = {
        word
        for word, ids in zip(words, encoder(list(words)))
        if encoder.unknown_id in ids
    }
    return rates_by_script(words, unknown)


def rates_by_script(
    words: dict[str, int], unknown: Iterable[str]
) -> dict[str, UnknownRate]:
    """The unknown rate of each script.

    Args:
        words: dict from each distinct word to how often it occurs.
        unknown: iterable of those words that are unknown.

    Returns:
        A dict from the name of a script to an `UnknownRate`.
    """
    total: dict[str, int] = collections.Counter()
    for word, count in words.items():
        total[script_of(word)] += count
    missed: dict[str, int] = collections.Counter()
    for word in unknown:
        missed[script_of(word)] += words[word]
    ranked = sorted(total, key=lambda script: (-total[script], script))
    return {s: UnknownRate(missed[s] / total[s], total[s]) for s in ranked}


def script_of(word: str) -> str:
    """The Unicode name of the script of a word's first letter."""
    for character in word:
        script = _script(character)
        if script not in ("Common", "Inherited"):
            return script
    return "Common"


@functools.lru_cache(maxsize=1 << 16)
def _script(character):
    from fontTools import unicodedata

    return unicodedata.script_name(unicodedata.script(character))


def warn_of_unknown(rates: dict[str, UnknownRate], cure: str) -> None:
    """Warns of scripts of which much is unknown.

    Args:
        rates: dict from the name of a script to an `UnknownRate`.
        cure: string. A sentence that says what to do.
    """
    least = _NOTABLE_SCRIPT * sum(words for _, words in rates.values())
    notable = [
        f"{100 * rate:.1f} % of the {words:,} words in {script}"
        for script, (rate, words) in rates.items()
        if rate >= _NOTABLE_RATE and words >= least
    ]
    if notable:
        warnings.warn(
            f"This tokenizer does not know {', '.join(notable)}. They all "
            f"become [UNK]. {cure}",
            stacklevel=4,
        )
