"""What is registered with Keras comes back from its configuration, equal."""

import importlib
import json
import pkgutil

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

# The same on every backend: only configurations are looked at.
pytestmark = pytest.mark.once

serialize = keras.saving.serialize_keras_object
deserialize = keras.saving.deserialize_keras_object


def _registered():
    """All classes of this package that Keras can restore by name."""
    for module in pkgutil.walk_packages(kd.__path__, "keras_dinolm."):
        if not module.name.endswith(("__main__", "tensorflow_step")):
            importlib.import_module(module.name)
    return {
        name: cls
        for name, cls in keras.saving.get_custom_objects().items()
        if name.startswith("keras_dinolm>")
    }


TABLE = kd.views.ReplacementTable.of({5: [6], 6: [5]}, 10, {"words": 2})
LINEAR = kd.schedules.Linear(0.1, 0.2, steps=5, begin=3, name="line")
SPECIAL = kd.views.SpecialTokens(
    0, 1, 2, continues=np.arange(10) > 7, punctuation=np.arange(10) == 4
)
TEMPERATURES = {
    "student_temperature": 0.2,
    "teacher_temperature": kd.schedules.Warmup(3, LINEAR),
    "weight": kd.schedules.Cosine(0.5, 1.0, 9),
    "start": 2,
    "stop": 9,
    "name": "mine",
}


def _objects():
    """One object of each registered class, with no argument at its default."""
    layers, schedules = kd.layers, kd.schedules
    objectives, views, models = kd.objectives, kd.views, kd.models
    yield layers.SelfAttention(2, kernel_initializer="zeros")
    yield layers.DropPath(0.1, dropout=0.2, seed=3)
    yield layers.EncoderBlock(2, 8, "swiglu", 0.1, 0.2, None, True, "zeros")
    yield layers.Expander(4)
    yield layers.FixedPrototypes((4, 3))
    yield layers.LayerScale(0.2)
    yield layers.FeedForward(4, "swiglu", "zeros", 5)
    yield layers.OnlineCodebook(4, 0.5, False, 0.2)
    yield layers.AttentionPooling(2)
    yield layers.ClsPooling()
    yield layers.MeanPooling()
    yield layers.WeightedMeanPooling(6)
    yield layers.ProjectionHead(8, 4, 2, "zeros")
    yield layers.Prototypes(5)
    yield layers.Registers(2)
    yield layers.RotaryTables(4, 2, 100.0, 2.0, 1.5, 3)
    yield layers.Centering(0.5)
    yield layers.Sinkhorn(2)
    yield LINEAR
    yield schedules.Cosine(0.1, 0.2, 5, 3, "wave")
    yield schedules.PiecewiseLinear([1, 5], [0.0, 0.5], "lines")
    yield schedules.Delayed(5, LINEAR, "later")
    yield schedules.Warmup(5, schedules.Delayed(2, 0.5), "rise")
    yield TABLE
    yield SPECIAL
    group = views.ViewGroup(
        "a", 2, span=(LINEAR, 0.5), mask_probability=LINEAR, typos=0.1
    )
    yield group
    yield views.TextViews(SPECIAL, 9, [group], TABLE, TABLE, 2)
    common = {k: TEMPERATURES[k] for k in ("weight", "start", "stop", "name")}
    both = {
        **TEMPERATURES,
        "targets": layers.Centering(0.5),
    }
    yield objectives.SequenceDistillation(max_logits=7, **both)
    yield objectives.TokenDistillation(head="sequence", max_logits=7, **both)
    yield objectives.CrossViewTokenDistillation(
        head="sequence", num_tokens=3, **both
    )
    yield objectives.SimilarityDistillation(**TEMPERATURES)
    yield objectives.FeatureRegression(2, None, **common)
    yield objectives.GramAnchoring(None, 5, 2, True, **common)
    yield objectives.SIGReg(0.2, 5, "teacher", 7, 3, **common)
    yield objectives.MomentumContrast(0.2, 5, **common)
    yield objectives.SequenceRegression("squared", 7, "global", **common)
    yield objectives.TokenRegression("squared", 7, "masked", **common)
    yield objectives.InfoNCE(0.1, "global", 1, **common)
    yield objectives.KoLeo(across_views=True, **common)
    yield objectives.MaskedLM(**common)
    yield objectives.MeanEntropyMaximization(0.2, **common)
    yield objectives.UnitPrediction((4, 16), tiny.backbone(), 2, 0.5, **common)
    yield objectives.VICReg(1.0, 2.0, 3.0, 8, "global", 1, **common)
    yield kd.optimizers.AdamW(
        schedules.Warmup(3, 0.1),
        LINEAR,
        ["bias"],
        0.5,
        0.8,
        0.9,
        1e-6,
        {"head": LINEAR},
        2.0,
        [r"(\w+)_head"],
        "mine",
    )
    backbone = tiny.backbone(num_registers=1, pooled_layers=(0, -1))
    yield backbone
    yield models.TextEncoder(backbone)
    yield models.CachedTeacher(
        "mine", 3, {"sequence": (4, 3)}, {"token": (0.5, 2.0)}
    )
    yield models.FixedTeacher(
        backbone, {"token": (4, 16)}, {"sequence": (0.5, 2.0)}
    )
    model = tiny.model([objectives.InfoNCE()], momentum=LINEAR)
    yield model
    yield model.student
    yield models.Distillation(
        [models.Lesson(tiny.backbone(), [objectives.InfoNCE()])],
        max_skipped_steps=3,
    )


OBJECTS = {type(one).__name__: one for one in _objects()}
# Restored from presets, with their tokenizers; see the tests of the tasks.
TASKS = {
    "DinoLMTokenizer",
    "DinoLMTextPreprocessor",
    "DinoLMTextEmbedder",
    "DinoLMTextClassifier",
}


def test_the_list_has_every_registered_class():
    known = {name.partition(">")[2] for name in _registered()}
    assert known - TASKS - set(OBJECTS) == set()


def _config(value):
    """A configuration as it is after a file: JSON knows no tuples."""
    return json.loads(json.dumps(serialize(value)))


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_comes_back_equal(name):
    value = OBJECTS[name]
    config = _config(value)
    again = deserialize(config)
    assert type(again) is type(value)
    assert _config(again) == config
    if isinstance(
        value,
        kd.schedules.Linear
        | kd.schedules.PiecewiseLinear
        | kd.views.ViewGroup
        | kd.views.SpecialTokens
        | kd.views.ReplacementTable
        | kd.views.TextViews,
    ):
        assert again == value
        assert hash(again) == hash(value)


# Each network within a network checks its own fields.
PARTS = sorted(
    name
    for name, value in OBJECTS.items()
    if not isinstance(value, keras.Model) or name == "DinoLMBackbone"
)
# What Keras' layers and optimizers hold beside the arguments of ours.
KERAS_OWN = {
    *keras.layers.Layer().get_config(),
    *keras.optimizers.Adam().get_config(),
    "build_config",
} - {"name", "learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"}


def _forged(config):
    return json.loads(json.dumps(config))


def _said(error):
    """What our code said, without the configuration that Keras quotes."""
    return str(error).rpartition("Exception encountered:")[2]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("bad", [{"no": "value"}, [["x"]], 1e300], ids=type)
def test_a_field_of_a_wrong_kind_is_named(name, bad):
    """Forged or foreign configurations say what is wrong with them."""
    config = _config(OBJECTS[name])
    wrong = []
    for field in config["config"]:
        forged = _forged(config)
        forged["config"][field] = bad
        if field in KERAS_OWN or (field, type(bad)) in TAKEN:
            continue
        try:
            deserialize(forged)
        except (ValueError, TypeError) as error:
            if field not in _said(error):
                wrong.append(f"{field}: {_said(error)[:150]}")
        except Exception as error:  # noqa: BLE001
            wrong.append(f"{field}: {error!r}")
        else:
            wrong.append(f"{field}: accepted")
    assert not wrong


# Numbers of any size are right here.
TAKEN = {
    (field, float)
    for field in (
        *("start", "end", "layer_scale", "initial_value", "max_wavelength"),
        *("scaling_factor", "position_jitter", "then", "embedding_stddev"),
        *("weight", "beta", "epsilon", "weight_decay", "learning_rate"),
        *("teacher_temperature", "student_temperature", "temperature"),
        *("invariance_weight", "variance_weight", "covariance_weight"),
        *("module_clipnorm",),
    )
}


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_an_unknown_field_is_named(name):
    config = _config(OBJECTS[name])
    config["config"]["nonsense"] = 1
    with pytest.raises((ValueError, TypeError)) as caught:
        deserialize(config)
    assert "nonsense" in _said(caught.value)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_a_missing_field_has_its_default_or_is_named(name):
    config = _config(OBJECTS[name])
    for field in config["config"]:
        if field in KERAS_OWN:
            continue
        forged = _forged(config)
        del forged["config"][field]
        try:
            deserialize(forged)
        except (ValueError, TypeError) as error:
            assert field in _said(error)
