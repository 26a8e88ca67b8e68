"""LeJEPA's and MoCo's losses on hand-made features, and their state."""

import keras
import numpy as np
import pytest
from scipy.special import erf

import keras_dinolm as kd
from tests import tiny
from tests.losses import reference
from tests.losses.sigreg_test import definition
from tests.objectives import features as made

O = kd.objectives  # noqa: E741
VIEWS = tiny.batch(batch_size=6)
VIEWS["local"] = {name: x[:, :2] for name, x in VIEWS["local"].items()}
STUDENT, TEACHER = made.draw(VIEWS, seed=0), made.draw(VIEWS, seed=1)


def build(objective):
    objective.build_for(made.Lesson())
    return objective


def views_of(features, *groups):
    return [
        features[g]["sequence"][:, v].astype("float64")
        for g in groups
        for v in range(features[g]["sequence"].shape[1])
    ]


@pytest.mark.parametrize("target", ["student", "teacher"])
@pytest.mark.parametrize("projection_dim", [None, 3])
def test_lejepa(target, projection_dim):
    objective = build(
        O.SIGReg(0.2, projection_dim, target, num_directions=2_000, seed=1)
    )

    def project(x):
        if projection_dim is None:
            return x
        up, up_bias, down, down_bias = (
            w.astype("float64")
            for w in tiny.values(objective.projector.weights)
        )
        x = x @ up + up_bias
        return 0.5 * x * (1 + erf(x / np.sqrt(2))) @ down + down_bias

    students = [project(x) for x in views_of(STUDENT, "global", "local")]
    central = students[:2]
    if target == "teacher":
        central = [project(x) for x in views_of(TEACHER, "global")]
    mean = np.mean(central, axis=0)
    invariance = np.mean([np.mean((x - mean) ** 2) for x in students])
    # So many directions that others give nearly the same.
    others = np.random.default_rng(7).normal(size=(500, students[0].shape[1]))
    statistic = np.mean([definition(x, others) for x in students])

    found = made.compute(objective, made.features(VIEWS, STUDENT, TEACHER))
    assert found.metrics["invariance"] == pytest.approx(invariance, rel=1e-4)
    assert found.metrics["statistic"] == pytest.approx(statistic, rel=0.03)
    assert found.loss == pytest.approx(
        0.2 * found.metrics["statistic"] + 0.8 * invariance, rel=1e-4
    )


def test_views_meet_the_mean_of_all_where_the_teacher_reads_others():
    class Disjoint(made.Lesson):
        roles = {"local": ("student",), "global": ("teacher",)}

    objective = O.SIGReg(projection_dim=None)
    objective.build_for(Disjoint())
    assert objective.reads(Disjoint.roles) == {("student", "local")}
    found = made.compute(objective, made.features(VIEWS, STUDENT, TEACHER))
    views = views_of(STUDENT, "local")
    assert found.metrics["invariance"] == pytest.approx(
        np.mean((views - np.mean(views, axis=0)) ** 2), rel=1e-4
    )


@pytest.mark.parametrize("queue_size", [0, 20])
def test_each_view_finds_the_teachers_other_views(queue_size):
    objective = build(O.MomentumContrast(0.2, queue_size))
    negatives = np.zeros((0, made.WIDTH))
    if queue_size:
        (negatives,) = tiny.values([objective.queue])
    students = views_of(STUDENT, "global", "local")
    teachers = views_of(TEACHER, "global")
    terms = []
    for i, x in enumerate(students):
        for j, y in enumerate(teachers):
            if i == j:
                continue
            a, b, c = (reference.unit(z) for z in (x, y, negatives))
            scores = a @ np.concatenate([b, c]).T / 0.2
            forward = np.log(np.exp(scores).sum(axis=1)) - np.diag(scores)
            back = scores[:, : len(b)].T
            backward = np.log(np.exp(back).sum(axis=1)) - np.diag(back)
            terms.append(np.mean(forward + backward) / 2)
    features = made.features(VIEWS, STUDENT, TEACHER)
    found = made.compute(objective, features)
    assert found.loss == pytest.approx(np.mean(terms), rel=1e-5)
    if not queue_size:
        return
    # The newest in front; nothing moves after a step that is not finite.
    keys = np.concatenate([reference.unit(y) for y in teachers])
    statistics = {
        k: keras.ops.convert_to_tensor(v) for k, v in found.statistics.items()
    }
    for finite, expected in (
        (False, negatives),
        (True, [*keys, *negatives[:8]]),
    ):
        finite = keras.ops.convert_to_tensor(finite)
        objective.after_step(statistics, finite, finite)
        (queue,) = tiny.values([objective.queue])
        np.testing.assert_allclose(queue, expected, atol=1e-6)


def test_refuses_what_it_cannot_compare():
    class Alone(made.Lesson):
        roles = {"global": ("student", "teacher")}

    objective = O.MomentumContrast()
    objective.build_for(Alone())
    one = {"global": {"sequence": STUDENT["global"]["sequence"][:, :1]}}
    with pytest.raises(ValueError, match="no pair of different views"):
        objective.compute(made.features(VIEWS, one, one))
    teacher = kd.models.FixedTeacher(tiny.backbone(hidden_dim=8))
    for objective in (O.MomentumContrast(), O.SIGReg(target="teacher")):
        with pytest.raises(ValueError, match="student of width 16"):
            kd.models.DinoLM(tiny.backbone(), [objective], teacher=teacher)


# === Prototypes ===


def test_prototypes_start_where_features_are():
    model = tiny.model([O.SequenceDistillation(), O.TokenDistillation()])

    def nearest():
        """Cosine of each projected text with its prototype, and how many."""
        features = model.teacher(tiny.batch(5)["global"])
        scores = tiny.values(
            [model.teacher.logits("sequence", features["sequence"])]
        )[0].reshape(-1, 12)
        return scores.max(axis=1).mean(), len(set(scores.argmax(axis=1)))

    before = nearest()
    kd.recipes.start_prototypes(model, tiny.Batches(6), 300)
    after = nearest()
    assert after[0] > before[0] + 0.1 and after[1] >= before[1]
    for head in ("sequence", "token"):
        ours, theirs = tiny.values(
            [t.prototypes(head).kernel for t in (model.student, model.teacher)]
        )
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(np.linalg.norm(ours, axis=0), 1, atol=1e-5)
    with pytest.raises(ValueError, match="heads=\\(\\)"):
        kd.recipes.start_prototypes(tiny.model([O.InfoNCE()]), tiny.Batches(1))
