"""What the tests of this room share: a reader, and texts that bite."""

import functools

from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.pictures import TextReader
from tests import tiny

WORDS = "the fox dog ##es ran . < > & script $ x _ 猫 🦊 שלום ال".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
HOSTILE = '<script>alert("x")</script> $x_ the foxes & 猫 🦊 שלום ال zzz'


BACKBONE = {
    "vocabulary_size": len(VOCABULARY),
    "num_layers": 2,
    "num_registers": 3,
    "embedding_stddev": 1.0,
}


def tokenizer():
    return DinoLMTokenizer(VOCABULARY)


def model():
    """Two layers, two heads, three registers, and heads of 12 prototypes."""
    return tiny.model(backbone_overrides=BACKBONE)


def backbone():
    return tiny.backbone(**BACKBONE)


@functools.cache
def reader():
    """One for all tests, which leave it as it is."""
    return TextReader(model().learned(), tokenizer())
