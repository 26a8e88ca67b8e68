"""Losses and their gradients against float64, on any numbers."""

import numpy as np
from hypothesis import strategies as st

import keras_dinolm as kd
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference

# Few shapes, so that each is compiled once.
N, D, K = 5, 4, 6
_SCALES = (1e-3, 0.1, 1.0, 30.0)


def _rows(rng, scale, *shape):
    return (scale * rng.uniform(-1, 1, shape)).astype("float32")


def _probs(rng, *shape):
    logits = rng.normal(size=shape) * rng.choice([0.1, 3.0, 20.0])
    probs = np.exp(reference.log_softmax(logits, axis=-1))
    return np.where(probs < 1e-4, 0.0, probs).astype("float32")


# Functions with a name, so that jax keeps them compiled.
def _view_loss(student, teacher, temperature):
    return kd.losses.view_cross_entropy(teacher, student, temperature)


def _token_loss(student, teacher, temperature, weights):
    return kd.losses.token_cross_entropy(teacher, student, temperature, weights)


def _info_nce(x, y, temperature):
    return kd.losses.info_nce(x, y, temperature)


def _gram(student, teacher, mask):
    return kd.losses.gram(student, teacher, mask)


def _make(name, rng, scale):
    """`(loss, differentiated arrays, other arrays, reference)`."""
    temperature = np.float32(rng.choice([0.05, 0.2, 1.0]))
    exact = float(temperature)
    if name == "view_cross_entropy":
        teacher, student = _probs(rng, 2, N, K), _rows(rng, scale, 3, N, K)
        return (
            _view_loss,
            [student],
            [teacher, temperature],
            lambda z: reference.view_cross_entropy(teacher, z, exact),
        )
    if name == "token_cross_entropy":
        teacher, student = _probs(rng, N, K), _rows(rng, scale, N, K)
        weights = rng.integers(0, 2, N).astype("float32")
        return (
            _token_loss,
            [student],
            [teacher, temperature, weights],
            lambda z: reference.token_cross_entropy(teacher, z, exact, weights),
        )
    if name == "koleo":
        groups = rng.integers(0, 4, N).astype("int32")
        return (
            kd.losses.koleo,
            [_rows(rng, scale, N, D)],
            [groups],
            lambda x: reference.koleo(x, groups),
        )
    if name == "gram":
        mask = rng.random((2, N)) < 0.7
        teacher = _rows(rng, scale, 2, N, D)
        return (
            _gram,
            [_rows(rng, scale, 2, N, D)],
            [teacher, mask],
            lambda x: reference.gram(x, teacher, mask),
        )
    arrays = [_rows(rng, scale, N, D), _rows(rng, scale, N, D)]
    if name == "vicreg":
        return kd.losses.vicreg, arrays, [], reference.vicreg
    return (
        _info_nce,
        arrays,
        [temperature],
        lambda x, y: reference.info_nce(x, y, exact),
    )


LOSSES = (
    "view_cross_entropy", "token_cross_entropy", "koleo", "gram", "vicreg",
    "info_nce",
)  # fmt: skip
cases = st.fixed_dictionaries(
    {
        "loss": st.sampled_from(LOSSES),
        "seed": st.integers(0, 2**32),
        "scale": st.sampled_from(_SCALES),
    }
)


def check(case: dict) -> None:
    """Value, and the derivative in a random direction."""
    rng = np.random.default_rng(case["seed"])
    scale = case["scale"]
    loss, arrays, others, exact = _make(case["loss"], rng, scale)
    value, grads = value_and_grad(loss, *arrays, others=others)
    expected = exact(*arrays)
    size = max(1.0, abs(expected))
    assert abs(value - expected) <= 1e-4 * size, (value, expected)
    directions = [scale * rng.normal(size=array.shape) for array in arrays]

    def along(share):
        moved = [
            np.asarray(array, "float64") + share * direction
            for array, direction in zip(arrays, directions)
        ]
        return exact(*moved)

    step = 1e-6
    slope = (
        8 * (along(step) - along(-step)) - along(2 * step) + along(-2 * step)
    ) / (12 * step)
    found = sum(
        np.vdot(grad, direction) for grad, direction in zip(grads, directions)
    )
    norm = sum(
        np.linalg.norm(grad) * np.linalg.norm(direction)
        for grad, direction in zip(grads, directions)
    )
    # A softmax is as exact as its logits are rounded in float32, and the
    # rounding of large ones is large.
    limit = 1e-3 * max(1.0, scale / 10) * norm + 1e-5 * size
    assert abs(found - slope) <= limit, (found, slope, limit)


# === Numbers at the edge ===

_EDGES = ("zeros", "equal rows", "tiny", "large", "one hot", "mixed")
edge_cases = st.fixed_dictionaries(
    {
        "loss": st.sampled_from(LOSSES),
        "seed": st.integers(0, 2**32),
        "edge": st.sampled_from(_EDGES),
    }
)


def check_edges(case: dict) -> None:
    """Whatever goes in, values and gradients are finite."""
    rng = np.random.default_rng(case["seed"])
    loss, arrays, others, _ = _make(case["loss"], rng, 1.0)
    arrays = [_at_edge(array, case["edge"], rng) for array in arrays]
    value, grads = value_and_grad(loss, *arrays, others=others)
    assert np.isfinite(value), value
    for grad in grads:
        assert np.isfinite(grad).all(), grad


def _at_edge(array, edge, rng):
    if edge == "zeros":
        return np.zeros_like(array)
    if edge == "equal rows":
        return np.broadcast_to(array[..., :1, :], array.shape).copy()
    if edge == "tiny":
        return array * np.float32(1e-12)
    if edge == "large":
        return array * np.float32(1e4)
    if edge == "one hot":
        return np.where(
            array == array.max(-1, keepdims=True), 50.0, 0.0
        ).astype("float32")
    factors = rng.choice([0.0, 1e-6, 1.0, 1e3], array.shape[:-1] + (1,))
    return (array * factors).astype("float32")


# === Targets ===


def _sinkhorn(logits, temperature):
    return kd.losses.sinkhorn_knopp(logits, temperature)


def _weighted_sinkhorn(logits, temperature, weights):
    return kd.losses.sinkhorn_knopp(logits, temperature, sample_weight=weights)


target_cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "scale": st.sampled_from([0.01, 1.0, 30.0, 1e3]),
        "weighted": st.booleans(),
    }
)


def check_targets(case: dict) -> None:
    """Sinkhorn's targets are those of the dual problem in float64."""
    rng = np.random.default_rng(case["seed"])
    logits = _rows(rng, case["scale"], N, K)
    temperature = np.float32(rng.choice([0.05, 0.3]))
    if not case["weighted"]:
        found = evaluate(_sinkhorn, logits, temperature)
        expected = reference.sinkhorn_dual(logits, float(temperature))
    else:
        weights = rng.integers(0, 2, N).astype("float32")
        found = evaluate(_weighted_sinkhorn, logits, temperature, weights)
        used = weights > 0
        expected = np.zeros((N, K))
        if used.any():
            expected[used] = reference.sinkhorn_dual(
                logits[used], float(temperature)
            )
    # float32 keeps seven digits of the largest logit.
    scores = np.abs(logits).max() / float(temperature)
    np.testing.assert_allclose(found, expected, atol=1e-5 + 1e-6 * scores)
