import math

import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_dinolm.losses import view_cross_entropy
from tests.gradients import compiled
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw
from tests.losses.reference import draw_probs

PAIRS = {
    "default": None,
    "all": np.ones((2, 4)),
    "some": np.array([[0, 1, 0, 1], [1, 0, 0, 0]]),
    "one": np.array([[0, 0, 0, 0], [0, 0, 1, 0]]),
    "booleans": np.array([[True, False, True, True], [False] * 4]),
}


def default_pairs(teacher, student):
    return view_cross_entropy(teacher, student, 0.1)


def given_pairs(teacher, student, pairs):
    return view_cross_entropy(teacher, student, 0.1, pairs)


@pytest.mark.parametrize("pairs", PAIRS.values(), ids=PAIRS.keys())
@pytest.mark.parametrize("largest", [1.0, 100.0])
def test_value_and_gradients(pairs, largest):
    teacher = draw_probs(0, 2, 3, 5)
    student = draw(1, 4, 3, 5) * np.float32(0.1 * largest)

    if pairs is None:
        value, grads = value_and_grad(default_pairs, teacher, student)
    else:
        value, grads = value_and_grad(
            given_pairs, teacher, student, others=[pairs]
        )
    check(
        value,
        reference.view_cross_entropy(teacher, student, 0.1, pairs),
    )
    expected = reference.gradient(
        lambda x: reference.view_cross_entropy(x, student, 0.1, pairs), teacher
    )
    check_gradient(grads[0], expected)
    expected = reference.gradient(
        lambda x: reference.view_cross_entropy(teacher, x, 0.1, pairs), student
    )
    check_gradient(grads[1], expected)


def test_more_teachers_than_students():
    teacher, student = draw_probs(2, 3, 2, 4), draw(3, 1, 2, 4)
    check(
        evaluate(default_pairs, teacher, student),
        reference.view_cross_entropy(teacher, student, 0.1),
    )


@pytest.mark.parametrize("largest", [1.0, 1e4])
def test_no_pair_is_zero_without_gradient(largest):
    teacher = draw_probs(4, 2, 3, 5)
    student = draw(5, 4, 3, 5) * np.float32(largest)
    value, grads = value_and_grad(
        given_pairs, teacher, student, others=[np.zeros((2, 4))]
    )
    assert value == 0.0
    assert not np.any(grads[0]) and not np.any(grads[1])


def test_one_view_alone_has_no_pair():
    teacher, student = draw_probs(6, 1, 3, 4), draw(7, 1, 3, 4)
    assert evaluate(default_pairs, teacher, student) == 0.0


def test_constant_features_cost_log_k():
    teacher, student = np.full((2, 3, 5), 0.2), np.zeros((4, 3, 5))
    check(evaluate(default_pairs, teacher, student), math.log(5), 1e-6)


def test_is_least_where_the_student_says_what_the_teacher_says():
    logits = np.repeat(draw(8, 1, 3, 5), 4, axis=0)
    teacher = softmax(logits[:2] / 0.1, axis=-1)
    _, grads = value_and_grad(default_pairs, teacher, logits)
    check(grads[1], np.zeros_like(logits), 1e-6)


def test_huge_logits_stay_finite():
    teacher = draw_probs(9, 2, 3, 5)
    student = draw(10, 4, 3, 5) * np.float32(1e4)
    value, grads = value_and_grad(default_pairs, teacher, student)
    check(value, reference.view_cross_entropy(teacher, student, 0.1))
    assert np.all(np.isfinite(grads[0])) and np.all(np.isfinite(grads[1]))


def test_pairs_may_be_traced():
    teacher, student = draw_probs(11, 2, 3, 5), draw(12, 4, 3, 5)
    run = compiled(given_pairs)
    for pairs in (PAIRS["some"], np.zeros((2, 4))):
        check(
            evaluate(run, teacher, student, pairs),
            reference.view_cross_entropy(teacher, student, 0.1, pairs),
        )


def test_bfloat16_is_computed_in_float32():
    teacher = ops.cast(draw_probs(13, 2, 3, 5), "bfloat16")
    student = ops.cast(draw(14, 3, 3, 5), "bfloat16")
    loss = evaluate(view_cross_entropy, teacher, student, 0.04)
    assert loss.dtype == "float32"
    exact = [
        ops.convert_to_numpy(ops.cast(x, "float32")) for x in (teacher, student)
    ]
    check(loss, reference.view_cross_entropy(*exact, 0.04))


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((2, 3), (2, 3, 4), None), r"`teacher_probs` .*\[T, B, K\]"),
        (((2, 3, 4), (2, 5, 4), None), r"`student_logits`.*B=3"),
        (((2, 3, 4), (2, 3, 5), None), r"`student_logits`.*K=4"),
        (((2, 3, 4), (5, 3, 4), (5, 2)), r"`pairs`.*T=2.*\(5, 2\)"),
    ],
)
def test_wrong_shapes_are_named(shapes, message):
    teacher, student, pairs = (
        None if shape is None else np.ones(shape) for shape in shapes
    )
    with pytest.raises(ValueError, match=message):
        view_cross_entropy(teacher, student, 0.1, pairs)
