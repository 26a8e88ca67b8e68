"""Heads travel with a preset on request, and pretraining resumes from them."""

import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.models.tiny import tokenizer

O = kd.objectives  # noqa: E741
SIZE = {"vocabulary_size": tokenizer().vocabulary_size()}


def trained(*objectives):
    """A model whose teacher is not its student."""
    model = tiny.model(list(objectives), backbone_overrides=SIZE)
    for variable in model.teacher.weights:
        variable.assign(variable + 0.5)
    return model


def test_a_model_goes_on_from_the_teacher_and_its_heads(tmp_path):
    model = trained(O.SequenceDistillation(), O.TokenDistillation())
    model.export_preset(tmp_path / "p", tokenizer(), heads=True)
    objectives = [O.SequenceDistillation(), O.TokenDistillation()]
    again = kd.models.DinoLM.from_preset(tmp_path / "p", objectives)
    expected = tiny.values(model.teacher.weights)
    assert len(expected) > 20
    for network in (again.student, again.teacher):
        for a, b in zip(tiny.values(network.weights), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert again.student.trainable_variables


def test_the_encoder_of_a_preset_with_heads_loads_as_ever(tmp_path):
    model = trained(O.SequenceDistillation())
    model.export_preset(tmp_path / "p", tokenizer(), heads=True)
    backbone = kd.models.DinoLMBackbone.from_preset(tmp_path / "p")
    expected = tiny.values(model.teacher.encoder.weights)
    for a, b in zip(tiny.values(backbone.weights), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_heads_that_only_one_side_has_are_named(tmp_path):
    trained(O.SequenceDistillation()).export_preset(
        tmp_path / "p", tokenizer(), heads=True
    )
    with pytest.warns(UserWarning) as caught:
        kd.models.DinoLM.from_preset(tmp_path / "p", [O.TokenDistillation()])
    messages = " ".join(str(w.message) for w in caught)
    assert "['token'] starts from random weights" in messages
    assert "['sequence'] is read by no objective" in messages


def test_a_preset_without_heads_says_how_to_get_them(tmp_path):
    trained(O.SequenceDistillation()).export_preset(tmp_path / "p", tokenizer())
    with pytest.raises(FileNotFoundError, match="heads=True"):
        kd.models.DinoLM.from_preset(tmp_path / "p")
