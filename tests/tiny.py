"""The smallest model and data that show everything, for the tests."""

import keras
import numpy as np

import keras_dinolm as kd

VOCABULARY_SIZE = 60


class Tokens:
    """What `TextViews` asks of a tokenizer."""

    pad_token_id = 0
    unk_token_id = 1
    cls_token_id = 2
    sep_token_id = 3
    mask_token_id = 4

    def vocabulary_size(self):
        return VOCABULARY_SIZE


def text_views(sequence_length=16, **kwargs):
    return kd.views.TextViews(
        Tokens(), sequence_length=sequence_length, **kwargs
    )


def batch(step=0, batch_size=8, width=15, views=None, seed=0):
    """One batch of views of random documents, the same on every backend."""
    rng = np.random.default_rng([seed, step])
    lengths = rng.integers(3, width + 1, batch_size).astype("int32")
    ids = rng.integers(5, VOCABULARY_SIZE, (batch_size, width)).astype("int32")
    ids[np.arange(width) >= lengths[:, None]] = 0
    windows = {
        "token_ids": ids,
        "lengths": lengths,
        "starts": np.zeros(batch_size, "int32"),
    }
    return (views or text_views())(windows, seed=seed, step=step)


class Batches(keras.utils.PyDataset):
    """`count` batches, from `start` on."""

    def __init__(self, count, start=0, **kwargs):
        super().__init__()
        self.count = count
        self.start = start
        self.kwargs = kwargs

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return batch(self.start + index, **self.kwargs)


def backbone(**overrides):
    config = {
        "vocabulary_size": VOCABULARY_SIZE,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        **overrides,
    }
    return kd.models.DinoLMBackbone(**config)


def model(objectives=None, backbone_overrides=None, **overrides):
    """A compiled-by-nobody `DinoLM` with weights from NumPy.

    The weights do not depend on the backend, so runs can be compared.
    """
    config = {
        "num_prototypes": 12,
        "head_hidden_dim": 16,
        "bottleneck_dim": 8,
        **overrides,
    }
    made = kd.models.DinoLM(
        backbone(**(backbone_overrides or {})), objectives, **config
    )
    rng = np.random.default_rng(7)
    for variable in made.trainable_variables:
        if len(variable.shape) > 1:
            scale = 1.0 / np.sqrt(variable.shape[0])
            variable.assign(scale * rng.normal(size=variable.shape))
    made.reset_teacher()
    return made


def passes(model):
    """The forward passes that are planned, in order."""
    return [(r.network, r.group) for r in model.plan.readings]


def metrics(model, batch):
    """What the single lesson of a `DinoLM` logs of a batch, untrained."""
    batch = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
    (loss,), aux = model.evaluate_objectives(batch, model(batch))
    found = {"loss": loss, **aux["student"]["lessons"]["lesson"]["metrics"]}
    return {
        name: float(keras.ops.convert_to_numpy(value))
        for name, value in found.items()
    }


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
