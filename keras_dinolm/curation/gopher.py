"""The rules of Gopher: quality and repetition.

The limits are those of the paper, as datatrove implements them.
"""

import functools
from collections.abc import Collection
from collections.abc import Sequence

from keras_dinolm import arguments
from keras_dinolm.curation.parsed_text import ParsedText
from keras_dinolm.curation.rules import Rule
from keras_dinolm.curation.rules import check_pairs
from keras_dinolm.curation.rules import make_rules

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


def gopher_quality(
    minimum_words: int | None = 50,
    maximum_words: int | None = 100_000,
    minimum_mean_word_length: float | None = 3,
    maximum_mean_word_length: float | None = 10,
    maximum_hashes_per_word: float | None = 0.1,
    maximum_ellipses_per_word: float | None = 0.1,
    maximum_bullet_lines: float | None = 0.9,
    maximum_ellipsis_lines: float | None = 0.3,
    minimum_alphabetic_words: float | None = 0.8,
    minimum_stop_words: int | None = 2,
    stop_words: Collection[str] = STOP_WORDS,
) -> list[Rule]:
    """The quality rules of Gopher, for English.

    Each argument makes a rule of the same name; `None` leaves it out. A word
    stands between white space, and punctuation around it does not count.

    Args:
        minimum_words: int. Words of the text. The default of 50 is for web
            pages. Documentation strings are shorter; 20 suits them.
        maximum_words: int. Words of the text. Defaults to 100,000.
        minimum_mean_word_length: float. Mean number of characters of a word.
            Defaults to 3.
        maximum_mean_word_length: float. Mean number of characters of a word.
            Defaults to 10.
        maximum_hashes_per_word: float. Hash signs (#) for each word. Defaults
            to `0.1`.
        maximum_ellipses_per_word: float. Ellipses (... or …) for each word.
            Defaults to `0.1`.
        maximum_bullet_lines: float. Share of lines that begin with a bullet
            (•, ‣, -, *). Defaults to `0.9`.
        maximum_ellipsis_lines: float. Share of lines that end with an
            ellipsis. Defaults to `0.3`.
        minimum_alphabetic_words: float. Share of words with a letter in them.
            Defaults to `0.8`.
        minimum_stop_words: int. How many of the stop words must occur.
            Defaults to `2`.
        stop_words: sequence of str, in lower case. Defaults to Gopher's: the,
            be, to, of, and, that, have, with.

    Returns:
        A list of `Rule` for `filter_quality`.

    Example:

    ```python
    import keras_dinolm as kd

    rules = kd.curation.gopher_quality(minimum_words=3, maximum_words=None)
    report = kd.curation.filter_quality(
        ["to be or not to be", "qxv zzt kwp brr"], rules, show_progress=False
    )
    report.counts["minimum_stop_words"]  # 1
    ```

    Reference:

    - [Rae et al., 2021](https://arxiv.org/abs/2112.11446), appendix A.1.1
    """
    stop_words = arguments.strings("stop_words", stop_words)
    return make_rules(
        ("minimum_words", minimum_words, lambda t: len(t.words)),
        ("maximum_words", maximum_words, lambda t: len(t.words)),
        (
            "minimum_mean_word_length",
            minimum_mean_word_length,
            ParsedText.mean_word_length,
        ),
        (
            "maximum_mean_word_length",
            maximum_mean_word_length,
            ParsedText.mean_word_length,
        ),
        (
            "maximum_hashes_per_word",
            maximum_hashes_per_word,
            lambda t: t.per_word("#"),
        ),
        (
            "maximum_ellipses_per_word",
            maximum_ellipses_per_word,
            ParsedText.ellipses,
        ),
        (
            "maximum_bullet_lines",
            maximum_bullet_lines,
            ParsedText.bullet_lines,
        ),
        (
            "maximum_ellipsis_lines",
            maximum_ellipsis_lines,
            ParsedText.ellipsis_lines,
        ),
        (
            "minimum_alphabetic_words",
            minimum_alphabetic_words,
            ParsedText.alphabetic_words,
        ),
        (
            "minimum_stop_words",
            minimum_stop_words,
            lambda t: t.stop_words(stop_words),
        ),
    )


def gopher_repetition(
    maximum_repeated_lines: float | None = 0.3,
    maximum_repeated_line_characters: float | None = 0.2,
    maximum_repeated_paragraphs: float | None = 0.3,
    maximum_repeated_paragraph_characters: float | None = 0.2,
    maximum_top_ngram: Sequence[tuple[int, float]] = (
        (2, 0.2),
        (3, 0.18),
        (4, 0.16),
    ),
    maximum_repeated_ngrams: Sequence[tuple[int, float]] = (
        (5, 0.15),
        (6, 0.14),
        (7, 0.13),
        (8, 0.12),
        (9, 0.11),
        (10, 0.1),
    ),
) -> list[Rule]:
    """The repetition rules of Gopher, for texts that repeat themselves.

    Shares count characters of words, without spaces, each once. A line, a
    paragraph or a run of words is *repeated* if it occurred before in the same
    text; blank lines do not count.

    Args:
        maximum_repeated_lines: float. Share of lines that are repeated.
            Defaults to `0.3`; `None` leaves the rule out.
        maximum_repeated_line_characters: float. Share of characters in
            repeated lines. Defaults to `0.2`; `None` leaves the rule out.
        maximum_repeated_paragraphs: float. Share of paragraphs that are
            repeated. Defaults to `0.3`; `None` leaves the rule out.
        maximum_repeated_paragraph_characters: float. Share of characters in
            repeated paragraphs. Defaults to `0.2`; `None` leaves the rule
            out.
        maximum_top_ngram: pairs (n, share): what the most frequent run of n
            words may take, if it occurs more than once. Defaults to 0.2 for 2
            words, 0.18 for 3, 0.16 for 4; `()` leaves the rules out.
        maximum_repeated_ngrams: pairs (n, share): what all repeated runs of n
            words may take together. Defaults to 0.15 for 5 words down to 0.1
            for 10.

    Returns:
        A list of `Rule` for `filter_quality`.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["buy it now " * 20, "a cat sat on the mat and then went away"]
    report = kd.curation.filter_quality(
        texts, kd.curation.gopher_repetition(), show_progress=False
    )
    report.kept  # array([1])
    ```

    Reference:

    - [Rae et al., 2021](https://arxiv.org/abs/2112.11446), table A1
    """
    maximum_top_ngram = check_pairs("maximum_top_ngram", maximum_top_ngram)
    maximum_repeated_ngrams = check_pairs(
        "maximum_repeated_ngrams", maximum_repeated_ngrams
    )
    return make_rules(
        (
            "maximum_repeated_lines",
            maximum_repeated_lines,
            ParsedText.repeated_lines,
        ),
        (
            "maximum_repeated_line_characters",
            maximum_repeated_line_characters,
            ParsedText.repeated_line_characters,
        ),
        (
            "maximum_repeated_paragraphs",
            maximum_repeated_paragraphs,
            ParsedText.repeated_paragraphs,
        ),
        (
            "maximum_repeated_paragraph_characters",
            maximum_repeated_paragraph_characters,
            ParsedText.repeated_paragraph_characters,
        ),
        *(
            (
                f"maximum_top_{n}_gram",
                share,
                functools.partial(ParsedText.top_ngram, n=n),
            )
            for n, share in maximum_top_ngram
        ),
        *(
            (
                f"maximum_repeated_{n}_grams",
                share,
                functools.partial(ParsedText.repeated_ngrams, n=n),
            )
            for n, share in maximum_repeated_ngrams
        ),
    )
