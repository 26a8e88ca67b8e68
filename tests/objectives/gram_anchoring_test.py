"""`GramAnchoring`: the loss, and when the Gram teacher is copied."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.losses import reference
from tests.objectives import features as made

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


def passes(model):
    return [(r.network, r.group) for r in model.plan.readings]


def rows(x):
    return x.reshape(-1, *x.shape[2:])


def read_by(backbone, arrays):
    """The tokens `[B * V, L, D]` that a backbone makes of a view group."""
    inputs = {k: rows(arrays[k]) for k in ("token_ids", "padding_mask")}
    return made.on_numpy(lambda: backbone(inputs)["sequence_output"])


# === The loss ===


@pytest.mark.parametrize("remove_negative", [False, True])
def test_value_and_gradient_with_a_given_teacher(remove_negative):
    given = other_encoder()
    objective = O.GramAnchoring(teacher=given, remove_negative=remove_negative)
    model = tiny.model([objective])
    views = VIEWS["global"]
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(*views["token_ids"].shape, 5)).astype("float32")
    anchor = read_by(given, views)
    # [CLS] and padding take no part.
    valid = rows(views["padding_mask"]).copy()
    valid[:, 0] = False
    assert np.array_equal(valid, rows(views["positions"]) >= 0)

    def loss(tokens):
        student = {"global": {"tokens": tokens}}
        return objective.compute(made.features(VIEWS, student)).loss

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
    assert model.plan.active == {("lesson", "info_nce")}
    assert passes(model) == [("student", "local")]
    model.enter_phase([3])
    assert passes(model) == [
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


# === Longer context ===


def context_views(span, context=(1.0, 1.0)):
    group = kd.views.ViewGroup
    return tiny.text_views(
        groups=[
            group("global", 2, span=span),
            group("local", 2, span=(0.2, 0.4), roles="student"),
            group("context", 1, span=context, roles="gram"),
        ]
    )


def loss_of(objective, views):
    """The objective as a function of the student's global tokens."""

    def loss(tokens):
        student = {"global": {"tokens": tokens}}
        result = objective.compute(made.features(views, student))
        missing.append(result.metrics.get("tokens_without_context"))
        return result.loss

    missing = []
    return loss, missing


def draw_tokens(views, width=5):
    shape = views["global"]["token_ids"].shape
    return np.random.default_rng(0).normal(size=(*shape, width))


def test_a_context_equal_to_the_span_changes_nothing():
    given = other_encoder()
    context = context_views(span=1.0)
    views = tiny.batch(batch_size=3, views=context)
    found = []
    for roles in (context.roles, None):
        objective = O.GramAnchoring(teacher=given)
        tiny.model([O.InfoNCE(), objective], roles=roles)
        loss, _ = loss_of(objective, views)
        found.append(value_and_grad(loss, draw_tokens(views)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)


@pytest.mark.parametrize("context", [(1.0, 1.0), (0.3, 0.7)])
def test_tokens_are_those_at_the_same_positions_of_the_context(context):
    given = other_encoder()
    text_views = context_views((0.4, 0.6), context)
    views = tiny.batch(batch_size=3, views=text_views)
    objective = O.GramAnchoring(teacher=given)
    model = tiny.model([O.InfoNCE(), objective], roles=text_views.roles)
    assert objective.reads(model.roles) == {("student", "global")}
    whole = views["context"]
    read = read_by(given, whole)
    positions = views["global"]["positions"]
    anchor = np.zeros((*positions.shape, read.shape[-1]))
    valid = np.zeros(positions.shape, bool)
    for b, v, i in np.ndindex(positions.shape):
        if positions[b, v, i] < 0:
            continue
        where = np.flatnonzero(whole["positions"][b, 0] == positions[b, v, i])
        if len(where):
            anchor[b, v, i], valid[b, v, i] = read[b, where[0]], True
    absent = (positions >= 0).sum() - valid.sum()
    assert (absent > 0) == (context != (1.0, 1.0)) and valid.any()

    tokens = draw_tokens(views)
    loss, missing = loss_of(objective, views)
    value, (gradient,) = value_and_grad(loss, tokens)

    def expected(x):
        return reference.gram(rows(x), rows(anchor), rows(valid))

    assert value == pytest.approx(expected(tokens), rel=1e-4)
    small = (slice(0, 1), slice(0, 1))

    def moved(x):
        whole = tokens.copy()
        whole[small] = x
        return expected(whole)

    reference.check_gradient(
        gradient[small], reference.gradient(moved, tokens[small]), 1e-4
    )
    loss(tokens.astype("float32"))  # outside of what jax compiles
    assert int(missing[-1]) == absent


def test_copies_of_the_teacher_read_the_context_too():
    context = context_views((0.4, 0.6))
    views = tiny.batch(batch_size=3, views=context)
    model = tiny.model(
        [O.InfoNCE(), O.GramAnchoring(refresh_every=2, max_refreshes=1)],
        momentum=0.5,
        roles=context.roles,
    )
    # No teacher reads anything here, and it differs from the student.
    assert {network for network, _ in passes(model)} == {"student"}
    for weight in model.teacher.encoder.weights:
        weight.assign(1.1 * weight)
    model.compile(keras.optimizers.SGD(0.1))
    copied = None
    for update in range(4):
        teacher = model.teacher.encoder.backbone
        if update in (0, 2):
            copied = tiny.backbone()
            copied.set_weights(teacher.get_weights())
        given = O.GramAnchoring(teacher=copied)
        tiny.model([O.InfoNCE(), given], roles=context.roles)
        loss, _ = loss_of(given, views)
        expected = float(
            made.on_numpy(
                lambda loss=loss: loss(
                    model(views)["student"]["global"]["tokens"]
                )
            )
        )
        model.reset_metrics()
        logs = model.train_on_batch(views, return_dict=True)
        assert logs["gram_anchoring"] == pytest.approx(expected, rel=1e-3)
        assert logs["gram_anchoring_tokens_without_context"] == 0
        for a, b in zip(gram_weights(model), tiny.values(copied.weights)):
            np.testing.assert_array_equal(a, b)


def test_a_group_of_student_and_gram_teacher_is_compared_alone():
    roles = {
        "global": ("student", "teacher"),
        "local": ("student", "gram"),
    }
    objective = O.GramAnchoring(teacher=other_encoder())
    model = tiny.model([objective], roles=roles)
    assert objective.reads(model.roles) == {("student", "local")}
    # A copy of the model's own teacher needs no pass of it.
    assert O.GramAnchoring().reads(model.roles) == {("student", "local")}
    inputs = {k: rows(VIEWS["local"][k]) for k in ("token_ids", "padding_mask")}

    def read():
        outputs = model(VIEWS)
        losses, _ = model.evaluate_objectives(VIEWS, outputs)
        anchor = objective.gram_teacher(inputs)["tokens"]
        return losses, outputs["student"]["local"]["tokens"], anchor

    (loss,), student, anchor = made.on_numpy(read)
    valid = rows(VIEWS["local"]["positions"]) >= 0
    assert float(loss) == pytest.approx(
        reference.gram(rows(student), anchor, valid), rel=1e-4
    )


# === Bad input ===


def test_refuses():
    with pytest.raises(ValueError, match="refresh_every=5"):
        O.GramAnchoring(teacher=other_encoder(), refresh_every=5)
    with pytest.raises(ValueError, match="max_refreshes=0"):
        O.GramAnchoring(refresh_every=5, max_refreshes=0)
    with pytest.raises(ValueError, match="max_refreshes=2, refresh_every=None"):
        O.GramAnchoring(max_refreshes=2)
    assert O.GramAnchoring(refresh_every=5).max_refreshes == 3
    with pytest.raises(ValueError, match="a vocabulary of 61"):
        wrong = other_encoder(vocabulary_size=61)
        tiny.model([O.GramAnchoring(teacher=wrong)])
    disjoint = {"a": ("student",), "b": ("teacher",)}
    both = {"a": ("student", "teacher")}
    for roles in (
        disjoint,
        {**disjoint, "c": ("gram",)},
        {**both, "b": ("gram",), "c": ("gram",)},
    ):
        with pytest.raises(ValueError, match="both networks"):
            tiny.model([O.GramAnchoring()], roles=roles)
    objective = O.GramAnchoring(teacher=other_encoder())
    tiny.model([objective], roles={"global": both["a"], "local": ("gram",)})
    with pytest.raises(ValueError, match="a group of 4 views"):
        loss_of(objective, VIEWS)[0](draw_tokens(VIEWS))
