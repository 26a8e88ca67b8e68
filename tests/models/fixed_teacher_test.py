"""Distillation from a network that was trained before and never moves."""

import warnings

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.models.tiny import VOCABULARY
from tests.models.tiny import stock
from tests.models.tiny import tokenizer

O = kd.objectives  # noqa: E741


def make_teacher(**overrides):
    """Wider and deeper than the student, and with a wider bottleneck."""
    config = {
        "backbone_overrides": {"hidden_dim": 24, "num_layers": 2},
        "bottleneck_dim": 12,
        **overrides,
    }
    return tiny.model(**config)


def distillation(teacher, objectives=None, backbone_overrides=None, **kwargs):
    if objectives is None:
        objectives = [O.SequenceDistillation(), O.TokenDistillation()]
    return kd.models.DinoLM(
        tiny.backbone(**(backbone_overrides or {})),
        objectives,
        head_hidden_dim=16,
        bottleneck_dim=8,
        teacher=teacher,
        **kwargs,
    )


def assert_equal(left, right):
    left, right = tiny.values(left), tiny.values(right)
    assert len(left) == len(right)
    for a, b in zip(left, right):
        np.testing.assert_array_equal(a, b)


def test_student_learns_and_teacher_stays_through_save_and_load(tmp_path):
    teacher = make_teacher()
    # What came out of its training is its teacher, not its student.
    for weight in teacher.student.weights:
        weight.assign(weight + 1.0)
    model = distillation(teacher)
    assert model.num_prototypes == 12
    assert_equal(model.teacher.weights, teacher.teacher.weights)
    owned = set(map(id, model.weights))
    assert not owned & set(map(id, teacher.weights))
    names = {weight.path.split("/")[0] for weight in model.trainable_variables}
    assert "teacher" not in names and "student" in names

    model.compile(kd.optimizers.AdamW(1e-2))
    losses = [
        model.train_on_batch(tiny.batch(0), return_dict=True)["loss"]
        for _ in range(8)
    ]
    assert losses[-1] < losses[0] - 0.02, losses
    assert_equal(model.teacher.weights, teacher.teacher.weights)

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.lesson.teacher_is_fixed and not again.lesson.mask_student
    for one in (model, again):
        one.train_on_batch(tiny.batch(1))
    assert_equal(again.teacher.weights, teacher.teacher.weights)
    for a, b in zip(tiny.values(model.weights), tiny.values(again.weights)):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("masked", [None, True])
def test_student_reads_whole_views_unless_told_otherwise(masked):
    model = distillation(make_teacher(), mask_student=masked)
    views = tiny.batch()
    found = model(views)["student"]["global"]["sequence"]
    group = views["global"]
    ids = group["masked_token_ids" if masked else "token_ids"]
    rows = {
        "token_ids": ids[:, 0],
        "padding_mask": group["padding_mask"][:, 0],
    }
    expected = model.student.encoder(rows)["sequence"]
    np.testing.assert_allclose(
        tiny.values([found])[0][:, 0], *tiny.values([expected]), atol=1e-5
    )


def test_statistics_and_export_are_of_the_student(tmp_path):
    size = {"vocabulary_size": len(VOCABULARY)}
    teacher = make_teacher(
        backbone_overrides={"hidden_dim": 24, "num_layers": 2, **size}
    )
    model = distillation(teacher, backbone_overrides=size)
    assert model.learners()[0].feature_statistics.dim == 16
    assert model.learned() is model.student
    model.export_preset(tmp_path / "preset", tokenizer())
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert_equal(backbone.weights, model.student.encoder.backbone.weights)
    # And so a student can be the teacher of a yet smaller one.
    small = distillation(model, backbone_overrides={"hidden_dim": 8, **size})
    assert_equal(small.teacher.weights, model.student.weights)


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"teacher": "a preset"}, "`teacher` must be a trained `DinoLM`"),
        ({"num_prototypes": 13}, "num_prototypes=13, the teacher has 12"),
        ({"momentum": 0.9}, "momentum=0.9"),
        ({"objectives": [O.MaskedLM()]}, "mask_student=True"),
        ({"backbone_overrides": {"vocabulary_size": 50}}, "a student of 50"),
    ],
)
def test_refuses(overrides, message):
    with pytest.raises(ValueError, match=message):
        distillation(**{"teacher": make_teacher(), **overrides})


def test_refuses_heads_that_the_teacher_lacks_and_a_reset():
    teacher = make_teacher(objectives=[O.SequenceDistillation()])
    with pytest.raises(ValueError, match=r"no head \['token'\]"):
        distillation(teacher)
    objectives = [
        O.SequenceDistillation(),
        O.TokenDistillation(head="sequence"),
    ]
    model = distillation(teacher, objectives)
    with pytest.raises(ValueError, match="nothing to reset"):
        model.reset_teacher()


@pytest.mark.parametrize("stock_teaches", [True, False])
def test_a_preset_with_heads_teaches_any_backbone(stock_teaches, tmp_path):
    """BERT and ours, each the other's teacher, by the preset of one."""
    size = {"vocabulary_size": len(VOCABULARY)}
    both = [stock("BertBackbone"), tiny.backbone(**size)]
    taught, teaching = both[:: 1 - 2 * stock_teaches]

    def heads():
        return [O.SequenceDistillation(), O.TokenDistillation()]

    trained = kd.models.DinoLM(teaching, heads(), num_prototypes=12)
    for weight in trained.teacher.weights:
        weight.assign(weight + 0.1)
    with warnings.catch_warnings():
        # The tokenizer of a stock backbone's preset is ours here.
        warnings.simplefilter("ignore")
        trained.export_preset(tmp_path / "one", tokenizer(), heads=True)
    teacher = kd.models.DinoLM.from_preset(tmp_path / "one", heads())
    model = kd.models.DinoLM(
        taught,
        [*heads(), O.SimilarityDistillation()],
        teacher=teacher,
        head_hidden_dim=16,
    )
    assert_equal(model.teacher.weights, trained.teacher.weights)
    classes = [type(t.encoder.backbone) for t in (model.student, model.teacher)]
    assert classes == [type(taught), type(teaching)]

    views = keras.tree.map_structure(np.copy, tiny.batch())
    for group in views.values():
        for name in ("token_ids", "masked_token_ids"):
            if name in group:
                group[name] %= len(VOCABULARY)
    model.compile(kd.optimizers.AdamW(1e-2))
    losses = [
        model.train_on_batch(views, return_dict=True)["loss"] for _ in range(6)
    ]
    assert losses[-1] < losses[0] - 0.02, losses
    assert_equal(model.teacher.weights, trained.teacher.weights)


def test_regression_onto_a_wider_teacher():
    objectives = [O.FeatureRegression(num_layers=2)]
    model = distillation(make_teacher(), objectives, mask_student=True)
    model.compile(kd.optimizers.AdamW(1e-2))
    losses = [
        model.train_on_batch(tiny.batch(0), return_dict=True)["loss"]
        for _ in range(6)
    ]
    assert losses[-1] < losses[0] - 0.02, losses
