"""A new objective and a new backbone: one new file, one line to register.

`tests/recipes/` does the same with a new recipe. What is in this file
could be the user's; nothing of the library is edited.
"""

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.models.encoder import stock_backbones
from tests import tiny
from tests.models import tiny as tiny_models

# === A new objective ===


@keras.saving.register_keras_serializable(package="tests")
class MeanView(kd.objectives.Objective):
    """The student's views agree with the teacher's mean view, after a layer."""

    reads_tokens = "none"
    extra_metrics = ("target_norm",)

    def reads(self, roles):
        return {("student", "global"), ("teacher", "global")}

    def build_for(self, lesson):
        width = lesson.student.encoder.hidden_dim
        self.predict = keras.layers.Dense(
            lesson.teacher.encoder.hidden_dim, name="predict"
        )
        self.predict.build((None, width))
        super().build_for(lesson)

    def compute(self, features):
        ops = keras.ops
        student = self.predict(features.student["global"]["sequence"])
        teacher = features.teacher["global"]["sequence"]
        target = ops.mean(teacher, axis=1, keepdims=True)
        error = ops.mean(ops.square(student - target))
        norm = ops.mean(ops.norm(target, axis=-1))
        return kd.objectives.Result(error, {"target_norm": norm})


# === A new backbone ===


@keras.saving.register_keras_serializable(package="tests")
class GatedBag(keras_hub.models.Backbone):
    """Embeddings and a gate of each dimension: the simplest functional one."""

    def __init__(self, vocabulary_size, hidden_dim, dtype=None, **kwargs):
        embedding = keras_hub.layers.ReversibleEmbedding(
            vocabulary_size, hidden_dim, dtype=dtype, name="token_embedding"
        )
        gate = keras.layers.Dense(
            hidden_dim, activation="sigmoid", dtype=dtype, name="gate"
        )
        inputs = {
            "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
            "padding_mask": keras.Input(
                (None,), dtype="int32", name="padding_mask"
            ),
        }
        tokens = embedding(inputs["token_ids"])
        tokens = keras.layers.Multiply(dtype=dtype)([tokens, gate(tokens)])
        super().__init__(inputs=inputs, outputs=tokens, dtype=dtype, **kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.token_embedding = embedding

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
        }


@pytest.fixture
def registered(monkeypatch):
    """The registration is one line; other tests must not see it."""
    classes = list(stock_backbones._CLASSES)
    monkeypatch.setattr(stock_backbones, "_CLASSES", classes)
    assert kd.models.register_backbone(GatedBag) is GatedBag
    kd.models.register_backbone(GatedBag)  # once more changes nothing
    assert classes.count(GatedBag) == 1


def test_both_train_save_load_and_export(registered, tmp_path):
    keras.utils.set_random_seed(0)
    bag = GatedBag(tiny.VOCABULARY_SIZE, 16)
    model = kd.models.DinoLM(
        bag,
        [MeanView(weight=2.0), kd.objectives.MaskedLM()],
        num_prototypes=12,
    )
    model.compile(
        kd.optimizers.AdamW(1e-2),
        run_eagerly=keras.backend.backend() == "tensorflow",
    )
    before = tiny.values(model.objectives[0].trainable_variables)
    for step in range(2):
        logs = model.train_on_batch(tiny.batch(step), return_dict=True)
    assert logs["mean_view"] > 0 and logs["mean_view_target_norm"] > 0
    # The layer of the objective learns, and the gate of the backbone.
    after = tiny.values(model.objectives[0].trainable_variables)
    assert len(before) == 2
    assert all(np.any(a != b) for a, b in zip(before, after))

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.objectives[0].weight == 2.0
    for a, b in zip(
        tiny.values(again.weights), tiny.values(model.weights), strict=True
    ):
        np.testing.assert_array_equal(a, b)

    words = map(str, range(tiny.VOCABULARY_SIZE - 5))
    tokenizer = kd.models.DinoLMTokenizer([*tiny_models.VOCABULARY[:5], *words])
    with pytest.warns(UserWarning, match="plain keras-hub"):
        model.export_preset(tmp_path / "preset", tokenizer)
    loaded = GatedBag.from_preset(str(tmp_path / "preset"))
    expected = model.teacher.encoder.backbone
    for a, b in zip(
        tiny.values(loaded.weights), tiny.values(expected.weights), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_backbone_that_is_not_registered_is_told_how():
    bag = GatedBag(tiny.VOCABULARY_SIZE, 16)
    with pytest.raises(ValueError, match="models.register_backbone"):
        kd.models.TextEncoder(bag)


@pytest.mark.parametrize("wrong", [keras.Model, "bert", 3])
def test_only_classes_of_backbones_are_registered(wrong):
    with pytest.raises(ValueError, match="subclass of `keras_hub") as error:
        kd.models.register_backbone(wrong)
    assert f"backbone_class={wrong!r}" in str(error.value)


def test_what_a_registered_backbone_lacks_is_named(monkeypatch):
    monkeypatch.setattr(
        stock_backbones, "_CLASSES", list(stock_backbones._CLASSES)
    )

    @kd.models.register_backbone
    class Images(keras_hub.models.Backbone):
        def __init__(self):
            image = keras.Input((8, 8, 3))
            pooled = keras.layers.GlobalAveragePooling2D()(image)
            super().__init__(inputs=image, outputs=pooled)

    with pytest.raises(ValueError) as error:
        kd.models.TextEncoder(Images())
    for part in (
        "'padding_mask'",
        "it has None",
        "'sequence_output'",
        "`hidden_dim`",
        "`token_embedding`",
    ):
        assert part in str(error.value)
