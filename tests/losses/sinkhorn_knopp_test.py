import numpy as np
import pytest
from keras import ops

from keras_dinolm.losses import sinkhorn_knopp
from tests.gradients import compiled
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import draw


def assign(logits, temperature, weight=None):
    if weight is None:
        return evaluate(sinkhorn_knopp, logits, temperature)
    return evaluate(weighted, logits, temperature, weight)


def weighted(logits, temperature, weight):
    return sinkhorn_knopp(logits, temperature, sample_weight=weight)


@pytest.mark.parametrize("temperature", [0.04, 0.07, 1.0])
@pytest.mark.parametrize("largest", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("shape", [(10, 7), (5, 12)])
def test_agrees_with_both_textbook_forms(shape, largest, temperature):
    logits = draw(0, *shape) * np.float32(largest * temperature)
    expected = reference.sinkhorn_textbook(logits, temperature)
    # The two references are independent of each other.
    check(reference.sinkhorn_dual(logits, temperature), expected, 1e-9)
    check(assign(logits, temperature), expected)


@pytest.mark.parametrize("num_iterations", [1, 10])
def test_number_of_iterations(num_iterations):
    logits = draw(1, 9, 6)
    # Not compiled: XLA takes long for long chains.
    probs = sinkhorn_knopp(logits, 0.1, num_iterations)
    check(
        ops.convert_to_numpy(probs),
        reference.sinkhorn_textbook(logits, 0.1, num_iterations),
    )


def test_many_iterations_use_all_prototypes_equally():
    probs = sinkhorn_knopp(draw(2, 9, 6), 0.2, num_iterations=100)
    total = ops.convert_to_numpy(ops.sum(probs, axis=0))
    check(total, np.full(6, 1.5), 1e-4)


@pytest.mark.parametrize("garbage", [0.0, 1e4, np.nan, np.inf, -np.inf])
def test_rows_of_weight_zero_take_no_part(garbage):
    logits = draw(3, 10, 7)
    weight = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 0])
    expected = np.zeros((10, 7))
    expected[weight == 1] = reference.sinkhorn_textbook(
        logits[weight == 1], 0.05
    )
    logits[weight == 0] = garbage
    actual = assign(logits, 0.05, weight)
    check(actual, expected)
    assert np.all(actual[weight == 0] == 0.0)


def test_only_padding_gives_zeros():
    probs = assign(draw(4, 3, 4), 0.05, np.zeros(3))
    assert np.array_equal(probs, np.zeros((3, 4)))


def test_one_row_is_uniform():
    # Each prototype's only sample takes all of it.
    check(assign(draw(5, 1, 4), 0.04), np.full((1, 4), 0.25))


def test_one_row_among_padding_is_uniform():
    probs = assign(draw(5, 3, 4), 0.04, np.array([0.0, 1.0, 0.0]))
    check(probs[1], np.full(4, 0.25))


def test_one_prototype_takes_everything():
    assert np.array_equal(assign(draw(6, 5, 1), 0.04), np.ones((5, 1)))


def test_equal_rows_are_assigned_equally():
    logits = draw(7, 10, 7)
    logits[3] = logits[1]
    probs = assign(logits, 0.05)
    assert np.array_equal(probs[3], probs[1])
    check(probs, reference.sinkhorn_textbook(logits, 0.05))


def test_constant_features_are_assigned_uniformly():
    logits = np.repeat(draw(8, 1, 7), 10, axis=0)
    check(assign(logits, 0.04), np.full((10, 7), 1 / 7))


@pytest.mark.parametrize("run", [weighted, compiled(weighted)])
@pytest.mark.parametrize("temperature", [0.04, 1.0])
def test_huge_logits_stay_finite(run, temperature):
    logits = draw(9, 20, 12) * np.float32(1e4)
    logits[0], logits[1, 3], logits[2] = 1e4, -1e4, -1e4
    weight = np.ones(20, "float32")
    weight[5:8] = 0.0
    probs = evaluate(run, logits, temperature, weight)
    assert np.all(np.isfinite(probs))
    check(probs.sum(axis=1), weight, 1e-4)
    expected = reference.sinkhorn_dual(logits[weight == 1], temperature)
    # float32 holds these scores to 1e-7 of 2.5e5, whoever computes.
    check(probs[weight == 1], expected, 1e-7 * 2e4 / temperature)


def test_a_prototype_that_vanishes_for_all_samples():
    logits = draw(10, 10, 7)
    logits[:, 2] = -50.0  # exp(-50 / 0.04) is 0 even in float64
    check(assign(logits, 0.04), reference.sinkhorn_dual(logits, 0.04))
    logits[:, 2] = -np.inf
    expected = np.zeros((10, 7))
    expected[:, [0, 1, 3, 4, 5, 6]] = reference.sinkhorn_textbook(
        logits[:, [0, 1, 3, 4, 5, 6]], 0.04
    )
    check(assign(logits, 0.04), expected)


def test_carries_no_gradient():
    def loss(logits):
        return ops.sum(ops.square(sinkhorn_knopp(logits, 0.1) - logits))

    logits = draw(11, 6, 3)
    _, (grad,) = value_and_grad(loss, logits)
    check(grad, -2 * (assign(logits, 0.1) - logits), 1e-6)


def test_temperature_may_be_a_number():
    logits = draw(12, 6, 3)
    probs = sinkhorn_knopp(logits, 0.1)
    check(ops.convert_to_numpy(probs), assign(logits, np.array(0.1)), 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_is_float32_inside_and_out(dtype):
    logits = ops.cast(draw(13, 10, 7) * 2, dtype)
    probs = assign(logits, 0.04)
    assert probs.dtype == "float32"
    rounded = ops.convert_to_numpy(ops.cast(logits, "float32"))
    check(probs, reference.sinkhorn_textbook(rounded, 0.04))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"logits": np.ones((2, 3, 4))}, r"`logits` must have shape \[N, K\]"),
        ({"sample_weight": np.ones(4)}, r"`sample_weight`.*N=3.*\(4,\)"),
        ({"temperature": 0.0}, "`temperature` must be a finite number above 0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"num_iterations": 0}, "`num_iterations`.*num_iterations=0"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"logits": np.ones((3, 2)), "temperature": 0.1} | change
    with pytest.raises(ValueError, match=message):
        sinkhorn_knopp(**arguments)
