import math

import numpy as np
import pytest
from keras import ops
from scipy.spatial.distance import cdist

from keras_dinolm.losses import koleo
from tests.gradients import compiled
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw


def compare(x, groups=None, tolerance=1e-5):
    """Value and gradient against the loops; returns the gradient."""
    others = [] if groups is None else [groups]
    value, (grad,) = value_and_grad(koleo, x, others=others)
    check(value, reference.koleo(x, groups), tolerance)
    # A step of 1e-5 could cross to another neighbour, or part equal rows.
    expected = reference.gradient(
        lambda x: reference.koleo(x, groups), x, step=1e-8
    )
    check_gradient(grad, expected)
    return grad


@pytest.mark.parametrize("shape", [(9, 4), (2, 5)])
def test_value_and_gradient(shape):
    compare(draw(0, *shape))


def test_lengths_do_not_matter():
    x = draw(1, 9, 4)
    scales = np.logspace(-12, 12, 9).astype("float32")[:, None]
    check(evaluate(koleo, x * scales), evaluate(koleo, x), 1e-6)


def test_rows_of_the_same_group_are_no_neighbors():
    x = draw(2, 9, 4)
    groups = np.array([0, 0, 0, 5, 5, -3, 7, 7, 7])
    compare(x, groups.astype("int32"))


def test_one_group_is_zero_without_gradient():
    x, groups = draw(3, 9, 4), np.ones(9, "int32")
    value, grads = value_and_grad(koleo, x, others=[groups])
    assert value == 0.0 and not np.any(grads[0])


def test_one_row_is_zero_without_gradient():
    value, grads = value_and_grad(koleo, draw(4, 1, 4))
    assert value == 0.0 and not np.any(grads[0])


@pytest.mark.parametrize("copies", [2, 8])
def test_equal_rows_look_past_each_other(copies):
    x = draw(5, 10 - copies, 4)
    repeated = np.concatenate([x] + [x[:1]] * (copies - 1))
    value, (grad,) = value_and_grad(koleo, repeated)
    check(value, reference.koleo(repeated))
    assert np.all(np.isfinite(grad))
    # Each copy has the neighbour that the row alone would have.
    distances = cdist(reference.unit(x), reference.unit(x))
    nearest = np.sort(distances, axis=1)[:, 1]
    expected = -np.log(nearest + 1e-8)
    total = expected.sum() + (copies - 1) * expected[0]
    check(value, total / len(repeated))


def test_scaled_copies_are_identical():
    x = draw(6, 6, 64)
    scaled = np.concatenate([x, x[:3] * 3.3, x[:1] * 1e-3]).astype("float32")
    check(evaluate(koleo, scaled), reference.koleo(scaled))


def test_only_equal_rows_are_zero_without_gradient():
    x = np.repeat(draw(7, 1, 4), 9, axis=0)
    value, grads = value_and_grad(koleo, x)
    assert value == 0.0 and not np.any(grads[0])


def test_gradient_of_equal_rows():
    # By hand: the copies' neighbour is the third row, whose neighbour is the
    # first of the copies. Unit vectors at a right angle: d = sqrt(2).
    x = np.array([[1, 0], [1, 0], [0, 1]], "float32")
    value, (grad,) = value_and_grad(koleo, x)
    check(value, -math.log(math.sqrt(2) + 1e-8))
    # -log d moves a row along its tangent by 1 / d^2 = 1/2, over N = 3.
    check(grad[1], [0, 1 / 6], 1e-6)
    check(grad[0] + grad[1], [0, 3 / 6], 1e-6)
    check(grad[2], [3 / 6, 0], 1e-6)


@pytest.mark.parametrize("distance", [1e-2, 1e-3, 1e-4, 1e-5])
def test_near_rows_are_neighbors(distance):
    x = reference.unit(draw(8, 9, 4).astype("float64"))
    x[1] = x[0] + distance * reference.unit(draw(9, 4))
    x = x.astype("float32")
    value, (grad,) = value_and_grad(koleo, x)
    # A float32 coordinate is known to 6e-8, and the distance no better.
    check(value, reference.koleo(x), max(1e-5, 1e-7 / distance))
    assert np.all(np.isfinite(grad))
    assert np.dot(grad[0], x[1] - x[0]) > 0  # a step away from each other


def test_collapsed_features_still_find_their_neighbors():
    # All within 1e-3 of each other, where a float32 cosine is 1 for all.
    x = (1.0 + 1e-3 * draw(10, 9, 4)).astype("float32")
    check(evaluate(koleo, x), reference.koleo(x), 1e-4)


def test_zero_rows_have_finite_gradients():
    x = draw(11, 9, 4)
    x[2] = x[4] = 0.0
    value, (grad,) = value_and_grad(koleo, x)
    check(value, reference.koleo(x))
    assert np.all(np.isfinite(grad))
    assert not np.any(grad[[2, 4]])


def test_is_lower_for_spread_features():
    circle = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    plane = np.eye(2, 4)
    spread = np.stack([np.cos(circle), np.sin(circle)], axis=1) @ plane
    circle /= 9
    bunch = np.stack([np.cos(circle), np.sin(circle)], axis=1) @ plane
    assert evaluate(koleo, spread) < evaluate(koleo, bunch)
    check(evaluate(koleo, spread), -math.log(2 * math.sin(math.pi / 9)))


def test_compiled_with_groups_as_an_argument():
    x = draw(12, 9, 4)
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4], "int32")
    check(evaluate(compiled(koleo), x, groups), reference.koleo(x, groups))


def test_bfloat16_is_computed_in_float32():
    x = ops.cast(np.concatenate([draw(13, 6, 4)] * 2), "bfloat16")
    loss = evaluate(koleo, x)
    assert loss.dtype == "float32"
    exact = ops.convert_to_numpy(ops.cast(x, "float32"))
    check(loss, reference.koleo(exact))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"`embeddings`.*\[N, D\]"):
        koleo(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match=r"`groups`.*N=3"):
        koleo(np.ones((3, 4)), np.ones(2))
