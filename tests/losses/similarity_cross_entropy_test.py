import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_dinolm.losses import entropy
from keras_dinolm.losses import similarity_cross_entropy
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw


def expected(teacher, student, teacher_temperature, student_temperature):
    """Text by text: its distribution over the other texts."""
    terms = []
    for i in range(len(teacher)):
        rows = []
        for x, temperature in (
            (teacher, teacher_temperature),
            (student, student_temperature),
        ):
            x = reference.unit(reference.array(x))
            rows.append(softmax(np.delete(x @ x[i], i) / temperature))
        terms.append(-np.dot(rows[0], np.log(rows[1])))
    return np.mean(terms)


@pytest.mark.parametrize("temperatures", [(0.05, 0.2), (1.0, 0.05)])
def test_value_and_gradients(temperatures):
    teacher, student = draw(0, 5, 3), draw(1, 5, 4)
    value, grads = value_and_grad(
        similarity_cross_entropy, teacher, student, others=temperatures
    )
    check(value, expected(teacher, student, *temperatures))
    assert not np.any(grads[0])
    numeric = reference.gradient(
        lambda x: expected(teacher, x, *temperatures), student, step=1e-6
    )
    check_gradient(grads[1], numeric)


def test_least_is_the_entropy_of_the_teacher():
    teacher = draw(2, 6, 4)
    x = reference.unit(teacher)
    others = [np.delete(x @ row, i) for i, row in enumerate(x)]
    least = evaluate(entropy, softmax(np.array(others) / 0.05, axis=-1))
    # Turned, stretched and in more dimensions: the same similarities.
    turn = np.linalg.qr(draw(3, 9, 9))[0][:4]
    student = 7.0 * teacher @ turn
    value, grads = value_and_grad(similarity_cross_entropy, teacher, student)
    check(value, least)
    np.testing.assert_allclose(grads[1], 0.0, atol=1e-6)
    mixed = evaluate(similarity_cross_entropy, teacher, student[::-1].copy())
    assert mixed > least + 0.1


def test_equal_for_all_costs_log_of_the_others():
    value = evaluate(similarity_cross_entropy, draw(4, 6, 3), np.ones((6, 2)))
    check(value, np.log(5), 1e-6)


@pytest.mark.parametrize("size", [1, 2])
def test_without_a_choice_it_is_zero(size):
    value, grads = value_and_grad(
        similarity_cross_entropy, draw(5, size, 3), draw(6, size, 3)
    )
    check(value, 0.0, 1e-6)
    np.testing.assert_allclose(grads[1], 0.0, atol=1e-6)


def test_duplicates_zero_rows_and_half_precision():
    teacher, student = draw(7, 6, 4), draw(8, 6, 4)
    student[3], teacher[5], student[5] = student[1], 0.0, 0.0
    _, grads = value_and_grad(similarity_cross_entropy, teacher, student)
    assert np.all(np.isfinite(grads[1])) and not np.any(grads[1][5])
    halves = [ops.cast(x, "bfloat16") for x in (teacher, student)]
    loss = evaluate(similarity_cross_entropy, *halves)
    assert loss.dtype == "float32"
    exact = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in halves]
    check(loss, expected(*exact, 0.05, 0.05))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`student`.*N=2"):
        similarity_cross_entropy(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="temperature=0"):
        similarity_cross_entropy(np.ones((2, 3)), np.ones((2, 3)), 0)
