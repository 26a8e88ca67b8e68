"""The formulas in float64 NumPy, written for reading: loops, no tricks."""

import numpy as np
from scipy.special import log_softmax
from scipy.special import logsumexp


def array(x):
    return np.asarray(x, "float64")


def sinkhorn_textbook(logits, temperature, num_iterations=3):
    """On exponentials, as printed; float64 holds up to 709 * temperature."""
    q = np.exp(array(logits) / temperature).T
    num_prototypes, num_samples = q.shape
    q /= q.sum()
    for _ in range(num_iterations):
        q /= q.sum(axis=1, keepdims=True) * num_prototypes
        q /= q.sum(axis=0, keepdims=True) * num_samples
    return (q * num_samples).T


def sinkhorn_dual(logits, temperature, num_iterations=3):
    """By the two potentials of optimal transport, for any range."""
    scores = array(logits) / temperature
    row = np.zeros(len(scores))
    for _ in range(num_iterations):
        column = -logsumexp(scores + row[:, None], axis=0)
        row = -logsumexp(scores + column[None, :], axis=1)
    return np.exp(scores + row[:, None] + column[None, :])


def view_cross_entropy(teacher, student, temperature, pairs=None):
    teacher, student = array(teacher), array(student)
    terms = []
    for t in range(len(teacher)):
        for s in range(len(student)):
            if pairs[t][s] if pairs is not None else t != s:
                for b in range(teacher.shape[1]):
                    logs = log_softmax(student[s, b] / temperature)
                    terms.append(-np.dot(teacher[t, b], logs))
    return np.mean(terms) if terms else 0.0


def token_cross_entropy(teacher, student, temperature, weights=None):
    teacher, student = array(teacher), array(student)
    weights = np.ones(len(teacher)) if weights is None else array(weights)
    total = 0.0
    for q, z, w in zip(teacher, student, weights, strict=True):
        if w:
            total += w * -np.dot(q, log_softmax(z / temperature))
    return total / weights.sum() if weights.sum() else 0.0


def unit(x):
    norms = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(norms == 0, 1.0, norms)


def koleo(embeddings, groups=None):
    x = unit(array(embeddings))
    total = 0.0
    for i in range(len(x)):
        distances = [
            np.linalg.norm(x[i] - x[j])
            for j in range(len(x))
            if j != i and (groups is None or groups[i] != groups[j])
        ]
        distances = [d for d in distances if d > 1e-6]
        if distances:
            total -= np.log(min(distances) + 1e-8)
    return total / len(x)


def gram(student, teacher, mask=None, remove_negative=False):
    student, teacher = array(student), array(teacher)
    terms = []
    for b in range(len(student)):
        keep = np.ones(student.shape[1], bool) if mask is None else mask[b]
        a = unit(student[b][keep]) @ unit(student[b][keep]).T
        c = unit(teacher[b][keep]) @ unit(teacher[b][keep]).T
        if remove_negative:
            a, c = np.maximum(a, 0), np.maximum(c, 0)
        terms.extend(((a - c) ** 2).ravel())
    return np.mean(terms) if terms else 0.0


def vicreg(x, y, invariance=25.0, variance=25.0, covariance=1.0):
    x, y = array(x), array(y)
    loss = invariance * np.mean((x - y) ** 2)
    for z in (x, y):
        std = np.sqrt(np.var(z, axis=0, ddof=1) + 1e-4)
        loss += variance * 0.5 * np.mean(np.maximum(0, 1 - std))
        cov = np.cov(z.T)
        np.fill_diagonal(cov, 0.0)
        loss += covariance * np.sum(cov**2) / z.shape[1]
    return loss


def info_nce(x, y, temperature=0.05):
    x, y = unit(array(x)), unit(array(y))
    total = 0.0
    for i in range(len(x)):
        total -= log_softmax(y @ x[i] / temperature)[i] / 2
        total -= log_softmax(x @ y[i] / temperature)[i] / 2
    return total / len(x)


def gradient(fn, x, step=1e-5):
    """Central differences of fourth order, in float64."""
    x = np.array(x, "float64")
    grad = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        for factor, shift in ((8, 1), (-8, -1), (-1, 2), (1, -2)):
            moved = x.copy()
            moved[place] += shift * step
            grad[place] += factor * fn(moved) / (12 * step)
    return grad


def draw(seed, *shape, low=-1.0, high=1.0):
    """Float32 numbers, so that both sides start from the same ones."""
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, size=shape).astype("float32")


def draw_probs(seed, *shape):
    """Probabilities of which some are 0 and some are near 1."""
    logits = np.random.default_rng(seed).normal(size=shape) * 8
    probs = np.exp(log_softmax(logits, axis=-1))
    return np.where(probs < 1e-4, 0.0, probs).astype("float32")


def check(actual, expected, tolerance=1e-5):
    """Every entry within the tolerance of the largest (or of 1, if less).

    Gradients are divided by their largest entry by the caller.
    """
    actual = np.asarray(actual, "float64")
    expected = np.asarray(expected, "float64")
    assert actual.shape == expected.shape
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    worst = float(np.max(np.abs(actual - expected), initial=0.0)) / scale
    assert worst <= tolerance, f"off by {worst:.2e}"  # a NaN fails too


def check_gradient(actual, expected, tolerance=1e-5):
    """As `check`, relative to the largest entry however small that is."""
    scale = float(np.max(np.abs(expected)))
    check(actual / scale, expected / scale, tolerance)
