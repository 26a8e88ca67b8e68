"""Several lessons in one run: students, teachers, and both.

What a single lesson does is tested in `dino_lm_test.py` and
`fixed_teacher_test.py`; the numbers of all kinds in `trajectories_test.py`.
"""

import collections
import types
import warnings

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.assets.trajectories import fill
from tests.assets.trajectories import tower_parts
from tests.models import tiny as tiny_models

O = kd.objectives  # noqa: E741
STEPS = 6
RAMP = kd.schedules.Linear(0.0, 1.0, 5)
BACKEND = keras.backend.backend()
# Compiled programs of another extent may round otherwise.
ATOL = 0.0 if BACKEND == "torch" else 1e-5
# To trace a step takes tensorflow longer than to run these; the compiled one
# is that of `trajectories_test.py`.
EAGERLY = BACKEND == "tensorflow"


def tokenizer():
    """One of as many words as the models have."""
    words = map(str, range(tiny.VOCABULARY_SIZE - 5))
    return kd.models.DinoLMTokenizer([*tiny_models.VOCABULARY[:5], *words])


# === Models of each kind ===


def trained(width=24, num_prototypes=12):
    """A teacher, wider and deeper than the students."""
    return tiny.model(
        [O.SequenceDistillation(), O.TokenDistillation()],
        backbone_overrides={"hidden_dim": width, "num_layers": 2},
        num_prototypes=num_prototypes,
        bottleneck_dim=width // 2,
    )


def lesson(name, student, teacher, objectives, **kwargs):
    return kd.models.Lesson(
        student,
        objectives,
        teacher=teacher,
        name=name,
        head_hidden_dim=16,
        bottleneck_dim=8,
        **kwargs,
    )


def distillation(lessons, optimizer=None, **kwargs):
    """A compiled model, whose weights depend on the names of its lessons."""
    model = kd.models.Distillation(lessons, **kwargs)
    parts = model.lessons()
    for name, part in parts.items():
        fill(tower_parts(name, part.student, encoder=False))
    for learner in model.learners():
        width = learner.lessons.values()[0].encoder.hidden_dim
        encoder = learner.lessons.values()[0].encoder
        fill([(f"student{width}", encoder.weights)])
    for part in parts.values():
        if not part.teacher_is_fixed:
            part.reset_teacher()
    if optimizer is not None:
        model.compile(optimizer, run_eagerly=EAGERLY)
    return model


def first(teacher):
    """Accumulates gradients; its center moves once per update."""
    targets = kd.layers.Centering()
    objectives = [O.SequenceDistillation(targets=targets)]
    return lesson("first", tiny.backbone(), teacher, objectives)


def second(teacher):
    """Narrower; from its third update on it reads more of the teacher."""
    # On jax each phase is compiled; the trajectories have this one.
    start = 0 if BACKEND == "jax" else 3
    objectives = [O.InfoNCE(), O.TokenDistillation(start=start)]
    return lesson("second", tiny.backbone(hidden_dim=8), teacher, objectives)


def student_optimizers():
    return {
        "first": kd.optimizers.AdamW(1e-2, gradient_accumulation_steps=2),
        "second": kd.optimizers.AdamW(2e-2, global_clipnorm=0.1),
    }


def students(order=1):
    teacher = trained()
    lessons = [first(teacher), second(teacher)]
    return distillation(lessons[::order], student_optimizers())


def teacher_lessons(encoders, order=1):
    made = [
        lesson(
            name,
            encoder,
            trained(width, count),
            [
                O.SequenceDistillation(targets=kd.layers.Centering()),
                O.TokenDistillation(),
            ],
            weight=weight,
        )
        for (name, width, count, weight), encoder in zip(
            (("docs", 24, 12, 1.0), ("news", 20, 9, 3.0)), encoders
        )
    ]
    return made[::order]


def accumulating():
    return kd.optimizers.AdamW(1e-2, gradient_accumulation_steps=2)


def make_encoder(**kwargs):
    return kd.models.TextEncoder(tiny.backbone(**kwargs), name="pupil")


def teachers(order=1):
    lessons = teacher_lessons([make_encoder()] * 2, order)
    return distillation(lessons, accumulating())


def mixed_lessons(encoders, start=0, order=1):
    own = [
        O.SequenceDistillation(targets=kd.layers.Centering(), start=start),
    ]
    made = [
        lesson(
            "own",
            encoders[0],
            None,
            own,
            num_prototypes=7,
            momentum=0.5,
            weight=1.0,
            mask_student=False,
        ),
        lesson(
            "docs", encoders[1], trained(), [O.TokenDistillation()], weight=3.0
        ),
    ]
    return made[::order]


def mixed(order=1):
    """One student of itself, later on, and of a teacher."""
    lessons = mixed_lessons([make_encoder()] * 2, start=2, order=order)
    return distillation(lessons, kd.optimizers.AdamW(1e-2))


KINDS = {"students": students, "teachers": teachers, "mixed": mixed}


# === Runs of each kind ===


def make_dataset(start_step):
    step = start_step
    while True:
        yield (tiny.batch(step),)
        step += 1


def fit(model, directory, callbacks=()):
    return kd.runs.fit(
        model,
        make_dataset,
        directory,
        steps=STEPS,
        steps_per_epoch=4,
        save_every=2,
        callbacks=list(callbacks),
        verbose=0,
    )


def variables(model):
    return [*model.variables, *model.optimizer.variables]


def state(model):
    return tiny.values(variables(model))


def restore(model, values):
    for variable, value in zip(variables(model), values, strict=True):
        variable.assign(value)


def assert_close(left, right, atol=0.0):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def size(backbone):
    """A number that any change of its weights changes."""
    return float(sum(np.abs(w).sum() for w in tiny.values(backbone.weights)))


class FirstBatch(keras.callbacks.Callback):
    """The weights before and after the first batch."""

    def __init__(self, read):
        super().__init__()
        self.read = read
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        if len(self.seen) < 2:
            self.seen.append(self.read(self.model))


def networks(model):
    """The weights of student and teacher of each lesson."""
    return {
        name: [
            tiny.values(tower.weights) for tower in (one.student, one.teacher)
        ]
        for name, one in model.lessons().items()
    }


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory):
    """One compiled model of each kind, trained and watched."""
    keras.utils.set_random_seed(0)
    model = KINDS[request.param]()
    start, before = state(model), networks(model)
    names = list(model.students) if len(model.students) > 1 else [None]
    probes = {
        name: kd.callbacks.OnlineProbe(
            lambda embedder: {"size": size(embedder.backbone)},
            tokenizer(),
            every=2,
            time_share=1,
            student=name,
        )
        for name in names
    }
    monitor = kd.callbacks.CollapseMonitor(patience=2, check_every=1)
    batch = FirstBatch(networks)
    callbacks = [batch, monitor, *probes.values()]
    folder = tmp_path_factory.mktemp(request.param)
    with warnings.catch_warnings():
        # Five updates of random weights may well look like a collapse.
        warnings.simplefilter("ignore", kd.callbacks.CollapseWarning)
        history = fit(model, folder, callbacks).history
    return types.SimpleNamespace(
        kind=request.param,
        model=model,
        start=start,
        before=before,
        after=networks(model),
        end=state(model),
        history=history,
        probes=probes,
        monitor=monitor,
        batch=batch,
    )


def test_students_move_and_fixed_teachers_stay(run):
    for name, one in run.model.lessons().items():
        (student, teacher), (learned, now) = run.before[name], run.after[name]
        assert any(np.any(a != b) for a, b in zip(student, learned))
        if one.teacher_is_fixed:
            assert_close(now, teacher)
        else:
            assert any(np.any(a != b) for a, b in zip(teacher, now))
    # Updates, of which one optimizer makes one in two batches.
    updates = tiny.values([one.updates for one in run.model.learners()])
    assert (
        updates == {"students": [3, 6], "teachers": [3], "mixed": [6]}[run.kind]
    )


def test_a_teacher_follows_its_student_while_its_lesson_waits(run):
    if run.kind != "mixed":
        return
    assert np.isnan(run.history["own_sequence_distillation"][0]) or (
        len(run.history["own_sequence_distillation"]) == 2
    )
    (_, before), (student, teacher) = (seen["own"] for seen in run.batch.seen)
    for old, new, learned in zip(before, teacher, student, strict=True):
        np.testing.assert_allclose(new, (old + learned) / 2, atol=1e-6)
    assert any(np.any(a != b) for a, b in zip(before, teacher))


def test_resumes_to_the_bit(run, tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                raise KeyError("crash")

    # The same object, which need not be compiled again, from the start.
    restore(run.model, run.start)
    with pytest.raises(KeyError, match="crash"):
        fit(run.model, tmp_path, [Crash()])
    restore(run.model, [np.ones_like(value) for value in run.start])
    history = fit(run.model, tmp_path).history
    assert_close(state(run.model), run.end)
    assert set(history) < set(run.history)
    for name, values in history.items():
        np.testing.assert_equal(values, run.history[name], err_msg=name)


def test_saves_and_loads(run, tmp_path):
    restore(run.model, run.end)
    run.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(state(again), run.end)
    assert type(again) is kd.models.Distillation
    for name, found in again.lessons().items():
        expected = run.model.lessons()[name]
        for option in ("weight", "num_prototypes", "momentum", "mask_student"):
            assert getattr(found, option) == getattr(expected, option)
    one, two = again.lessons().values()
    # What lessons shared they share again.
    assert (one.teacher is two.teacher) == (run.kind == "students")
    assert (one.encoder is two.encoder) == (run.kind != "students")
    if run.kind == "students":
        one, two = (learner.optimizer for learner in again.learners())
        assert one.gradient_accumulation_steps == 2
        assert two.global_clipnorm == 0.1
        again.optimizer.learning_rate = 0.5
        rates = tiny.values([o.learning_rate for o in (one, two)])
        assert rates == [0.5, 0.5]


def test_monitors_and_probes_watch_each_student(run):
    restore(run.model, run.end)
    fronts = {name: "" if name is None else f"{name}_" for name in run.probes}
    for name, front in fronts.items():
        learned = run.model.learned(name).encoder.backbone
        history = run.probes[name].history
        assert [record["step"] for record in history] == [2, 4, 6]
        assert history[-1]["size"] == pytest.approx(size(learned))
        logged = "size" if name is None else f"{name}/size"
        assert run.history[f"probe/{logged}"][-1] == history[-1]["size"]
        for metric in ("rankme", "feature_std", "loss", "skipped_steps"):
            assert np.isfinite(run.history[f"{front}{metric}"]).all()
    # Each distillation objective of each lesson.
    watched = {
        "students": [
            "first_sequence_distillation",
            "second_token_distillation",
        ],
        "teachers": [
            "docs_sequence_distillation",
            "docs_token_distillation",
            "news_sequence_distillation",
            "news_token_distillation",
        ],
        "mixed": ["own_sequence_distillation", "docs_token_distillation"],
    }[run.kind]
    found = {n.removesuffix("_minus_ln_k") for n in run.history if "ln_k" in n}
    assert found == set(watched)
    assert {f"{n}_teacher_entropy" for n in watched} <= set(run.history)


def test_exports_each(run, tmp_path):
    restore(run.model, run.end)
    for name in run.probes:
        path = tmp_path / str(name)
        run.model.export_preset(path, tokenizer(), student=name)
        backbone = keras_hub.models.Backbone.from_preset(str(path))
        learned = run.model.learned(name).encoder.backbone
        assert_close(
            tiny.values(backbone.weights), tiny.values(learned.weights)
        )
    if run.kind == "students":
        with pytest.raises(ValueError, match=r"\['first', 'second'\].*None"):
            run.model.export_preset(tmp_path / "p", tokenizer())
        return
    with pytest.raises(ValueError, match="heads of 2 lessons"):
        run.model.export_preset(tmp_path / "p", tokenizer(), heads=True)
    # What is exported is the student, or its moving average.
    lessons = run.model.lessons()
    own = lessons["own"].teacher if run.kind == "mixed" else None
    expected = own or lessons["docs"].student
    assert run.model.learned() is expected


# === What each learns ===


def test_each_student_learns_what_it_learns_alone(run, tmp_path):
    if run.kind != "students":
        return
    restore(run.model, run.end)
    optimizers = student_optimizers()
    for build, found in zip((first, second), run.model.learners()):
        alone = distillation([build(trained())], optimizers[found.name])
        # `fit` itself is that of the run; here it is batch by batch.
        for step in range(STEPS):
            alone.train_on_batch(tiny.batch(step))
        (expected,) = alone.learners()
        metrics = {id(v) for v in expected.metrics_variables}
        for one, other in zip(
            [*found.variables, *found.optimizer.variables],
            [*expected.variables, *expected.optimizer.variables],
            strict=True,
        ):
            if id(other) not in metrics:
                assert_close(tiny.values([one]), tiny.values([other]), ATOL)
    losses = [run.history[f"{name}_loss"] for name in run.model.students]
    np.testing.assert_allclose(
        run.history["loss"], np.sum(losses, axis=0), rtol=1e-6
    )


def changes(model, variables):
    """What one step of plain gradient descent adds to each variable."""
    before = tiny.values(variables)
    logs = model.train_on_batch(tiny.batch(), return_dict=True)
    logs = {name: float(value) for name, value in logs.items()}
    return logs, [a - b for a, b in zip(tiny.values(variables), before)]


@pytest.mark.parametrize(
    "make",
    # On jax each of these compiles three models.
    [mixed_lessons] if BACKEND == "jax" else [mixed_lessons, teacher_lessons],
)
def test_a_step_is_the_weighted_mean_of_the_steps_of_each(make):
    def sgd():
        return keras.optimizers.SGD(0.1)

    shared = make_encoder()
    model = distillation(make([shared, shared]), sgd())
    logs, found = changes(model, shared.trainable_variables)
    moves, losses = [], []
    for one in make([make_encoder(), make_encoder()]):
        alone = distillation([one], sgd())
        own, moved = changes(alone, one.encoder.trainable_variables)
        moves.append(moved)
        losses.append(own["loss"])
        for name in ("loss", *one.trackers):
            assert logs[f"{one.name}_{name}"] == pytest.approx(own[name], 1e-5)
    assert logs["loss"] == pytest.approx(np.dot((0.25, 0.75), losses), 1e-5)
    assert logs["skipped_steps"] == 0
    assert any(np.abs(x).max() > 1e-4 for x in found)
    for mean, one, other in zip(found, *moves, strict=True):
        np.testing.assert_allclose(mean, 0.25 * one + 0.75 * other, atol=1e-6)


def test_one_that_breaks_does_not_stop_the_other(run):
    if run.kind != "students":
        return
    model = run.model
    restore(model, run.end)
    broken, healthy = model.learners()
    weight = broken.trainable_variables[0]
    weight.assign(np.nan * tiny.values([weight])[0])
    apart = {id(v) for v in model.metrics_variables}
    parts = [
        [v for v in (*one.variables, *one.optimizer.variables)]
        for one in (broken, healthy)
    ]
    # Two, since `broken` makes an update in two batches.
    before = [tiny.values(part) for part in parts]
    for step in range(2):
        logs = model.train_on_batch(tiny.batch(step), return_dict=True)
        assert logs["first_skipped_steps"] == 1
        assert logs["second_skipped_steps"] == 0
    for variable, old, new in zip(parts[0], before[0], tiny.values(parts[0])):
        if id(variable) not in apart and "seed" not in variable.path:
            np.testing.assert_array_equal(old, new, err_msg=variable.path)
    moved = zip(
        tiny.values(healthy.trainable_variables),
        [
            old
            for variable, old in zip(parts[1], before[1])
            if any(variable is v for v in healthy.trainable_variables)
        ],
    )
    assert all(np.any(a != b) for a, b in moved)
    assert np.isfinite(logs["second_loss"])
    guards = model.guards()
    guards[0].max_skipped_steps = 1
    with pytest.raises(FloatingPointError, match="max_skipped_steps=1"):
        for guard in guards:
            guard.on_epoch_begin(0)
            guard.on_train_batch_end(0, logs)
            guard.on_epoch_end(0)


def test_eager_in_half_precision_each_does_what_it_does_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = students()
    model.compile(student_optimizers(), run_eagerly=True)
    logs = model.train_on_batch(tiny.batch(0), return_dict=True)
    assert {"loss", "first_loss", "second_info_nce"} <= set(logs)
    tested = model.test_on_batch(tiny.batch(1), return_dict=True)
    for build, found in zip((first, second), model.learners()):
        alone = distillation([build(trained())])
        alone.compile(student_optimizers()[found.name], run_eagerly=True)
        alone.train_on_batch(tiny.batch(0))
        assert_close(
            tiny.values(found.trainable_variables),
            tiny.values(alone.trainable_variables),
            ATOL,
        )
        expected = alone.test_on_batch(tiny.batch(1), return_dict=True)
        assert tested[f"{found.name}_loss"] == pytest.approx(
            expected["loss"], abs=1e-5
        )


# === What is computed ===


@pytest.fixture
def calls(monkeypatch):
    """How often a block runs, by the width of its network."""
    counts = collections.Counter()
    original = kd.layers.EncoderBlock.call

    def spy(self, x, *args, **kwargs):
        counts[x.shape[-1]] += 1
        return original(self, x, *args, **kwargs)

    monkeypatch.setattr(kd.layers.EncoderBlock, "call", spy)
    return counts


def read(model):
    """A forward pass; returns which networks read which groups."""
    batch = tiny.batch(batch_size=2)
    if BACKEND == "jax":  # without computing, which compiles each operation
        batch = keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, str(x.dtype)), batch
        )
        outputs = keras.src.backend.compute_output_spec(
            lambda batch: model.call(batch, training=True), batch
        )
    else:
        outputs = model(batch, training=True)
    found = {name: sorted(groups) for name, groups in outputs.items() if groups}
    # What is not planned is not returned, and the other way round.
    assert sorted((n, g) for n in found for g in found[n]) == sorted(
        tiny.passes(model)
    )
    return found


# The feature of a text is that of the embeddings: blocks run for tokens alone.
SHALLOW = {"pooled_layers": (0,)}


def test_one_student_runs_no_block_that_nothing_reads(calls):
    model = distillation(
        [
            lesson(
                "lesson",
                tiny.backbone(**SHALLOW),
                trained(),
                [O.SequenceDistillation(start=3), O.InfoNCE()],
            )
        ]
    )
    assert read(model) == {"student": ["local"]}
    # The statistics of tokens do without.
    assert not calls
    model.enter_phase([3])
    assert read(model) == {
        "student": ["global", "local"],
        "teacher": ["global"],
    }
    assert calls == {24: 2}


def test_several_students_run_no_block_that_nothing_reads(calls):
    teacher = trained()
    model = distillation(
        [
            lesson("one", tiny.backbone(), teacher, [O.InfoNCE()]),
            lesson(
                "two",
                tiny.backbone(hidden_dim=8),
                teacher,
                [O.InfoNCE(), O.TokenDistillation(start=3)],
            ),
        ]
    )
    assert read(model) == {"one": ["local"], "two": ["local"]}
    assert calls == {16: 1, 8: 1}
    # Each at its own update; the teacher reads once for all who want it.
    calls.clear()
    model.enter_phase([0, 3])
    assert read(model)["two"] == ["global", "local"]
    assert calls == {16: 1, 8: 2, 24: 2}

    model = distillation(
        [
            lesson(
                name, tiny.backbone(), teacher, [O.SequenceDistillation(), more]
            )
            for name, more in (
                ("one", O.FeatureRegression(2)),
                ("two", O.KoLeo()),
            )
        ]
    )
    calls.clear()
    read(model)
    assert calls == {16: 4, 24: 2}
    with pytest.raises(ValueError, match=r"lacks the view groups \['local'\]"):
        model({"global": tiny.batch()["global"]})


def test_several_teachers_run_no_block_that_nothing_reads(calls):
    def teacher(width):
        overrides = {"hidden_dim": width, "num_layers": 2, **SHALLOW}
        return tiny.model(backbone_overrides=overrides, bottleneck_dim=8)

    encoder = make_encoder()
    model = distillation(
        [
            lesson("docs", encoder, teacher(24), [O.TokenDistillation()]),
            lesson("news", encoder, teacher(20), [O.SequenceDistillation()]),
            lesson("late", encoder, teacher(28), [O.KoLeo(start=2)]),
        ]
    )
    found = read(model)
    assert found == {
        "pupil" if len(model.students) > 1 else "student": ["global", "local"],
        "docs_teacher": ["global"],
        "news_teacher": ["global"],
    }
    # Of "news" nobody reads tokens, and "late" has yet to begin.
    assert calls == {16: 2, 24: 2}


def test_a_lesson_sees_what_it_would_see_alone():
    seen = {}

    @keras.saving.register_keras_serializable(package="tests")
    class Spy(O.Objective):
        reads_tokens = "none"

        def reads(self, roles):
            return {("student", "global"), ("teacher", "global")}

        def compute(self, features):
            seen["student"] = sorted(features.student)
            seen["teacher"] = sorted(features.teacher)
            return O.Result(
                keras.ops.sum(features.student["global"]["sequence"])
            )

    teacher = trained()
    roles = {
        "global": ("student", "teacher"),
        "local": ("student", "teacher"),
    }
    model = distillation(
        [
            lesson("spy", tiny.backbone(), teacher, [Spy()]),
            lesson(
                "rest", tiny.backbone(), teacher, [O.SequenceDistillation()]
            ),
        ],
        roles=roles,
    )
    batch = tiny.batch(batch_size=2)
    outputs = model(batch)
    assert sorted(outputs["teacher"]) == ["global", "local"]
    model.evaluate_objectives(batch, outputs)
    assert seen == {"student": ["global"], "teacher": ["global"]}


# === Names ===


def pair(order=1):
    """Objectives of one kind, each with a state and a head of its own."""
    made = [
        O.SequenceDistillation(targets=kd.layers.Centering()),
        O.TokenDistillation(targets=kd.layers.Centering()),
        O.MaskedLM(),
    ]
    return tiny.model(made[::order])


@pytest.mark.parametrize("build", [pair, *KINDS.values()])
def test_weights_are_loaded_by_name_in_any_order(build, tmp_path):
    one, two = build(), build(order=-1)
    rng = np.random.default_rng(0)
    for variable in one.variables:
        if keras.backend.is_float_dtype(variable.dtype):
            variable.assign(rng.normal(size=variable.shape))
    one.save_weights(tmp_path / "all.weights.h5")
    two.load_weights(tmp_path / "all.weights.h5")
    lessons = two.lessons()
    assert list(one.lessons())[:: -1 if len(lessons) > 1 else 1] == [*lessons]
    for name, expected in one.lessons().items():
        found = lessons[name]
        for tower in ("student", "teacher"):
            assert_close(
                tiny.values(getattr(found, tower).encoder.weights),
                tiny.values(getattr(expected, tower).encoder.weights),
            )
            for head in expected.student.heads:
                for part in ("projection", "prototypes"):
                    a, b = (
                        getattr(getattr(x, tower), part)(head).weights
                        for x in (found, expected)
                    )
                    assert_close(tiny.values(a), tiny.values(b))
        for objective in expected.objectives:
            assert_close(
                tiny.values(found.objectives[objective].weights),
                tiny.values(expected.objectives[objective].weights),
            )


def test_two_objectives_of_a_kind_are_told_apart():
    """Also by `CollapseMonitor`, though the bad one is first, and stops."""
    model = tiny.model(
        [
            O.SequenceDistillation(
                name="bad",
                targets=kd.layers.Centering(),
                teacher_temperature=1e3,
                stop=10,
            ),
            O.SequenceDistillation(name="good"),
        ]
    )
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=EAGERLY)
    monitor = kd.callbacks.CollapseMonitor(
        patience=2, check_every=1, min_rank=0.0, min_feature_std=0.0
    )
    with pytest.warns(kd.callbacks.CollapseWarning) as caught:
        history = model.fit(
            tiny.Batches(4), epochs=3, callbacks=[monitor], verbose=0
        ).history
    assert monitor.found == ["uniform assignment"]
    (message,) = [
        str(w.message)
        for w in caught
        if w.category is kd.callbacks.CollapseWarning
    ]
    assert message.startswith("Collapse by uniform assignment of bad (step")
    bad, good = (history[f"{n}_teacher_entropy"][0] for n in ("bad", "good"))
    assert bad == pytest.approx(np.log(12), rel=1e-4) and good < 0.98 * bad


# === Bad input ===


def test_objectives_and_lessons_belong_to_one_model():
    objectives = [O.SequenceDistillation(targets=kd.layers.Centering())]
    tiny.model(objectives)
    with pytest.raises(ValueError, match="belongs to another model"):
        tiny.model(objectives)
    targets = kd.layers.Centering()
    with pytest.raises(ValueError, match="Centering.*belongs to another"):
        tiny.model(
            [
                O.SequenceDistillation(targets=targets),
                O.TokenDistillation(targets=targets),
            ]
        )
    one = first(trained())
    kd.models.Distillation([one])
    student = one.student
    with pytest.raises(ValueError, match="'first' belongs to another model"):
        kd.models.Distillation([one])
    assert one.student is student


def test_what_was_copied_is_set_free():
    teacher = trained()
    one = first(teacher)
    model = kd.models.Distillation([one])
    assert one.given_teacher() is None
    owned = set(map(id, model.weights))
    assert not owned & set(map(id, teacher.weights))
    # A tower is copied, too: the model that it belongs to may go on.
    model = kd.models.Distillation([first(teacher.teacher)])
    assert not set(map(id, model.weights)) & set(map(id, teacher.weights))


def test_refuses_lessons_that_do_not_go_together():
    build = kd.models.Distillation
    teacher = trained()

    def plain(name, student=None, **kwargs):
        student = tiny.backbone() if student is None else student
        objectives = [O.SequenceDistillation()]
        return lesson(name, student, teacher, objectives, **kwargs)

    encoder = make_encoder()
    with pytest.raises(ValueError, match=r"named: \['a', 'a'\]"):
        build([plain("a"), plain("a")])
    with pytest.raises(ValueError, match=r"lessons named: \[\]"):
        build([])
    backbone = tiny.backbone()
    with pytest.raises(ValueError, match="'a' and 'b' train one backbone"):
        build([plain("a", backbone), plain("b", backbone)])
    for option, values in (
        ("mask_student", (False, True)),
        ("lora_rank", (2, 4)),
    ):
        lessons = [
            plain(name, encoder, **{option: value})
            for name, value in zip("ab", values)
        ]
        with pytest.raises(ValueError, match=f"{option}={values[0]} in 'a'"):
            build(lessons)
    with pytest.raises(ValueError, match=r"Twice: \['teacher'\]"):
        build([plain("teacher"), plain("b")])
    with pytest.raises(ValueError, match=r"Twice: \['pupil'\]"):
        lessons = [plain("pupil", encoder), plain("b", encoder), plain("c")]
        build(lessons)
    with pytest.raises(ValueError, match="Python identifier.*'a-b'"):
        build([plain("a-b"), plain("b")])
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"weight={wrong}"):
            plain("a", weight=wrong)
    with pytest.raises(ValueError, match="pooling='cls'"):
        plain("a", encoder, pooling="cls")


def test_lessons_of_one_student_share_its_low_rank_updates():
    encoder = make_encoder()
    lessons = mixed_lessons([encoder, encoder])
    for one in lessons:
        one.lora_rank = 2
    model = distillation(lessons)
    updates = [v for v in model.trainable_variables if "lora" in v.path]
    assert len(updates) == 2
    assert not any("lora" in v.path for v in lessons[0].teacher.weights)


def test_refuses_optimizers_that_do_not_fit():
    model = students()
    optimizer = kd.optimizers.AdamW(1e-3)
    for wrong in (
        optimizer,
        {"first": optimizer},
        {"first": optimizer, "second": optimizer},
    ):
        with pytest.raises(ValueError, match=r"\['first', 'second'\]"):
            model.compile(wrong)
    with pytest.raises(ValueError, match=r"remove \['loss'\]"):
        model.compile(loss="mse")
    with pytest.raises(ValueError, match="student='third'"):
        model.learned("third")
    with pytest.raises(ValueError, match="one of the model's students"):
        kd.callbacks.OnlineProbe(dict, tokenizer()).set_model(model)


def test_a_metric_that_an_objective_does_not_name_is_refused():
    class Named(O.InfoNCE):
        def compute(self, features):
            loss = super().compute(features).loss
            return O.Result(loss, {"size": loss})

    model = tiny.model([Named()])
    batch = tiny.batch()
    with pytest.raises(ValueError, match=r"extra_metrics.*\['size'\]"):
        model.evaluate_objectives(batch, model(batch))


def test_views_count_updates_as_the_optimizers_do():
    """Also where the loss is scaled, by an optimizer around the optimizer."""
    group = kd.views.ViewGroup
    views = tiny.text_views(
        groups=[
            group(
                "global", 2, mask_probability=kd.schedules.Linear(0.0, 1.0, 5)
            ),
            group("local", 4, roles="student"),
        ],
        gradient_accumulation_steps=2,
    )
    dataset = types.SimpleNamespace(views=views)
    model = tiny.model([O.InfoNCE()])
    for wrap in (lambda x: x, keras.optimizers.LossScaleOptimizer):
        model.compile(wrap(accumulating()))
        model.prepare_fit(dataset)
        model.compile(wrap(kd.optimizers.AdamW(1e-3)))
        with pytest.raises(ValueError, match="one in 1.*accumulation_steps=2"):
            model.prepare_fit(dataset)
