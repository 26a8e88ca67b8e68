"""Several teachers of one student: their mean, through heads of its own."""

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.models.tiny import VOCABULARY
from tests.models.tiny import tokenizer

O = kd.objectives  # noqa: E741
WEIGHTS = [1.0, 3.0]


def teachers(**overrides):
    """Of two widths, with two numbers of prototypes."""
    return [
        tiny.model(
            backbone_overrides={"hidden_dim": width, **overrides},
            num_prototypes=num_prototypes,
            bottleneck_dim=width // 2,
        )
        for width, num_prototypes in ((24, 12), (20, 9))
    ]


def student_of(teacher, encoder, seed, name, **kwargs):
    objectives = [
        O.SequenceDistillation(targets=kd.layers.Centering()),
        O.TokenDistillation(),
    ]
    made = kd.models.DinoLM(
        encoder,
        objectives,
        head_hidden_dim=16,
        bottleneck_dim=8,
        teacher=teacher,
        name=name,
        **kwargs,
    )
    rng = np.random.default_rng(seed)
    for head in made.student.heads:
        for layer in (made.student.projections, made.student.prototypes):
            for variable in layer[head].trainable_variables:
                variable.assign(0.3 * rng.normal(size=variable.shape))
    return made


def make_encoder(**overrides):
    encoder = kd.models.TextEncoder(tiny.backbone(**overrides))
    rng = np.random.default_rng(5)
    for variable in encoder.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(0.2 * rng.normal(size=variable.shape))
    return encoder


def make_parts(encoders, **overrides):
    return [
        student_of(teacher, encoder, seed, name)
        for seed, (name, teacher, encoder) in enumerate(
            zip("ab", teachers(**overrides), encoders)
        )
    ]


def build(optimizer=None, teacher_weights=WEIGHTS, **kwargs):
    model = kd.models.MultiTeacherDistillation(
        make_parts([make_encoder()] * 2), teacher_weights
    )
    model.compile(optimizer or keras.optimizers.SGD(0.1), **kwargs)
    return model


def changes(model, variables, **kwargs):
    """What one step of plain gradient descent adds to each variable."""
    before = tiny.values(variables)
    logs = model.train_on_batch(tiny.batch(), return_dict=True)
    return logs, [a - b for a, b in zip(tiny.values(variables), before)]


@pytest.mark.parametrize("eager", [True, False])
def test_a_step_is_the_weighted_mean_of_the_steps_of_each(eager):
    model = build(run_eagerly=eager)
    logs, found = changes(model, model.encoder.trainable_variables)
    moves, losses = [], []
    for part in make_parts([make_encoder(), make_encoder()]):
        part.compile(keras.optimizers.SGD(0.1), run_eagerly=eager)
        own, moved = changes(part, part.student.encoder.trainable_variables)
        moves.append(moved)
        losses.append(own["loss"])
        assert logs[f"{part.name}_loss"] == pytest.approx(own["loss"], 1e-5)
        assert logs[f"{part.name}_teacher_entropy"] == pytest.approx(
            own["teacher_entropy"], 1e-5
        )
        assert logs["feature_std"] == pytest.approx(own["feature_std"], 1e-5)
    assert logs["loss"] == pytest.approx(np.dot((0.25, 0.75), losses), 1e-5)
    assert logs["skipped_steps"] == 0
    assert any(np.abs(x).max() > 1e-4 for x in found)
    for mean, one, other in zip(found, *moves, strict=True):
        np.testing.assert_allclose(mean, 0.25 * one + 0.75 * other, atol=1e-6)


def make_dataset(start_step):
    step = start_step
    while True:
        yield (tiny.batch(step),)
        step += 1


def fit(model, directory, steps):
    return kd.runs.fit(
        model, make_dataset, directory, steps=steps, steps_per_epoch=4,
        save_every=3, verbose=0,
    )  # fmt: skip


def state(model):
    return tiny.values([*model.variables, *model.optimizer.variables])


def assert_equal(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def accumulating():
    return kd.optimizers.AdamW(1e-2, gradient_accumulation_steps=2)


def test_trains_resumes_saves_and_loads(tmp_path):
    model = build(accumulating())
    history = fit(model, tmp_path / "straight", 8).history
    assert tiny.values([part.updates for part in model.models]) == [4, 4]
    losses = np.array([history[f"{name}_loss"] for name in "ab"])
    np.testing.assert_allclose(history["loss"], [0.25, 0.75] @ losses, 1e-5)
    assert {"b_token_distillation", "feature_std"} <= set(history)
    for part, teacher in zip(model.models, teachers()):
        assert_equal(
            tiny.values(part.teacher.weights),
            tiny.values(teacher.teacher.weights),
        )

    resumed = build(accumulating())
    fit(resumed, tmp_path / "resumed", 5)
    resumed = build(accumulating())
    fit(resumed, tmp_path / "resumed", 8)
    assert_equal(state(resumed), state(model))

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(state(again), state(model))
    assert again.models[0].student.encoder is again.models[1].student.encoder
    assert again.teacher_weights == WEIGHTS
    tested = [
        m.test_on_batch(tiny.batch(9), return_dict=True) for m in (model, again)
    ]
    assert tested[0]["loss"] == pytest.approx(tested[1]["loss"], rel=1e-6)
    parts = [tested[0][f"{name}_loss"] for name in "ab"]
    assert tested[0]["loss"] == pytest.approx(
        np.dot([0.25, 0.75], parts), rel=1e-5
    )


def test_the_student_reads_each_view_once_and_is_exported(tmp_path):
    size = {"vocabulary_size": len(VOCABULARY)}
    encoder = make_encoder(**size)
    parts = make_parts([encoder, encoder], **size)
    model = kd.models.MultiTeacherDistillation(parts)
    calls = []
    read = encoder.call

    def counted(*args, **kwargs):
        calls.append(args)
        return read(*args, **kwargs)

    encoder.call = counted
    views = keras.tree.map_structure(np.copy, tiny.batch())
    for group in views.values():
        for name in ("token_ids", "masked_token_ids"):
            if name in group:
                group[name] %= len(VOCABULARY)
    outputs = model(views)
    assert len(calls) == len(outputs["student"]) == 2
    encoder.call = read
    model.export_preset(tmp_path / "preset", tokenizer())
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    expected = tiny.values(encoder.backbone.weights)
    assert_equal(tiny.values(backbone.weights), expected)


def test_refuses():
    build = kd.models.MultiTeacherDistillation
    encoder = make_encoder()
    one, two = make_parts([encoder, encoder])
    with pytest.raises(ValueError, match=r"named: \['a', 'a'\]"):
        build([one, one])
    with pytest.raises(ValueError, match="'ema' is a moving average"):
        build([one, tiny.model(name="ema")])
    with pytest.raises(ValueError, match="another encoder in 'b' than in 'a'"):
        build(make_parts([encoder, make_encoder()]))
    masked = student_of(teachers()[1], encoder, 0, "m", mask_student=True)
    with pytest.raises(ValueError, match=r"mask_student=\[False, True\]"):
        build([one, masked])
    for wrong in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="teacher_weights=") as error:
            build([one, two], wrong)
        assert str(wrong) in str(error.value)
