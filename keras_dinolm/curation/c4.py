"""The rules of C4: whole sentences, and no code.

The limits are those of the paper, as datatrove implements them.
"""

import functools

from keras_dinolm import arguments
from keras_dinolm.curation.parsed_text import ParsedText
from keras_dinolm.curation.rules import Rule
from keras_dinolm.curation.rules import make_rules


def c4_quality(
    minimum_sentences: int | None = 5,
    minimum_words_per_line: int = 3,
    maximum_word_length: int = 1_000,
    maximum_curly_brackets: int | None = 0,
    maximum_lorem_ipsum: int | None = 0,
    wrapped: bool = False,
) -> list[Rule]:
    """The rules of C4: enough whole sentences, and no code.

    Prose lines end in `.`, `?`, `!` or a quotation mark (not in an ellipsis),
    have a few words, none of them endless, and mention neither JavaScript nor
    cookies or terms of use. C4 removes all other lines from a text. Here they
    do not count, and a text stays as a whole or goes as a whole.

    The rules are meant for web pages. Documentation with code in it fails them:
    raise `maximum_curly_brackets` or set it to `None`.

    Args:
        minimum_sentences: int. Sentences in prose lines. Defaults to `5`;
            `None` leaves the rule out.
        minimum_words_per_line: int. Shorter lines are no prose. Defaults to
            `3`.
        maximum_word_length: int. Lines with a longer word are no prose.
            Defaults to `1000`.
        maximum_curly_brackets: int. Opening curly brackets in the text.
            Defaults to `0`.
        maximum_lorem_ipsum: int. Mentions of "lorem ipsum". Defaults to `0`.
        wrapped: bool. Whether lines are wrapped, so that a paragraph (up to a
            blank line) is what ends in a full stop. Defaults to `False`.

    Returns:
        A list of `Rule` for `filter_quality`.

    Example:

    ```python
    import keras_dinolm as kd

    texts = ["One cat sat here. Two cats ran.", "{not: prose}"]
    report = kd.curation.filter_quality(
        texts,
        kd.curation.c4_quality(minimum_sentences=2),
        show_progress=False,
    )
    report.kept  # array([0])
    ```

    Reference:

    - [Raffel et al., 2020](https://arxiv.org/abs/1910.10683), section 2.2
    """
    minimum_words_per_line = arguments.integer(
        "minimum_words_per_line", minimum_words_per_line, 0, (1 << 31) - 1
    )
    maximum_word_length = arguments.integer(
        "maximum_word_length", maximum_word_length, 1, (1 << 31) - 1
    )
    wrapped = arguments.flag("wrapped", wrapped)
    return make_rules(
        (
            "minimum_sentences",
            minimum_sentences,
            functools.partial(
                ParsedText.prose_sentences,
                minimum_words=minimum_words_per_line,
                maximum_length=maximum_word_length,
                wrapped=wrapped,
            ),
        ),
        (
            "maximum_curly_brackets",
            maximum_curly_brackets,
            lambda t: t.text.count("{"),
        ),
        (
            "maximum_lorem_ipsum",
            maximum_lorem_ipsum,
            lambda t: t.text.lower().count("lorem ipsum"),
        ),
    )
