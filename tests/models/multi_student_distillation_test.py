"""Several students in one run learn what each learns in its own."""

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.models.tiny import VOCABULARY
from tests.models.tiny import tokenizer

O = kd.objectives  # noqa: E741
STEPS = 6
# Compiled programs of another extent may round otherwise.
ATOL = 0.0 if keras.backend.backend() == "torch" else 1e-5


def make_teacher(**overrides):
    wide = {"hidden_dim": 24, "num_layers": 2, **overrides}
    return tiny.model(backbone_overrides=wide, bottleneck_dim=12)


def student(name, teacher, seed, objectives, **overrides):
    made = kd.models.DinoLM(
        tiny.backbone(**overrides),
        objectives,
        head_hidden_dim=16,
        bottleneck_dim=8,
        teacher=teacher,
        name=name,
    )
    rng = np.random.default_rng(seed)
    for variable in made.trainable_variables:
        if len(variable.shape) > 1:
            scale = 1.0 / np.sqrt(variable.shape[0])
            variable.assign(scale * rng.normal(size=variable.shape))
    return made


def first(teacher, **overrides):
    """Accumulates gradients; its center moves once per update."""
    targets = kd.layers.Centering()
    objectives = [O.SequenceDistillation(targets=targets)]
    return student("first", teacher, 1, objectives, **overrides)


def second(teacher, **overrides):
    """Narrower; reads more of the teacher from its third update on."""
    objectives = [O.InfoNCE(), O.TokenDistillation(start=3)]
    overrides = {"hidden_dim": 8, **overrides}
    return student("second", teacher, 2, objectives, **overrides)


def optimizers():
    return [
        kd.optimizers.AdamW(1e-2, gradient_accumulation_steps=2),
        kd.optimizers.AdamW(2e-2, global_clipnorm=0.1),
    ]


def both(**kwargs):
    one = first(make_teacher())
    model = kd.models.MultiStudentDistillation([one, second(one.teacher)])
    model.compile(optimizers(), **kwargs)
    return model


def state(model):
    return tiny.values([*model.variables, *model.optimizer.variables])


def assert_close(left, right, atol):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


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
        callbacks=callbacks,
        verbose=0,
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    model = both()
    return model, fit(model, tmp_path_factory.mktemp("together"))


def test_each_learns_what_it_learns_alone(together, tmp_path):
    model, history = together
    for build, optimizer, found in zip(
        (first, second), optimizers(), model.students
    ):
        alone = build(make_teacher())
        alone.compile(optimizer)
        expected = fit(alone, tmp_path / found.name)
        assert_close(state(found), state(alone), ATOL)
        for name, values in expected.history.items():
            np.testing.assert_allclose(
                history.history[f"{found.name}_{name}"], values, atol=1e-5
            )
    assert tiny.values([s.updates for s in model.students]) == [3, 6]
    losses = [history.history[f"{s.name}_loss"] for s in model.students]
    np.testing.assert_allclose(
        history.history["loss"], np.sum(losses, axis=0), rtol=1e-6
    )
    expected = tiny.values(make_teacher().teacher.weights)
    assert_close(tiny.values(model.students[0].teacher.weights), expected, 0)


def test_resumes_to_the_bit(together, tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                raise KeyError("crash")

    with pytest.raises(KeyError, match="crash"):
        fit(both(), tmp_path, [Crash()])
    model = both()
    history = fit(model, tmp_path)
    assert_close(state(model), state(together[0]), 0)
    np.testing.assert_equal(history.history, together[1].history)


def test_eager_in_half_precision_each_does_what_it_does_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = both(run_eagerly=True)
    logs = model.train_on_batch(tiny.batch(0), return_dict=True)
    assert {"loss", "first_loss", "second_info_nce"} <= set(logs)
    tested = model.test_on_batch(tiny.batch(1), return_dict=True)
    for build, optimizer, found in zip(
        (first, second), optimizers(), model.students
    ):
        alone = build(make_teacher())
        alone.compile(optimizer, run_eagerly=True)
        alone.train_on_batch(tiny.batch(0))
        assert_close(state(found), state(alone), ATOL)
        expected = alone.test_on_batch(tiny.batch(1), return_dict=True)
        assert tested[f"{found.name}_loss"] == pytest.approx(
            expected["loss"], abs=1e-5
        )


def test_the_teacher_reads_once_what_students_want():
    objectives = [O.SequenceDistillation(), O.FeatureRegression(2)]
    one = student("one", make_teacher(), 1, objectives, hidden_dim=24)
    model = kd.models.MultiStudentDistillation([one, second(one.teacher)])
    calls = []
    encoder = one.teacher.encoder
    read = encoder.call

    def counted(*args, **kwargs):
        calls.append(kwargs.get("num_layers"))
        return read(*args, **kwargs)

    encoder.call = counted
    outputs = model(tiny.batch())
    assert calls == [2] and list(outputs["teacher"]) == ["global"]
    assert set(outputs["students"]) == {"one", "second"}
    # Each alone would have it read.
    one(tiny.batch())
    assert len(calls) == 2
    with pytest.raises(ValueError, match=r"lacks the view groups \['local'\]"):
        model({"global": tiny.batch()["global"]})


def test_one_that_breaks_does_not_stop_the_other():
    model = both()
    broken, healthy = model.students
    broken.student.trainable_variables[0].assign(
        np.nan * tiny.values(broken.student.trainable_variables[:1])[0]
    )
    before = tiny.values(healthy.student.trainable_variables)
    logs = model.train_on_batch(tiny.batch(), return_dict=True)
    assert logs["first_skipped_steps"] == 1
    assert logs["second_skipped_steps"] == 0
    after = tiny.values(healthy.student.trainable_variables)
    assert any(np.any(a != b) for a, b in zip(before, after))
    guards = model.guards()
    guards[0].max_skipped_steps = 1
    with pytest.raises(FloatingPointError, match="max_skipped_steps=1"):
        for guard in guards:
            guard.on_epoch_begin(0)
            guard.on_train_batch_end(0, logs)
            guard.on_epoch_end(0)


def test_saves_loads_and_exports_each(together, tmp_path):
    model, _ = together
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(state(again), state(model), 0)
    one, two = again.students
    assert one.teacher is two.teacher
    assert one.optimizer.gradient_accumulation_steps == 2
    assert two.optimizer.global_clipnorm == 0.1
    again.optimizer.learning_rate = 0.5
    rates = tiny.values([s.optimizer.learning_rate for s in again.students])
    assert rates == [0.5, 0.5]

    size = {"vocabulary_size": len(VOCABULARY)}
    one = first(make_teacher(**size), **size)
    model = kd.models.MultiStudentDistillation(
        [one, second(one.teacher, **size)]
    )
    for part in model.students:
        part.export_preset(tmp_path / part.name, tokenizer())
        backbone = keras_hub.models.Backbone.from_preset(
            str(tmp_path / part.name)
        )
        assert_close(
            tiny.values(backbone.weights),
            tiny.values(part.student.encoder.backbone.weights),
            0,
        )


def test_refuses():
    build = kd.models.MultiStudentDistillation
    one = first(make_teacher())
    two = second(one.teacher)
    with pytest.raises(ValueError, match=r"named: \['first', 'first'\]"):
        build([one, first(one.teacher)])
    with pytest.raises(ValueError, match="moving average of 'ema' itself"):
        build([one, tiny.model(name="ema")])
    with pytest.raises(ValueError, match=r"teacher=first\.teacher"):
        build([one, second(make_teacher())])
    with pytest.raises(ValueError, match="must be frozen"):
        second(make_teacher().student)
    model = build([one, two])
    optimizer = kd.optimizers.AdamW(1e-3)
    for wrong in (optimizer, [optimizer], [optimizer, optimizer]):
        with pytest.raises(ValueError, match=r"\['first', 'second'\]"):
            model.compile(wrong)
    with pytest.raises(ValueError, match=r"remove \['loss'\]"):
        model.compile(loss="mse")
