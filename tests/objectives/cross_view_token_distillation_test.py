"""`CrossViewTokenDistillation` against float64 NumPy loops over all pairs."""

import numpy as np
import pytest
from scipy.special import log_softmax

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.objectives import features as made

K = made.Lesson.num_prototypes
HEAD = np.random.default_rng(5).normal(size=(made.WIDTH, K)).astype("float32")
VIEWS = tiny.batch(batch_size=4)


class Teaching(made.Lesson):
    roles = {"global": ("student", "teacher"), "local": ("teacher",)}


def views_of(role, roles):
    return [
        (group, view)
        for group in roles
        if role in roles[group]
        for view in range({"global": 2, "local": 4}[group])
    ]


def features(batch, student, teacher):
    return made.features(batch, student, teacher, kernel=HEAD)


def build(lesson=made.Lesson, **kwargs):
    objective = kd.objectives.CrossViewTokenDistillation(
        teacher_temperature=0.5, **kwargs
    )
    objective.build_for(lesson())
    return objective


def sampled(positions, num_tokens):
    """The teacher's tokens of a view: slots, evenly spaced."""
    slots = np.flatnonzero(positions >= 0)
    if len(slots) <= num_tokens:
        return slots
    return slots[[j * len(slots) // num_tokens for j in range(num_tokens)]]


def expected(views, student, teacher, num_tokens, roles=made.Lesson.roles):
    """`(loss, aligned, skipped)`, each pair of tokens by itself."""
    rows, owners = [], []
    for group, view in views_of("teacher", roles):
        for b in range(len(views[group]["positions"])):
            positions = views[group]["positions"][b, view]
            for slot in sampled(positions, num_tokens):
                rows.append(teacher[group]["tokens"][b, view, slot])
                owners.append(((group, view), b, positions[slot]))
    scores = reference.array(rows) @ reference.array(HEAD)
    probs = reference.sinkhorn_textbook(scores, 0.5)
    terms, skipped = [], 0
    for (owner, b, place), target in zip(owners, probs):
        for group, index in views_of("student", roles):
            if (group, index) == owner:
                continue
            slot = np.flatnonzero(views[group]["positions"][b, index] == place)
            if not len(slot):
                skipped += 1
                continue
            token = reference.array(student[group]["tokens"][b, index, slot[0]])
            score = log_softmax(token @ reference.array(HEAD) / 0.1)
            terms.append(-np.dot(target, score))
    return np.mean(terms), len(terms), skipped


@pytest.mark.parametrize("num_tokens", [3, 40])
def test_value_gradient_and_counts(num_tokens):
    objective = build(num_tokens=num_tokens)
    student, teacher = made.draw(VIEWS, seed=0), made.draw(VIEWS, seed=1)

    def loss(tokens, teacher_tokens):
        found = features(
            VIEWS,
            {**student, "local": {"tokens": tokens}},
            {"global": {"tokens": teacher_tokens}},
        )
        return objective.compute(found).loss

    tokens = student["local"]["tokens"]
    value, (gradient, of_teacher) = value_and_grad(
        loss, tokens, teacher["global"]["tokens"]
    )
    wanted, aligned, skipped = expected(VIEWS, student, teacher, num_tokens)
    assert value == pytest.approx(wanted, rel=1e-5)
    assert aligned > 0 and skipped > 0
    assert not np.any(of_teacher)

    one = (slice(0, 1), slice(1, 2))

    def moved(x):
        replaced = tokens.astype("float64")
        replaced[one] = x
        other = {**student, "local": {"tokens": replaced}}
        return expected(VIEWS, other, teacher, num_tokens)[0]

    numeric = reference.gradient(moved, tokens[one])
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(
        gradient[one] / scale, numeric / scale, atol=1e-4
    )
    found = made.compute(objective, features(VIEWS, student, teacher))
    assert {k: float(v) for k, v in found.metrics.items()} == {
        "aligned_pairs": aligned,
        "skipped_pairs": skipped,
    }


def test_views_of_the_teacher_alone_teach_all_of_the_students():
    objective = build(Teaching, num_tokens=5)
    student, teacher = made.draw(VIEWS, seed=0), made.draw(VIEWS, seed=1)
    found = made.compute(objective, features(VIEWS, student, teacher))
    wanted = expected(VIEWS, student, teacher, 5, Teaching.roles)
    got = [found.loss, *found.metrics.values()]
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_special_tokens_and_padding_never_align():
    objective = build(num_tokens=40)
    student, teacher = made.draw(VIEWS, seed=0), made.draw(VIEWS, seed=1)
    before = made.compute(objective, features(VIEWS, student, teacher)).loss
    for network in (student, teacher):
        for group, found in network.items():
            found["tokens"][VIEWS[group]["positions"] < 0] = 1e3
    after = made.compute(objective, features(VIEWS, student, teacher)).loss
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_without_any_partner_the_loss_is_zero():
    objective = build()
    views = {group: dict(v) for group, v in VIEWS.items()}
    views["global"]["positions"] = np.full_like(
        views["global"]["positions"], -1
    )
    student, teacher = made.draw(views, seed=0), made.draw(views, seed=1)
    result = made.compute(objective, features(views, student, teacher))
    found = [result.loss, *result.metrics.values()]
    np.testing.assert_array_equal(found, 0.0)


def test_one_view_is_not_enough():
    class Single(made.Lesson):
        roles = {"global": ("student", "teacher")}

    views = {"global": {k: v[:, :1] for k, v in VIEWS["global"].items()}}
    student = made.draw(views, seed=0)
    with pytest.raises(ValueError, match="two different views"):
        build(Single).compute(features(views, student, student))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_tokens": 0}, "num_tokens=0"),
        ({"head": "tokens"}, "head='tokens'"),
        ({"student_temperature": 0.0}, "student_temperature=0.0"),
    ],
)
def test_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        kd.objectives.CrossViewTokenDistillation(**kwargs)
