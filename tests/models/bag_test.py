"""Texts' features by way of the table of embeddings: the same function."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.models.encoder.bag import table_is_cheaper
from tests import tiny as training
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.models import tiny

V = len(tiny.VOCABULARY)
MANY, FEW = (4, 8), (2, 8)  # more tokens than the vocabulary has, and fewer
BAG = {"num_layers": 0, "num_registers": 0}
DEEP = {"pooled_layers": (0,)}


def encoder(**overrides):
    """An encoder none of whose weights is what it was made with."""
    made = kd.models.TextEncoder(tiny.backbone(**overrides))
    rng = np.random.default_rng(3)
    for weight in made.weights:
        change = 0.3 * rng.normal(size=weight.shape)
        weight.assign(keras.ops.convert_to_numpy(weight) + change)
    return made


def feature(encoder, needs_tokens):
    """A function of the pooled feature's weights, of token ids and a mask."""
    weights = pooled_weights(encoder)

    def run(*arrays):
        *values, ids, mask = arrays
        inputs = {"token_ids": ids, "padding_mask": mask}
        with keras.StatelessScope(list(zip(weights, values, strict=True))):
            found = encoder(inputs, needs_tokens=needs_tokens)
        assert ("tokens" in found) == needs_tokens
        return found["sequence"]

    return run


def pooled_weights(encoder):
    backbone = encoder.backbone
    layers = backbone.token_embedding, backbone.output_norm, backbone.pooler
    return [weight for layer in layers for weight in layer.weights]


def arrays(encoder, shape=MANY):
    inputs = tiny.rows(*shape)
    inputs["padding_mask"][-1] = False  # a text of nothing
    return inputs["token_ids"], inputs["padding_mask"]


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean"])
@pytest.mark.parametrize("shape", [BAG, DEEP], ids=["bag", "deep"])
def test_features_are_the_mean_of_normalised_embeddings(pooling, shape):
    model = encoder(pooling=pooling, **shape)
    ids, mask = arrays(model)
    assert table_is_cheaper(model.backbone, ids)
    values = [keras.ops.convert_to_numpy(w) for w in pooled_weights(model)]
    found = evaluate(feature(model, needs_tokens=False), *values, ids, mask)

    table, gamma, beta, *logs = [v.astype("float64") for v in values]
    x = table[ids] - table[ids].mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * gamma + beta
    weight = mask * (np.exp(logs[0][ids]) if logs else 1.0)
    total = weight.sum(1, keepdims=True)
    weight = weight / np.where(total, total, 1.0)
    np.testing.assert_allclose(found, (x * weight[..., None]).sum(1), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean"])
def test_gradients_are_those_of_the_way_by_tokens(pooling):
    model = encoder(pooling=pooling, **BAG)
    ids, mask = arrays(model)
    values = [keras.ops.convert_to_numpy(w) for w in pooled_weights(model)]
    direction = np.random.default_rng(0).normal(size=(MANY[0], 16))

    def gradient(needs_tokens):
        run = feature(model, needs_tokens)

        def loss(*arrays):
            *arrays, ids, mask, direction = arrays
            return keras.ops.sum(run(*arrays, ids, mask) * direction)

        others = (ids, mask, direction.astype("float32"))
        return value_and_grad(loss, *values, others=others)[1]

    for found, expected in zip(gradient(False), gradient(True), strict=True):
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_half_precision_sums_in_float32():
    model = encoder(dtype="mixed_bfloat16", **BAG)
    inputs = dict(zip(("token_ids", "padding_mask"), arrays(model)))
    by_table = model(inputs, needs_tokens=False)["sequence"]
    by_tokens = model(inputs)["sequence"]
    assert keras.backend.standardize_dtype(by_table.dtype) == "bfloat16"
    # Rows are rounded alike, so that only a sum's last bit may differ.
    np.testing.assert_allclose(
        *(
            keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
            for x in (by_table, by_tokens)
        ),
        rtol=2**-7,
        atol=1e-3,
    )


@pytest.mark.once
def test_the_table_is_read_only_where_it_is_the_same_and_cheaper():
    many, few = np.ones(MANY, "int32"), np.ones(FEW, "int32")
    bag = tiny.backbone(**BAG)
    assert table_is_cheaper(bag, many)
    assert not table_is_cheaper(bag, few)
    unknown = keras.KerasTensor((None, 8), "int32")
    assert not table_is_cheaper(bag, unknown)
    for other in (
        {**BAG, "pooling": "cls"},
        {**BAG, "pooling": "attention"},
        {"num_layers": 1},
        {"num_layers": 1, "pooled_layers": (0, -1)},
    ):
        assert not table_is_cheaper(tiny.backbone(**other), many)
    dropping = tiny.backbone(**BAG, dropout=0.1)
    assert table_is_cheaper(dropping, many, training=False)
    assert not table_is_cheaper(dropping, many, training=True)


def test_a_bag_trains_without_features_of_tokens():
    local = kd.views.ViewGroup("local", 2, (0.2, 0.4))
    views = training.text_views(groups=[local])
    logs = {}
    for reads_tokens in (False, True):
        model = training.model(
            [kd.objectives.InfoNCE(), *([ReadsTokens()] * reads_tokens)],
            {"num_layers": 0, "num_registers": 0},
            roles=views.roles,
        )
        model.compile(kd.optimizers.adamw(1e-2, schedule="constant"))
        history = model.fit(
            training.Batches(2, views=views), epochs=2, verbose=0
        )
        logs[reads_tokens] = history.history
    extra = {"token_sequence_cosine", "reads_tokens"}
    assert set(logs[True]) == set(logs[False]) | extra
    for name, values in logs[False].items():
        np.testing.assert_allclose(values, logs[True][name], rtol=1e-4)


class ReadsTokens(kd.objectives.Objective):
    """Reads the features of tokens, and learns nothing from them."""

    def reads(self, roles):
        return {("student", "local")}

    def compute(self, features):
        tokens = features.student["local"]["tokens"]
        return kd.objectives.Result(0.0 * keras.ops.sum(tokens))
