import keras
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.special import softmax

from keras_dinolm.losses import chunked_cross_entropy
from keras_dinolm.losses import sinkhorn_potential
from tests.gradients import compiled
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import check_gradient
from tests.losses.reference import draw

K, D, E = 7, 5, 4  # the student's projection may be narrower
COLD, WARM = 0.2, 0.3


def arrays(num_teachers, num_students, num_rows):
    """Teacher and student: features and prototypes, and a bias."""
    return (
        draw(0, num_teachers, num_rows, D),
        draw(1, D, K),
        draw(2, num_students, num_rows, E),
        draw(3, E, K),
        draw(4, K),
    )


def expected_loss(teacher, to_k, student, from_k, bias, pairs, weights):
    """By loops over pairs and rows, in float64."""
    targets = softmax(reference.array(teacher) @ to_k / COLD + bias, axis=-1)
    logits = reference.array(student) @ reference.array(from_k)
    total = norm = 0.0
    for t, s in np.ndindex(*np.shape(pairs)):
        for n, weight in enumerate(weights):
            if pairs[t][s] and weight:
                z = logits[s, n] / WARM
                total += weight * (logsumexp(z) - np.dot(targets[t, n], z))
                norm += weight
    return total / norm if norm else 0.0


def make_loss(max_logits):
    """The loss, one function an argument, that jax may keep compiled."""

    def loss(student, prototypes, teacher, to_k, bias, pairs, weights):
        return chunked_cross_entropy(
            *(teacher, to_k, student, prototypes, COLD, WARM, bias),
            pairs=pairs,
            sample_weight=weights,
            max_logits=max_logits,
        )[0]

    return loss


CASES = {
    "tokens": ([[1]], [1, 1, 1, 1, 1, 1]),
    "padded tokens": ([[1]], [0.5, 0, 0.5, 1, 0, 0]),
    "no token": ([[1]], [0, 0, 0, 0, 0, 0]),
    "views": ([[0, 1, 1], [1, 0, 1]], [1, 1, 1, 1, 1, 1]),
    "a view without pairs": ([[0, 0], [1, 0]], [1, 1, 0, 2, 1, 1]),
    "no pair": ([[0]], [1, 1, 1, 1, 1, 1]),
}
# Rows at a time: one; four, which leaves spare ones; all.
LIMITS = {rows: make_loss(rows * K) for rows in (1, 4, 100)}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS.keys())
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_value_and_gradients(case, limit):
    pairs, weights = (np.array(x, "float32") for x in case)
    teacher, to_k, student, from_k, bias = arrays(*pairs.shape, len(weights))
    value, grads = value_and_grad(
        limit,
        student,
        from_k,
        others=[teacher, to_k, bias, pairs, weights],
    )
    rest = (pairs, weights)
    check(value, expected_loss(teacher, to_k, student, from_k, bias, *rest))
    for place, array in ((0, student), (1, from_k)):

        def loss(x, place=place):
            moved = (x, from_k) if place == 0 else (student, x)
            return expected_loss(teacher, to_k, *moved, bias, *rest)

        expected = reference.gradient(loss, array)
        if np.any(expected):
            check_gradient(grads[place], expected)
        else:
            assert not np.any(grads[place])


def tokens_with_targets(student, prototypes, teacher, to_k, weights):
    bias = sinkhorn_potential(
        teacher, to_k, COLD, sample_weight=weights, max_logits=2 * K
    )
    return chunked_cross_entropy(
        *(teacher[None], to_k, student[None], prototypes, COLD, WARM, bias),
        sample_weight=weights,
        max_logits=2 * K,
    )[0]


def test_with_sinkhorn_targets():
    weights = np.array([1, 0, 1, 1, 0, 1, 1], "float32")
    teacher, to_k, student, from_k, _ = arrays(1, 1, 7)
    value, _ = value_and_grad(
        tokens_with_targets,
        student[0],
        from_k,
        others=[teacher[0], to_k, weights],
    )
    keep = weights > 0
    targets = reference.sinkhorn_textbook(teacher[0][keep] @ to_k, COLD)
    logits = student[0][keep] @ from_k
    check(value, reference.token_cross_entropy(targets, logits, WARM))


@pytest.mark.parametrize("garbage", [1e4, np.nan, np.inf])
def test_rows_of_weight_zero_take_no_part(garbage):
    weights = np.array([1, 0, 1, 1, 0, 1, 1], "float32")
    teacher, to_k, student, from_k, _ = arrays(1, 1, 7)
    arguments = [teacher[0], to_k, weights]
    clean = value_and_grad(
        tokens_with_targets, student[0], from_k, others=arguments
    )
    teacher[0][weights == 0] = garbage
    student[0][weights == 0] = garbage
    value, grads = value_and_grad(
        tokens_with_targets, student[0], from_k, others=arguments
    )
    check(value, clean[0], 1e-6)
    for found, expected in zip(grads, clean[1], strict=True):
        check(found, expected, 1e-6)
    assert not np.any(grads[0][weights == 0])


def test_huge_logits_stay_finite():
    teacher, to_k, student, from_k, bias = arrays(1, 1, 6)
    student = student * np.float32(1e4)
    pairs, weights = np.ones((1, 1), "float32"), np.ones(6, "float32")
    value, grads = value_and_grad(
        LIMITS[4],
        student,
        from_k,
        others=[teacher * np.float32(1e4), to_k, bias, pairs, weights],
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(grad)) for grad in grads)


def metrics_of(teacher, to_k, student, from_k, weights):
    _, metrics = chunked_cross_entropy(
        *(teacher, to_k, student, from_k, COLD, WARM),
        sample_weight=weights,
        max_logits=3 * 2 * K,
    )
    usage = metrics.pop("student_usage")
    return keras.ops.concatenate(
        [keras.ops.stack([v for _, v in sorted(metrics.items())]), usage]
    )


def test_metrics_are_of_used_rows():
    teacher, to_k, student, from_k, _ = arrays(1, 2, 8)
    weights = np.array([1, 0, 0.25, 1, 3, 0, 1, 1], "float32")
    found = evaluate(metrics_of, teacher, to_k, student, from_k, weights)
    q = softmax(teacher[:, weights > 0] @ to_k / COLD, axis=-1)
    p = softmax(student[:, weights > 0] @ from_k / WARM, axis=-1)
    check(found[0], -np.mean(np.sum(p * np.log(p), axis=-1)))
    check(found[1], -np.mean(np.sum(q * np.log(q), axis=-1)))
    check(found[2:], p.mean(axis=(0, 1)))


def test_bfloat16_is_computed_in_float32():
    teacher, to_k, student, from_k, bias = (
        keras.ops.cast(x, "bfloat16") for x in arrays(1, 1, 6)
    )
    pairs, weights = np.ones((1, 1), "float32"), np.ones(6, "float32")
    loss = evaluate(
        LIMITS[4], student, from_k, teacher, to_k, bias, pairs, weights
    )
    assert loss.dtype == "float32"
    exact = [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
        for x in (teacher, to_k, student, from_k, bias)
    ]
    check(loss, expected_loss(*exact, pairs, weights))


def test_compiled_and_not_are_the_same():
    teacher, to_k, student, from_k, bias = map(
        keras.ops.convert_to_tensor, arrays(2, 3, 6)
    )
    pairs = keras.ops.convert_to_tensor(np.ones((2, 3), "float32"))
    weights = keras.ops.convert_to_tensor(np.ones(6, "float32"))
    arguments = (student, from_k, teacher, to_k, bias, pairs, weights)
    plain, fast = (
        float(keras.ops.convert_to_numpy(f(*arguments)))
        for f in (LIMITS[4], compiled(LIMITS[4]))
    )
    assert plain == pytest.approx(fast, rel=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"teacher_features": np.ones((3, 2))}, r"`teacher_features`.*T, N, D"),
        ({"student_features": np.ones((1, 4, 2))}, "`student_features`.*N=3"),
        ({"student_prototypes": np.ones((2, 4))}, "`student_prototypes`.*K=5"),
        ({"teacher_bias": np.ones(4)}, "`teacher_bias`.*K=5"),
        (
            {"pairs": np.ones((1, 2))},
            r"`pairs` must have shape \[T, S\] with S=1",
        ),
        ({"sample_weight": np.ones(2)}, "`sample_weight`.*N=3"),
        (
            {"student_temperature": 0.0},
            "`student_temperature` must be a finite",
        ),
        ({"max_logits": 0}, "`max_logits`.*max_logits=0"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "teacher_features": np.ones((1, 3, 2)),
        "teacher_prototypes": np.ones((2, 5)),
        "student_features": np.ones((1, 3, 2)),
        "student_prototypes": np.ones((2, 5)),
        "teacher_temperature": 0.1,
        "student_temperature": 0.1,
        "sample_weight": None,
    } | change
    with pytest.raises(ValueError, match=message):
        chunked_cross_entropy(**arguments)
