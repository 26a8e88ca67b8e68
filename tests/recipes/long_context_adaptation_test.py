"""`LongContextAdaptation`: where the second phase begins."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

O = kd.objectives  # noqa: E741
V = kd.views


@pytest.fixture(scope="module")
def phase_one():
    """A model some updates on, with schedules, state and a curriculum."""
    views = tiny.text_views(
        groups=[
            V.ViewGroup(
                "global",
                2,
                span=(kd.schedules.Linear(1.0, 0.8, steps=5), 1.0),
                mask_probability=kd.schedules.Linear(0.0, 0.5, steps=5),
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


@pytest.fixture(scope="module")
def adaptation(phase_one):
    return kd.recipes.LongContextAdaptation(
        *phase_one, position_jitter=1.5, gram_weight=3.0
    )


def test_views_of_the_second_phase(phase_one, adaptation):
    longer = adaptation.views
    groups = {group.name: group for group in longer.groups}
    assert list(groups) == ["global", "local", "short"]
    assert longer.sequence_length == 64
    assert adaptation.buckets == [15, 31, 63]
    # Any length from the old one's least to the new one's most.
    assert groups["global"].span == (0.2, 1.0)
    assert groups["global"].mask_probability == 0.5
    assert groups["local"] == phase_one[1].groups[1]
    # Exactly a window of the first phase, where the text is long enough.
    shape = longer.shapes(4, 63)["short"]["token_ids"]
    assert shape == (4, 1, 16)
    windows = {
        "token_ids": np.full((4, 63), 9, "int32"),
        "lengths": np.full(4, 63),
    }
    short = longer(windows)["short"]["positions"]
    assert ((short >= 0).sum(-1) == 15).all()


def test_begins_as_what_came_out_of_the_first_phase(phase_one, adaptation):
    model, _ = phase_one
    made, old = adaptation.model, model.teacher
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
    assert made.lesson.momentum == pytest.approx(0.95)
    assert gram.weight == 3.0
    center = model.objectives[1].targets.center
    np.testing.assert_array_equal(
        *tiny.values([sequence.targets.center, center])
    )
    assert np.abs(tiny.values([center])[0]).max() > 0.01
    # The first phase's objects are as they were.
    assert model.objectives[1].start == 5


def test_gram_teacher_is_the_encoder_as_it_was(phase_one, adaptation):
    model, views = phase_one
    same = kd.recipes.LongContextAdaptation(
        model, views, rope="extrapolation", position_jitter=1.0
    )
    values = []
    for made in (same, adaptation):
        batch = tiny.batch(batch_size=4, width=63, views=made.views)
        made.model.compile("sgd")
        logs = made.model.test_on_batch(batch, return_dict=True)
        values.append(logs["gram_anchoring"])
        assert np.isfinite(logs["loss"])
    # The student starts as the Gram teacher, with its positions or others.
    assert values[0] < 1e-9 and values[1] > 1e-6
    gram = adaptation.model.objectives[-1].gram_teacher
    assert gram.backbone.max_wavelength == 10_000
    assert gram.backbone.position_jitter == 1.0
    for a, b in zip(
        tiny.values(gram.weights),
        tiny.values(model.teacher.encoder.weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_second_phase_may_follow_a_second_phase(adaptation):
    again = kd.recipes.LongContextAdaptation(
        adaptation.model, adaptation.views, factor=3, rope="interpolation"
    )
    assert again.buckets == [63, 127, 191]
    assert again.model.roles == adaptation.model.roles
    names = [o.name for o in again.model.objectives]
    assert names == [o.name for o in adaptation.model.objectives]
    config = keras.saving.serialize_keras_object(again.model)
    copy = keras.saving.deserialize_keras_object(config)
    for encoder, factor in (
        (copy.student.encoder, 3),
        (copy.objectives[-1].gram_teacher, 1),
    ):
        assert encoder.backbone.scaling_factor == factor
        assert encoder.backbone.max_wavelength > 40_000


def test_student_of_a_fixed_teacher_goes_on_alone():
    teacher = tiny.model(backbone_overrides={"hidden_dim": 8})
    model = kd.models.DinoLM(
        tiny.backbone(),
        [O.SequenceDistillation()],
        teacher=teacher,
        head_hidden_dim=16,
    )
    made = kd.recipes.LongContextAdaptation(model, tiny.text_views()).model
    assert not made.lesson.teacher_is_fixed and made.lesson.mask_student
    assert made.lesson.momentum == 0.999
    for a, b in zip(
        tiny.values(made.teacher.weights),
        tiny.values(model.student.weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_refuses(phase_one):
    model, views = phase_one
    with pytest.raises(ValueError, match="factor=1"):
        kd.recipes.LongContextAdaptation(model, views, factor=1)
    other = tiny.text_views(groups=[V.ViewGroup("global", 2)])
    with pytest.raises(ValueError, match="trained on"):
        kd.recipes.LongContextAdaptation(model, other)
    late = tiny.model([O.KoLeo(), O.InfoNCE(start=5)])
    late.objectives[0].stop = 5
    late.updates.assign(5)
    late.objectives[1].start = 9
    with pytest.raises(ValueError, match="update 5.*'koleo', 'info_nce'"):
        kd.recipes.LongContextAdaptation(late, views)
