"""Tasks of keras-hub in `.keras` files: compiled again, and without a word."""

import warnings

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests.models import tiny


def preprocessor():
    return kd.models.DinoLMTextPreprocessor(tiny.tokenizer(), 8)


def load(path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*compile.*")
        warnings.filterwarnings("error", message=".*optimizer.*")
        return keras.saving.load_model(path)


@pytest.mark.once
def test_an_embedder_loads_without_a_warning(tmp_path):
    embedder = kd.models.DinoLMTextEmbedder(tiny.backbone(), preprocessor())
    embedder.save(tmp_path / "e.keras")
    again = load(tmp_path / "e.keras")
    np.testing.assert_array_equal(
        again.encode("a fox"), embedder.encode("a fox")
    )
    again.save(tmp_path / "f.keras")
    load(tmp_path / "f.keras")


@pytest.mark.once
def test_training_of_a_classifier_goes_on_as_if_never_saved(tmp_path):
    classifier = kd.models.DinoLMTextClassifier(
        tiny.backbone(), 2, preprocessor(), dropout=0.0
    )
    classifier.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    texts, labels = ["the fox", "a bad dog"], [0, 1]
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    classifier.fit(texts, labels, **options)
    classifier.save(tmp_path / "c.keras")
    again = load(tmp_path / "c.keras")
    assert again.optimizer.momentum == 0.9
    for model in (classifier, again):
        model.fit(texts, labels, **options)
    assert int(again.optimizer.iterations) == 4
    for a, b in zip(classifier.weights, again.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(a),
            keras.ops.convert_to_numpy(b),
            atol=1e-6,
        )
