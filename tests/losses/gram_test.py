import numpy as np
import pytest
from keras import ops

from keras_dinolm.losses import gram
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw

MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)


def masked(student, teacher, mask):
    return gram(student, teacher, mask)


def masked_positive(student, teacher, mask):
    return gram(student, teacher, mask, remove_negative=True)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
@pytest.mark.parametrize("remove_negative", [False, True])
def test_value_and_gradients(mask, remove_negative):
    student, teacher = draw(0, 3, 4, 5), draw(1, 3, 4, 5)
    loss = masked_positive if remove_negative else masked
    value, grads = value_and_grad(
        loss,
        student,
        teacher,
        others=[np.ones((3, 4), bool) if mask is None else mask],
    )
    check(value, reference.gram(student, teacher, mask, remove_negative))
    expected = reference.gradient(
        lambda x: reference.gram(x, teacher, mask, remove_negative), student
    )
    check_gradient(grads[0], expected)
    expected = reference.gradient(
        lambda x: reference.gram(student, x, mask, remove_negative), teacher
    )
    check_gradient(grads[1], expected)


def test_padding_may_hold_anything():
    student, teacher = draw(2, 3, 4, 5), draw(3, 3, 4, 5)
    expected = reference.gram(student, teacher, MASK)
    student[~MASK], teacher[~MASK] = np.nan, 1e30
    value, grads = value_and_grad(masked, student, teacher, others=[MASK])
    check(value, expected)
    for grad in grads:
        assert np.all(np.isfinite(grad)) and not np.any(grad[~MASK])


def test_no_valid_token_is_zero_without_gradient():
    value, grads = value_and_grad(
        masked,
        draw(4, 3, 4, 5),
        draw(5, 3, 4, 5),
        others=[np.zeros((3, 4), bool)],
    )
    assert value == 0.0 and not np.any(grads[0]) and not np.any(grads[1])


def test_rotation_and_length_do_not_matter():
    x = draw(6, 2, 5, 4)
    rotation, _ = np.linalg.qr(draw(7, 4, 4))
    lengths = draw(8, 2, 5, 1, low=0.1, high=9.0)
    check(evaluate(gram, x, (x @ rotation) * lengths), 0.0, 1e-11)


def test_the_reference_may_be_wider():
    student, teacher = draw(9, 2, 3, 4), draw(10, 2, 3, 7)
    check(evaluate(gram, student, teacher), reference.gram(student, teacher))


def test_zero_rows_have_finite_gradients():
    student, teacher = draw(11, 3, 4, 5), draw(12, 3, 4, 5)
    student[0, 1] = 0.0
    value, grads = value_and_grad(gram, student, teacher)
    check(value, reference.gram(student, teacher))
    assert np.all(np.isfinite(grads)) and not np.any(grads[0][0, 1])


def test_bfloat16_is_computed_in_float32():
    student = ops.cast(draw(13, 2, 3, 8), "bfloat16")
    teacher = ops.cast(draw(14, 2, 3, 8), "float16")
    loss = evaluate(gram, student, teacher)
    assert loss.dtype == "float32"
    exact = [
        ops.convert_to_numpy(ops.cast(x, "float32")) for x in (student, teacher)
    ]
    check(loss, reference.gram(*exact))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"`teacher`.*T=3"):
        gram(np.ones((2, 3, 4)), np.ones((2, 5, 4)))
    with pytest.raises(ValueError, match=r"`padding_mask`.*\[B, T\]"):
        gram(np.ones((2, 3, 4)), np.ones((2, 3, 4)), np.ones(3))
