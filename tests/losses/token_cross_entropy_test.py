import numpy as np
import pytest
from keras import ops

from keras_dinolm.losses import token_cross_entropy
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw
from tests.losses.reference import draw_probs

WEIGHTS = {
    "none": None,
    "padding": np.array([1, 1, 0, 1, 0, 0]),
    "booleans": np.array([True, False, True, True, False, True]),
    "per view": np.array([1 / 3, 1 / 3, 1 / 3, 1.0, 0.0, 0.0], "float32"),
}


def plain(teacher, student):
    return token_cross_entropy(teacher, student, 0.1)


def weighted(teacher, student, weights):
    return token_cross_entropy(teacher, student, 0.1, weights)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS.keys())
@pytest.mark.parametrize("largest", [1.0, 100.0])
def test_value_and_gradients(weights, largest):
    teacher = draw_probs(0, 6, 5)
    student = draw(1, 6, 5) * np.float32(0.1 * largest)

    if weights is None:
        value, grads = value_and_grad(plain, teacher, student)
    else:
        value, grads = value_and_grad(
            weighted, teacher, student, others=[weights]
        )
    check(value, reference.token_cross_entropy(teacher, student, 0.1, weights))
    expected = reference.gradient(
        lambda x: reference.token_cross_entropy(x, student, 0.1, weights),
        teacher,
    )
    check_gradient(grads[0], expected)
    expected = reference.gradient(
        lambda x: reference.token_cross_entropy(teacher, x, 0.1, weights),
        student,
    )
    check_gradient(grads[1], expected)


@pytest.mark.parametrize("garbage", [1e4, np.nan, np.inf])
def test_rows_of_weight_zero_take_no_part(garbage):
    teacher, student = draw_probs(2, 6, 5), draw(3, 6, 5)
    keep = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    expected = reference.token_cross_entropy(
        teacher[keep == 1], student[keep == 1], 0.1
    )
    teacher[keep == 0] = garbage
    student[keep == 0] = garbage
    value, grads = value_and_grad(weighted, teacher, student, others=[keep])
    check(value, expected)
    for grad in grads:
        assert np.all(np.isfinite(grad)) and not np.any(grad[keep == 0])


def test_no_weight_is_zero_without_gradient():
    value, grads = value_and_grad(
        weighted, draw_probs(4, 6, 5), draw(5, 6, 5), others=[np.zeros(6)]
    )
    assert value == 0.0
    assert not np.any(grads[0]) and not np.any(grads[1])


def test_views_weigh_the_same_whatever_their_number_of_tokens():
    # A view of one token and a view of three, of equal loss within each.
    teacher = np.array([[1, 0]] + [[0, 1]] * 3, "float32")
    student = np.zeros((4, 2), "float32")
    student[:, 0] = 0.1
    weights = np.array([1, 1 / 3, 1 / 3, 1 / 3])
    means = [
        evaluate(plain, teacher[rows], student[rows])
        for rows in (slice(0, 1), slice(1, 4))
    ]
    check(
        evaluate(weighted, teacher, student, weights),
        (means[0] + means[1]) / 2,
        1e-6,
    )


def test_huge_logits_stay_finite():
    teacher = draw_probs(8, 6, 5)
    student = draw(9, 6, 5) * np.float32(1e4)
    value, grads = value_and_grad(plain, teacher, student)
    check(value, reference.token_cross_entropy(teacher, student, 0.1))
    assert np.all(np.isfinite(grads))


def test_bfloat16_is_computed_in_float32():
    teacher = ops.cast(draw_probs(10, 3, 5), "bfloat16")
    student = ops.cast(draw(11, 3, 5), "float16")
    loss = evaluate(token_cross_entropy, teacher, student, 0.04)
    assert loss.dtype == "float32"
    exact = [
        ops.convert_to_numpy(ops.cast(x, "float32")) for x in (teacher, student)
    ]
    check(loss, reference.token_cross_entropy(*exact, 0.04))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"`student_logits`.*M=2"):
        token_cross_entropy(np.ones((2, 3)), np.ones((4, 3)), 0.1)
    with pytest.raises(ValueError, match=r"`sample_weight`.*\[M\]"):
        token_cross_entropy(
            np.ones((2, 3)), np.ones((2, 3)), 0.1, np.ones((2, 1))
        )
