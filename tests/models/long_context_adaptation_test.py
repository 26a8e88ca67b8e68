"""`LongContextAdaptation`: where the second phase begins."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

O = kd.objectives  # noqa: E741
V = kd.views


def phase_one():
    """A model some updates on, with schedules, state and a curriculum."""
    views = tiny.text_views(
        groups=[
            V.ViewGroup(
                "global",
                2,
                span=(V.ramp(1.0, 0.8, steps=5), 1.0),
                mask_probability=V.ramp(0.0, 0.5, steps=5),
            ),
            V.ViewGroup("local", 2, span=(0.2, 0.4), roles="student"),
        ]
    )
    objectives = [
        O.KoLeo(stop=10),
        O.SequenceDistillation(
            targets=kd.layers.Centering(),
            teacher_temperature=kd.schedules.Linear(0.04, 0.08, steps=20),
            start=5,
        ),
        O.TokenDistillation(),
        O.GramAnchoring(start=8),
    ]
    model = tiny.model(
        objectives, momentum=kd.schedules.Linear(0.9, 1.0, steps=20)
    )
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "updates" in weight.path:
            weight.assign(10)
        elif "float" in weight.dtype:
            # Student, teacher and centers all differ.
            weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    return model, views


def test_views_of_the_second_phase():
    model, views = phase_one()
    longer = kd.models.LongContextAdaptation(model, views, factor=4).views
    groups = {group.name: group for group in longer.groups}
    assert list(groups) == ["global", "local", "short"]
    assert longer.sequence_length == 64
    # Any length from the old one's least to the new one's most.
    assert groups["global"].span == (0.2, 1.0)
    assert groups["global"].mask_probability == 0.5
    assert groups["local"] == views.groups[1]
    # Exactly a window of the first phase, where the text is long enough.
    short = tiny.batch(batch_size=4, width=63, views=longer)["short"]
    shape = longer.shapes(4, 63)["short"]["token_ids"]
    assert shape == short["token_ids"].shape == (4, 1, 16)
    whole = V.TextViews(tiny.Tokens(), 64, longer.groups)(
        {
            "token_ids": np.full((2, 63), 9, "int32"),
            "lengths": np.array([63, 63]),
        }
    )
    assert (whole["short"]["positions"] >= 0).sum(-1).tolist() == [[15], [15]]


@pytest.mark.parametrize(
    ("factor", "buckets"),
    [(2, [15, 31]), (3, [15, 31, 47]), (8, [15, 31, 63, 127])],
)
def test_buckets_double_up_to_the_new_width(factor, buckets):
    model, views = tiny.model([O.KoLeo()]), tiny.text_views()
    made = kd.models.LongContextAdaptation(model, views, factor)
    assert made.buckets == buckets


def test_begins_as_what_came_out_of_the_first_phase():
    model, views = phase_one()
    made = kd.models.LongContextAdaptation(
        model, views, position_jitter=1.5, gram_weight=3.0
    ).model
    old = model.teacher
    expected = kd.models.extend_context(old.encoder.backbone, 4)
    for tower in (made.student, made.teacher):
        assert tower.encoder.backbone.max_wavelength == expected.max_wavelength
        assert tower.encoder.backbone.position_jitter == 1.5
        for a, b in zip(
            tiny.values(tower.weights), tiny.values(old.weights), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    # Those that acted, now from the start, with the values they had reached.
    assert [o.name for o in made.objectives] == [
        "sequence_distillation",
        "token_distillation",
        "gram_anchoring",
    ]
    sequence, _, gram = made.objectives
    assert sequence.start == 0
    assert sequence.teacher_temperature == pytest.approx(0.06)
    assert made.momentum == pytest.approx(0.95)
    assert gram.weight == 3.0
    center = model.objectives[1].targets.center
    np.testing.assert_array_equal(
        *tiny.values([sequence.targets.center, center])
    )
    assert np.abs(tiny.values([center])[0]).max() > 0.01
    # The first phase's objects are as they were.
    assert model.objectives[1].start == 5


def test_gram_teacher_is_the_encoder_as_it_was():
    _, views = phase_one()
    values = {}
    for rope in ("extrapolation", "interpolation"):
        model, _ = phase_one()
        made = kd.models.LongContextAdaptation(model, views, rope=rope)
        batch = tiny.batch(batch_size=4, width=63, views=made.views)
        outputs = made.model(batch, training=True)
        loss, aux = made.model.evaluate_objectives(batch, outputs)
        values[rope] = float(tiny.values([aux["metrics"]["gram_anchoring"]])[0])
        assert np.isfinite(tiny.values([loss])[0])
    # The student starts as the Gram teacher, with its positions or others.
    assert values["extrapolation"] < 1e-9
    assert values["interpolation"] > 1e-6
    for a, b in zip(
        tiny.values(made.model.objectives[-1].gram_teacher.weights),
        tiny.values(model.teacher.encoder.weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    # The second phase of a second phase.
    again = kd.models.LongContextAdaptation(made.model, made.views, factor=2)
    assert again.model.roles == made.model.roles
    assert len(again.model.objectives) == len(made.model.objectives)
    config = keras.saving.serialize_keras_object(again.model)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.student.encoder.backbone.scaling_factor == 4
    assert copy.objectives[-1].gram_teacher.backbone.scaling_factor == 4


def test_student_of_a_fixed_teacher_goes_on_alone():
    teacher = tiny.model(backbone_overrides={"hidden_dim": 8})
    model = kd.models.DinoLM(
        tiny.backbone(),
        [O.SequenceDistillation()],
        teacher=teacher,
        head_hidden_dim=16,
    )
    made = kd.models.LongContextAdaptation(model, tiny.text_views()).model
    assert not made.teacher_is_fixed and made.mask_student
    assert made.momentum == 0.999
    for a, b in zip(
        tiny.values(made.teacher.weights),
        tiny.values(model.student.weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_refuses():
    model, views = phase_one()
    with pytest.raises(ValueError, match="factor=1"):
        kd.models.LongContextAdaptation(model, views, factor=1)
    other = tiny.text_views(groups=[V.ViewGroup("global", 2)])
    with pytest.raises(ValueError, match="trained on"):
        kd.models.LongContextAdaptation(model, other)
    late = tiny.model([O.KoLeo(), O.InfoNCE(start=5)])
    late.objectives[0].stop = 5
    late.updates.assign(5)
    late.objectives[1].start = 9
    with pytest.raises(ValueError, match="update 5.*'koleo', 'info_nce'"):
        kd.models.LongContextAdaptation(late, views)
