import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_dinolm.losses import sinkhorn_potential
from tests.gradients import evaluate
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.losses.reference import check
from tests.losses.reference import draw

D, K = 4, 7


def weighted(features, prototypes, temperature, weight, **options):
    return sinkhorn_potential(
        features, prototypes, temperature, sample_weight=weight, **options
    )


def targets(features, prototypes, temperature, weight=None, **options):
    """What the potentials make of the logits, in float64."""
    if weight is None:
        weight = np.ones(len(features), "float32")
    found = evaluate(
        weighted, features, prototypes, temperature, weight, **options
    )
    logits = reference.array(features) @ reference.array(prototypes)
    return softmax(logits / temperature + found, axis=-1)


@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize("temperature, largest", [(0.05, 1.0), (1.0, 50.0)])
def test_gives_the_targets_of_the_textbook(rows, temperature, largest):
    features = draw(0, 10, D) * np.float32(largest)
    prototypes = draw(1, D, K)
    expected = reference.sinkhorn_dual(features @ prototypes, temperature)
    found = targets(features, prototypes, temperature, max_logits=rows * K)
    check(found, expected, 1e-5 if largest == 1.0 else 5e-5)


@pytest.mark.parametrize("num_iterations", [1, 2, 10])
def test_number_of_iterations(num_iterations):
    features, prototypes = draw(2, 9, D), draw(3, D, K)
    expected = reference.sinkhorn_textbook(
        features @ prototypes, 0.1, num_iterations
    )
    found = targets(
        *(features, prototypes, 0.1),
        num_iterations=num_iterations,
        max_logits=2 * K,
    )
    check(found, expected)


@pytest.mark.parametrize("garbage", [0.0, 1e4, np.nan, np.inf])
def test_rows_of_weight_zero_take_no_part(garbage):
    features, prototypes = draw(4, 8, D), draw(5, D, K)
    weight = np.array([0, 0, 1, 1, 0, 1, 1, 0], "float32")
    keep = weight > 0
    expected = reference.sinkhorn_textbook(features[keep] @ prototypes, 0.1)
    features[~keep] = garbage
    # The first chunk of two rows has none that counts.
    potential = evaluate(
        weighted, features, prototypes, 0.1, weight, max_logits=2 * K
    )
    found = softmax(features[keep] @ prototypes / 0.1 + potential, axis=-1)
    check(found, expected)


def test_only_padding_gives_no_potential():
    potential = evaluate(
        weighted, draw(6, 5, D), draw(7, D, K), 0.1, np.zeros(5, "float32")
    )
    assert np.array_equal(potential, np.zeros(K))


def test_one_row_is_uniform():
    check(targets(draw(8, 1, D), draw(9, D, K), 0.04), np.full((1, K), 1 / K))


def test_a_prototype_that_vanishes_for_all_samples():
    features, prototypes = draw(10, 10, D), draw(11, D, K)
    features[:, 0], prototypes[:, 2] = 1.0, 0.0
    prototypes[0, 2] = -50.0  # exp(-50 / 0.04) is 0 even in float64
    expected = reference.sinkhorn_dual(features @ prototypes, 0.04)
    found = targets(features, prototypes, 0.04, max_logits=3 * K)
    # A potential of 1250 holds 1e-4 of the exponent in float32.
    check(found, expected, 2e-4)


def test_carries_no_gradient():
    def loss(features, prototypes):
        return ops.sum(
            sinkhorn_potential(features, prototypes, 0.1, max_logits=2 * K)
        )

    _, grads = value_and_grad(loss, draw(12, 5, D), draw(13, D, K))
    assert not any(np.any(grad) for grad in grads)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"features": np.ones(3)}, r"`features` must have shape \[N, D\]"),
        ({"prototypes": np.ones((3, 5))}, "`prototypes`.*D=2"),
        ({"sample_weight": np.ones(4)}, "`sample_weight`.*N=3"),
        ({"temperature": 0.0}, "`temperature` must be a finite number above 0"),
        ({"num_iterations": 0}, "num_iterations=0"),
        ({"max_logits": 0.5}, "max_logits=0.5"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "features": np.ones((3, 2)),
        "prototypes": np.ones((2, 5)),
        "temperature": 0.1,
    } | change
    with pytest.raises(ValueError, match=message):
        sinkhorn_potential(**arguments)
