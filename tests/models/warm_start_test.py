"""A trained encoder under new heads: kept by the recipe, ruined without it."""

import numpy as np

import keras_dinolm as kd
from tests import tiny
from tests.models import tiny as tiny_models

O = kd.objectives  # noqa: E741
STEPS = 20


def features(encoder):
    """Unit vectors of some texts, less what all texts have in common."""
    found = encoder(tiny_models.rows(batch=12, length=12))["sequence"]
    found = tiny.values([found])[0].astype("float64")
    found -= found.mean(axis=0)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def go_on(optimizer, objectives=()):
    """Mean cosine of features before and after some steps, new heads above.

    The encoder is taken for a trained one: what it computes is to be kept.
    """
    model = tiny.model(
        [O.SequenceDistillation(), O.TokenDistillation(), *objectives],
        momentum=0.9,
    )
    model.compile(optimizer)
    before = features(model.student.encoder)
    for step in range(STEPS):
        model.train_on_batch(tiny.batch(step))
    return model, np.sum(before * features(model.student.encoder), -1).mean()


def test_the_recipe_keeps_what_a_rate_from_scratch_ruins():
    _, ruined = go_on(kd.optimizers.adamw(1e-1, schedule="constant"))
    _, kept = go_on(
        kd.optimizers.adamw(
            1e-2,
            warmup_steps=STEPS // 4,
            total_steps=STEPS,
            layer_decay=0.5,
            module_clipnorm=1.0,
            frozen_encoder_steps=STEPS // 4,
        )
    )
    assert ruined < 0.5 < 0.95 < kept
