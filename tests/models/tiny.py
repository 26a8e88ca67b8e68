"""Tiny models and tokenizers that the tests of this room share."""

import keras_hub
import numpy as np

from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer

WORDS = "the a quick brown fox jumps over lazy dog cat good bad ##es ."
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]


def tokenizer():
    return DinoLMTokenizer(VOCABULARY)


def backbone(**overrides):
    config = {
        "vocabulary_size": len(VOCABULARY),
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "num_registers": 2,
        "embedding_stddev": 1.0,
        **overrides,
    }
    return DinoLMBackbone(**config)


def rows(batch=3, length=8, seed=0):
    """Rows of random ids; the second half of the rows is padded."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, len(VOCABULARY), size=(batch, length))
    ids[:, 0] = 2
    mask = np.ones((batch, length), "bool")
    mask[batch // 2 :, length - 3 :] = False
    ids[~mask] = 0
    return {"token_ids": ids.astype("int32"), "padding_mask": mask}


def stock(cls_name):
    """A keras-hub backbone of that class, in its smallest form."""
    config = {
        "vocabulary_size": len(VOCABULARY),
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
        "max_sequence_length": 16,
    }
    if cls_name in ("AlbertBackbone", "ElectraBackbone"):
        config["embedding_dim"] = 4
    if cls_name == "ElectraBackbone":
        config["vocab_size"] = config.pop("vocabulary_size")
    if cls_name == "DebertaV3Backbone":
        config["bucket_size"] = 4
    return getattr(keras_hub.models, cls_name)(**config)
