"""Fine-tuning on raw strings."""

import keras
import keras_hub
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf  # feeds any backend

from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.tasks.text_classifier import DinoLMTextClassifier
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from tests.models import tiny

TEXTS = ["good fox", "bad dog", "the good cat", "a bad quick fox"] * 2
LABELS = [1, 0, 1, 0] * 2


def classifier(**kwargs):
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=8)
    return DinoLMTextClassifier(
        tiny.backbone(), num_classes=2, preprocessor=preprocessor, **kwargs
    )


def test_preprocessor_makes_rows_as_views_are():
    preprocess = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=6)
    ids = tiny.VOCABULARY.index
    rows = preprocess(["a fox", "", "the lazy dog jumps over the cat"])
    rows = {k: keras.ops.convert_to_numpy(v) for k, v in rows.items()}
    np.testing.assert_array_equal(
        rows["token_ids"],
        [
            [2, ids("a"), ids("fox"), 0, 0, 0],
            [2, 0, 0, 0, 0, 0],
            [2, *map(ids, "the lazy dog jumps over".split())],
        ],
    )
    np.testing.assert_array_equal(rows["padding_mask"], rows["token_ids"] != 0)
    pair = preprocess((["a fox"], ["good cat"]), y=None)["token_ids"]
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(pair),
        [[2, ids("a"), ids("fox"), 3, ids("good"), ids("cat")]],
    )
    with pytest.raises(ValueError, match="sequence_length=1"):
        DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=1)


def test_fit_on_strings_learns_and_logits_are_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = classifier(dropout=0.0)
    model.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[],
    )
    history = model.fit(
        TEXTS,
        LABELS,
        batch_size=4,
        epochs=4,
        validation_data=(TEXTS[:4], LABELS[:4]),
        verbose=0,
    ).history
    assert history["loss"][-1] < history["loss"][0] / 2
    logits = model.predict(TEXTS[:4], verbose=0)
    assert logits.dtype == "float32"
    assert logits.argmax(-1).tolist() == LABELS[:4]
    probability = np.exp(logits - logits.max(-1, keepdims=True))
    probability /= probability.sum(-1, keepdims=True)
    entropy = -np.log(probability[np.arange(4), LABELS[:4]]).mean()
    np.testing.assert_allclose(history["val_loss"][-1], entropy, rtol=1e-2)


def test_preset_with_a_new_head_then_with_the_trained_one(tmp_path):
    encoder = TextEncoder(tiny.backbone())
    export_preset(encoder, tiny.tokenizer(), tmp_path / "p", sequence_length=9)
    model = keras_hub.models.TextClassifier.from_preset(
        str(tmp_path / "p"), num_classes=3
    )
    assert isinstance(model, DinoLMTextClassifier)
    assert model.preprocessor.sequence_length == 9
    model.save_to_preset(str(tmp_path / "trained"))
    copy = keras_hub.models.TextClassifier.from_preset(
        str(tmp_path / "trained")
    )
    for found, expected in zip(
        copy.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_fit_on_a_dataset_of_strings_reads_the_same_rows():
    preprocess = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=6)
    texts = [*TEXTS[:3], ""]
    dataset = tf.data.Dataset.from_tensor_slices((texts, LABELS[:4])).batch(4)
    rows, labels = next(iter(dataset.map(preprocess)))
    assert labels.numpy().tolist() == LABELS[:4]
    for name, value in preprocess(texts).items():
        np.testing.assert_array_equal(
            rows[name].numpy(), keras.ops.convert_to_numpy(value)
        )
    history = classifier().fit(dataset, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_arguments_have_the_order_of_keras(monkeypatch):
    model = classifier(dropout=0.0)
    steps = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(batch)

    # Texts and labels may be columns of a table.
    table = pd.DataFrame({"text": TEXTS, "label": LABELS})
    x, y = table["text"], table["label"]
    model.fit(x, y, 4, 2, 0, [Count()], 0.5)
    assert steps == [0, 0]
    model.fit(x, y, 3, 1, 0, [Count()])
    assert steps == [0, 0, 0, 1, 2]
    loss, accuracy = model.evaluate(x, y, 3, 0)
    logits = model.predict(x, 3, 0)
    assert logits.shape == (8, 2)
    rest = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(
        loss, -rest[np.arange(8), LABELS].mean(), rtol=1e-4
    )
    assert accuracy == (logits.argmax(axis=1) == LABELS).mean()


@pytest.mark.once
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (TEXTS, ["good", "bad"] * 4, "names.index"),
        (TEXTS, pd.Series(["good", "bad"] * 4), "names.index"),
        (TEXTS, [0, 1, 2, 1] * 2, r"from 0 to 1. Received: y\[2\]=2"),
        (TEXTS, [0, -1] * 4, r"y\[1\]=-1"),
        (TEXTS, [0, 0.5] * 4, r"y\[1\]=0.5"),
        (TEXTS, [0, float("nan")] * 4, r"y\[1\]=nan"),
        (TEXTS, [0, None] * 4, "`y` must be numbers"),
        (["a", None], [0, 1], r"x\[1\]=None"),
        ("a fox", [0], r"x=\[...\]"),
        (pd.DataFrame({"text": ["a"]}), [0], "table\\['text'\\]"),
    ],
)
def test_what_cannot_be_learned_from_is_named(x, y, message):
    model = classifier()
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0)
    if isinstance(x, list) and x is TEXTS:
        with pytest.raises(ValueError, match="validation_data"):
            model.fit(TEXTS, LABELS, validation_data=(x, y), verbose=0)
        with pytest.raises(ValueError, match=message):
            model.evaluate(x, y, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 2, "dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_arguments_of_a_classifier_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        DinoLMTextClassifier(tiny.backbone(), **arguments)


@pytest.mark.once
def test_two_columns_of_one_number_per_class_are_labels_too():
    model = classifier()
    model.compile(
        "sgd", keras.losses.BinaryCrossentropy(from_logits=True), metrics=[]
    )
    y = np.eye(2)[LABELS]
    assert np.isfinite(model.fit(TEXTS, y, verbose=0).history["loss"]).all()
