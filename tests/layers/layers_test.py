"""What holds for every layer of the network room."""

import keras
import numpy as np
import pytest

from keras_dinolm import layers
from tests.layers.arrays import to_numpy

TOKENS = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], "bool")
IDS = np.array([[3, 1, 4, 1, 5], [2, 0, 0, 0, 0]], "int32")

CASES = {
    "attention": (lambda **k: layers.SelfAttention(2, **k), (TOKENS,)),
    "attention_pooling": (
        lambda **k: layers.AttentionPooling(2, **k),
        (TOKENS, MASK),
    ),
    "block": (
        lambda **k: layers.EncoderBlock(
            2, 16, "swiglu", 0.1, 0.1, 0.3, remat=True, **k
        ),
        (TOKENS,),
    ),
    "cls_pooling": (lambda **k: layers.ClsPooling(**k), (TOKENS, MASK)),
    "drop_path": (lambda **k: layers.DropPath(0.1, 0.2, **k), (TOKENS,)),
    "layer_scale": (lambda **k: layers.LayerScale(0.3, **k), (TOKENS,)),
    "mean_pooling": (lambda **k: layers.MeanPooling(**k), (TOKENS, MASK)),
    "mlp": (lambda **k: layers.FeedForward(16, "gelu", **k), (TOKENS,)),
    "projection_head": (
        lambda **k: layers.ProjectionHead(16, 4, 2, **k),
        (TOKENS,),
    ),
    "prototypes": (lambda **k: layers.Prototypes(6, **k), (TOKENS,)),
    "registers": (lambda **k: layers.Registers(3, **k), (TOKENS, MASK)),
    "rotary_tables": (
        lambda **k: layers.RotaryTables(4, 3, 100.0, 2.0, 1.5, 0, **k),
        (TOKENS,),
    ),
    "weighted_mean_pooling": (
        lambda **k: layers.WeightedMeanPooling(6, **k),
        (TOKENS, MASK, IDS),
    ),
}
FLOAT32_OUTPUT = {"projection_head", "prototypes"}


def describe(outputs):
    outputs = keras.tree.flatten(outputs)
    return [
        (tuple(o.shape), keras.backend.standardize_dtype(o.dtype))
        for o in outputs
    ]


@pytest.mark.parametrize("case", CASES)
def test_layer_survives_serialization(case):
    make, inputs = CASES[case]
    layer = make(name="some_name")
    layer(*inputs)
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    copy(*inputs)
    assert copy.get_config() == layer.get_config()
    copy.set_weights(layer.get_weights())
    for a, b in zip(
        keras.tree.flatten(layer(*inputs)), keras.tree.flatten(copy(*inputs))
    ):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_declared_outputs_are_those_computed(case, policy):
    make, inputs = CASES[case]
    layer = make(dtype=policy)
    symbols = [keras.KerasTensor(x.shape, dtype=x.dtype) for x in inputs]
    declared = describe(layer(*symbols))
    assert describe(layer(*inputs)) == declared
    assert all(w.dtype == "float32" for w in layer.weights)
    floats = {dtype for _, dtype in declared if dtype != "bool"}
    expected = "bfloat16" if policy == "mixed_bfloat16" else "float32"
    if case in FLOAT32_OUTPUT:
        expected = "float32"
    assert floats == {expected}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.DropPath(1.0), "rate"),
        (lambda: layers.Registers(-1), "num_registers"),
        (lambda: layers.RotaryTables(3), "even"),
        (lambda: layers.FeedForward(8, "relu"), "swiglu"),
        (lambda: layers.Prototypes(1), "at least 2"),
        (lambda: layers.ProjectionHead(num_layers=0), "num_layers"),
        (lambda: layers.get_pooler("max"), "attention"),
        (lambda: layers.SelfAttention(3).build((1, 2, 8)), "num_heads"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
