"""One tokenizer on three paths: Python, the bulk path, and `tf.data`."""

import functools
import importlib.util

from hypothesis import strategies as st

import keras_dinolm as kd
from keras_dinolm.text.encoder import Encoder
from keras_dinolm.text.normalization import normalize

_SCRIPTS = (
    (0x20, 0x7E),
    (0x80, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x52F),
    (0x5D0, 0x6FF),
    (0x900, 0x97F),
    (0xE00, 0xEFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2000, 0x206F),
    (0x3040, 0x30FF),
    (0x4E00, 0x4FFF),
    (0xAC00, 0xAFFF),
    (0xD800, 0xDFFF),
    (0xFE00, 0xFEFF),
    (0x1F000, 0x1FAFF),
    (0xE0000, 0xE0FFF),
    (0x0, 0x1F),
)
_any = st.characters(exclude_categories=())
_of_a_script = st.sampled_from(_SCRIPTS).flatmap(
    lambda block: st.text(st.integers(*block).map(chr), min_size=1, max_size=40)
)
_pieces = st.one_of(
    st.text(_any, max_size=20),
    _of_a_script,
    st.sampled_from(
        [
            "[MASK]", "[PAD]", "##s", "the fox", "fox" * 20, "\0", "\ufeff",
            "é", "e\u0301", "İ", "ß", "\u200d", "🦊", "สวัสดี", "狐狸",
        ]
    ),
)  # fmt: skip
texts = st.lists(
    st.lists(_pieces, max_size=4).map("".join), min_size=1, max_size=16
)
cases = st.fixed_dictionaries({"texts": texts, "lowercase": st.booleans()})


def warm() -> None:
    """Makes what takes seconds, and runs nothing of a backend."""
    from keras_dinolm.text import tf_words

    for lowercase in (True, False):
        tf_words._tables(lowercase, lowercase)


@functools.cache
def tokenizer(lowercase: bool = True):
    letters = "abcdefghijklmnopqrstuvwxyzABCéäßיшฟ狐カ한ा1.#-"
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    words = ["fox", "the", "##ox", "##es", "สวัส", "##ดี"]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return kd.models.DinoLMTokenizer(
        [*specials, *pieces, *words], lowercase=lowercase
    )


@functools.cache
def _bulk(lowercase):
    return Encoder(**tokenizer(lowercase).encoder_config())


@functools.cache
def _graph(lowercase):
    """The tokenizer as `tf.data` runs it, traced once."""
    import tensorflow as tf

    made = tokenizer(lowercase)
    signature = [tf.TensorSpec([None], tf.string)]

    @tf.function(input_signature=signature)
    def tokenize(strings):
        return made(strings)

    return tokenize


def check(case: dict) -> int:
    """The same ids on all paths, none of them special, and back again."""
    texts, lowercase = case["texts"], case["lowercase"]
    made = tokenizer(lowercase)
    expected = made.tokenize(texts)
    assert _bulk(lowercase)(texts) == expected
    assert [made.tokenize(text).tolist() for text in texts] == expected
    size = made.vocabulary_size()
    special = {0, 2, 3, 4}
    for text, row in zip(texts, expected):
        assert all(0 <= index < size for index in row), row
        assert not special & set(row), row
        words = normalize(text, lowercase, lowercase).split()
        assert all(len(word) <= 25 for word in words), words
        if 1 not in row:
            assert made.detokenize(row) == " ".join(words)
    if importlib.util.find_spec("tensorflow"):
        import tensorflow as tf

        data = [text.encode("utf-8", "surrogatepass") for text in texts]
        found = _graph(lowercase)(tf.constant(data)).to_list()
        # A lone surrogate has no UTF-8; its bytes are three unknown ones.
        assert found == made.tokenize(data), (found, expected)
        if not any("\ud800" <= c <= "\udfff" for t in texts for c in t):
            assert found == expected, (found, expected)
    return len(texts)
