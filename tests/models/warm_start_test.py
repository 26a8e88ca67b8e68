"""A trained encoder under new heads: kept by the recipe, ruined without it."""

import keras
import numpy as np

import keras_dinolm as kd
from tests import tiny
from tests.gradients import compiled
from tests.models import tiny as tiny_models

STEPS = 20


def features(encoder):
    """Unit vectors of some texts, less what all texts have in common."""
    rows = tiny_models.rows(batch=12, length=12)
    if keras.backend.backend() == "jax":  # op by op takes seconds
        found = compiled(lambda rows: encoder(rows))(rows)
    else:
        found = encoder(rows)
    found = tiny.values([found["sequence"]])[0].astype("float64")
    found -= found.mean(axis=0)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_the_recipe_keeps_what_a_rate_from_scratch_ruins():
    """The encoder is taken for a trained one; what it computes is to stay."""
    model = tiny.model([kd.objectives.SequenceDistillation()], momentum=0.9)
    optimizer = kd.optimizers.adamw(
        1e-2,
        schedule="constant",
        layer_decay=0.5,
        module_clipnorm=1.0,
        frozen_encoder_steps=STEPS // 4,
    )
    model.compile(optimizer)
    variables = [*model.variables, *optimizer.variables]
    start = tiny.values(variables)
    before = features(model.student.encoder)
    cosines = []
    # One compiled step for both: the rate is a variable.
    for rate in (1e-2, 2e-1):
        for variable, value in zip(variables, start):
            variable.assign(value)
        optimizer.learning_rate = rate
        for step in range(STEPS):
            model.train_on_batch(tiny.batch(step))
        after = features(model.student.encoder)
        cosines.append(np.sum(before * after, axis=-1).mean())
    kept, ruined = cosines
    assert ruined < 0.5 < 0.9 < kept, cosines
