"""`GramAnchoring`: the loss, and when the Gram teacher is copied."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.losses import reference

O = kd.objectives  # noqa: E741
VIEWS = tiny.batch(batch_size=3)


def other_encoder(**overrides):
    """A Gram teacher of another width."""
    backbone = tiny.backbone(hidden_dim=8, **overrides)
    rng = np.random.default_rng(3)
    for w in backbone.weights:
        w.assign(w + 0.3 * rng.normal(size=w.shape))
    return backbone


def compiled(objective, **kwargs):
    # InfoNCE keeps the model going before the start.
    model = tiny.model([O.InfoNCE(), objective], momentum=0.5)
    model.compile(keras.optimizers.SGD(0.1, **kwargs))
    return model


def rows(x):
    return x.reshape(-1, *x.shape[2:])


# === The loss ===


@pytest.mark.parametrize("remove_negative", [False, True])
def test_value_and_gradient_with_a_given_teacher(remove_negative):
    given = other_encoder()
    objective = O.GramAnchoring(teacher=given, remove_negative=remove_negative)
    model = tiny.model([objective])
    views = VIEWS["global"]
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(*views["token_ids"].shape, 5)).astype("float32")
    anchor = given({k: rows(views[k]) for k in ("token_ids", "padding_mask")})
    anchor = tiny.values([anchor["sequence_output"]])[0]
    # [CLS] and padding take no part.
    valid = rows(views["padding_mask"]).copy()
    valid[:, 0] = False
    assert np.array_equal(valid, rows(views["positions"]) >= 0)

    def loss(tokens):
        student = {"global": {"tokens": tokens}}
        features = O.Features(
            VIEWS, student, {}, 0, student_logits=None, teacher_logits=None
        )
        return objective.compute(features).loss

    value, (gradient,) = value_and_grad(loss, tokens)

    def expected(x):
        return reference.gram(rows(x), anchor, valid, remove_negative)

    assert value == pytest.approx(expected(tokens), rel=1e-4)
    small = (slice(0, 1), slice(0, 1))  # the rest follows by symmetry

    def moved(x):
        whole = tokens.astype("float64")
        whole[small] = x
        return expected(whole)

    reference.check_gradient(
        gradient[small], reference.gradient(moved, tokens[small]), 1e-4
    )
    assert objective.reads(model.roles) == {("student", "global")}
    # Frozen, and a copy: the given one is as it was.
    assert not objective.gram_teacher.trainable_weights
    assert given.trainable_weights
    assert not set(map(id, given.weights)) & set(map(id, model.weights))


def test_the_student_itself_may_be_given():
    backbone = tiny.backbone()
    objective = O.GramAnchoring(teacher=backbone)
    model = kd.models.DinoLM(backbone, [objective], num_prototypes=4)
    assert len(model.student.trainable_weights) == len(model.student.weights)
    for anchor, student in zip(
        objective.gram_teacher.weights, model.student.encoder.weights
    ):
        np.testing.assert_array_equal(*tiny.values([anchor, student]))
        assert anchor is not student


# === The copy ===


def gram_weights(model):
    return tiny.values(model.objectives[1].gram_teacher.weights)


def teacher_weights(model):
    return tiny.values(model.teacher.encoder.weights)


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_is_copied_at_start_and_refreshed_once_per_interval():
    model = compiled(
        O.GramAnchoring(start=1, refresh_every=2, max_refreshes=1),
        gradient_accumulation_steps=2,
    )
    (count,) = [model.objectives[1].copies]
    begin = gram_weights(model)
    before = []  # the teacher before each update
    for update in range(6):
        before.append(teacher_weights(model))
        expected, copies = begin, 0
        if update >= 1:
            expected, copies = before[1], 1
        if update >= 3:
            expected, copies = before[3], 2
        for micro in range(2):
            if update == 1 and micro == 0:
                # A bad step takes no copy; the next one does.
                gamma = next(
                    w for w in model.student.weights if "gamma" in w.path
                )
                good = tiny.values([gamma])[0]
                gamma.assign(np.full_like(good, np.nan))
                logs = model.train_on_batch(tiny.batch(9), return_dict=True)
                assert logs["skipped_steps"] == 1.0
                assert same(gram_weights(model), begin)
                assert int(tiny.values([count])[0]) == 0
                gamma.assign(good)
            model.reset_metrics()
            views = tiny.batch(2 * update + micro)
            logs = model.train_on_batch(views, return_dict=True)
            assert same(gram_weights(model), expected), (update, micro)
            assert int(tiny.values([count])[0]) == copies
            assert ("gram_anchoring" in logs) == (update >= 1)
            if update == 1 and micro == 0:
                first = logs["gram_anchoring"]
                start = tiny.values(model.student.weights), views
    # At its first step the teacher itself is the reference.
    weights, views = start
    assert not same(before[1], before[3])
    for variable, value in zip(model.student.weights, weights):
        variable.assign(value)
    for variable, value in zip(model.teacher.encoder.weights, before[1]):
        variable.assign(value)
    outputs = model(views)
    student, teacher = (
        rows(tiny.values([outputs[n]["global"]["tokens"]])[0])
        for n in ("student", "teacher")
    )
    valid = rows(views["global"]["positions"]) >= 0
    assert first == pytest.approx(
        reference.gram(student, teacher, valid), rel=1e-3
    )


def test_nothing_is_computed_before_the_start():
    objective = O.GramAnchoring(start=3)
    model = tiny.model([O.InfoNCE(), objective])
    assert model._active_names == {"info_nce"}
    assert model._passes == [("student", "local")]
    model._enter_phase(3)
    assert model._passes == [
        ("student", "global"),
        ("student", "local"),
        ("teacher", "global"),
    ]


def test_weight_may_be_a_schedule():
    objective = O.GramAnchoring(
        teacher=other_encoder(), weight=kd.schedules.Linear(0.0, 4.0, steps=4)
    )
    model = compiled(objective)
    losses = []
    for step in range(3):
        model.reset_metrics()
        logs = model.train_on_batch(tiny.batch(step), return_dict=True)
        rest = logs["loss"] - logs["info_nce"]
        losses.append(rest / logs["gram_anchoring"])
    np.testing.assert_allclose(losses, [0.0, 1.0, 2.0], atol=1e-2)


# === Bad input ===


def test_refuses():
    with pytest.raises(ValueError, match="refresh_every=5"):
        O.GramAnchoring(teacher=other_encoder(), refresh_every=5)
    with pytest.raises(ValueError, match="max_refreshes=0"):
        O.GramAnchoring(refresh_every=5, max_refreshes=0)
    with pytest.raises(ValueError, match="a vocabulary of 61"):
        wrong = other_encoder(vocabulary_size=61)
        tiny.model([O.GramAnchoring(teacher=wrong)])
    disjoint = {"a": ("student",), "b": ("teacher",)}
    with pytest.raises(ValueError, match="both networks"):
        tiny.model([O.GramAnchoring()], roles=disjoint)
