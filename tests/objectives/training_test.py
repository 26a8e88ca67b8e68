"""Objectives with state, in one run: accumulated, saved, loaded, resumed."""

import json

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

O = kd.objectives  # noqa: E741


def objectives():
    return [
        O.SequenceDistillation(
            targets=kd.layers.OnlineCodebook(12, momentum=0.5, hard=False)
        ),
        O.TokenDistillation(targets=kd.layers.OnlineCodebook(12, momentum=0.5)),
        O.FeatureRegression(num_layers=1),
        O.CrossViewTokenDistillation(targets=kd.layers.Centering()),
        O.VICReg(weight=0.04, expander_dim=8),
        O.MomentumContrast(queue_size=12),
        O.GramAnchoring(refresh_every=1, max_refreshes=2),
        O.GramAnchoring(
            teacher=kd.models.TextEncoder(tiny.backbone(hidden_dim=8)),
            name="anchor",
        ),
    ]


# Tracing these graphs took 32 s under tensorflow; compiled steps have tests of
# their own, in tests/models.
EAGERLY = keras.backend.backend() == "tensorflow"


def compiled(**kwargs):
    model = tiny.model(objectives(), momentum=0.5)
    model.compile(kd.optimizers.AdamW(1e-2, **kwargs), run_eagerly=EAGERLY)
    return model


def gram(model):
    return model.lesson.objectives["gram_anchoring"]


def everything(model):
    """All state but that of the random layers, by name."""
    metrics = {id(v) for v in model.metrics_variables}
    return [
        (v.path, tiny.values([v])[0])
        for v in [*model.variables, *model.optimizer.variables]
        if id(v) not in metrics
    ]


def test_saved_within_an_update_it_goes_on_with_the_same_bits(tmp_path):
    model = compiled(gradient_accumulation_steps=2)
    codes = model.objectives[1].targets.codes
    before = tiny.values([codes])[0]
    # One and a half updates: sums over micro-batches are under way.
    model.fit(tiny.Batches(3), verbose=0)
    assert int(tiny.values([model.updates])[0]) == 1
    assert int(tiny.values([model.objectives[1].targets.updates])[0]) == 1
    assert tiny.values([model.objectives[1].targets.count])[0].sum() > 0
    moved = tiny.values([codes])[0]
    assert np.abs(moved - before).max() > 0.1
    assert np.linalg.norm(moved, axis=-1).max() < 1 + 1e-5
    assert int(tiny.values([gram(model).copies])[0]) == 2
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    configs = [
        json.dumps([o.get_config() for o in one.objectives], sort_keys=True)
        for one in (model, again)
    ]
    assert configs[0] == configs[1]
    logs = []
    for one in (model, again):
        history = one.fit(tiny.Batches(4, start=3), verbose=0).history
        logs.append({k: v[-1] for k, v in history.items()})
    for (path, a), (_, b) in zip(
        everything(model), everything(again), strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=path)
    assert logs[0] == logs[1]
    assert set(logs[0]) >= {
        "sequence_distillation",
        "token_distillation",
        "feature_regression",
        "feature_regression_target_std",
        "cross_view_token_distillation",
        "cross_view_token_distillation_aligned_pairs",
        "vicreg",
        "momentum_contrast",
        "gram_anchoring",
        "anchor",
    }
    assert np.all(np.isfinite(list(logs[0].values())))
    assert int(tiny.values([gram(again).copies])[0]) == 3
    # One-hot targets have no entropy.
    assert logs[0]["token_distillation_teacher_entropy"] == 0.0
    assert logs[0]["sequence_distillation_teacher_entropy"] > 0.0


def test_a_codebook_has_as_many_codes_as_the_model_prototypes():
    targets = kd.layers.OnlineCodebook(num_codes=7)
    with pytest.raises(ValueError, match="num_codes=7, num_prototypes=12"):
        tiny.model([O.TokenDistillation(targets=targets)])
