import warnings

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

O = kd.objectives  # noqa: E741


def sgd(rate=0.1, **kwargs):
    return keras.optimizers.SGD(rate, **kwargs)


def all_objectives(**kwargs):
    return [
        O.SequenceDistillation(targets=kd.layers.Centering(), **kwargs),
        O.TokenDistillation(targets=kd.layers.Centering(), **kwargs),
        O.KoLeo(),
        O.InfoNCE(),
        O.MaskedLM(),
    ]


def compiled(objectives=None, optimizer=None, jit_compile="auto", **overrides):
    model = tiny.model(objectives or [O.InfoNCE()], **overrides)
    model.compile(optimizer or sgd(), jit_compile=jit_compile)
    return model


def everything(model):
    return tiny.values([*model.variables, *model.optimizer.variables])


def assert_equal(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        np.testing.assert_array_equal(a, b)


def nan_batch(model):
    """Makes the next batch's gradients NaN, through the student's weights."""
    gamma = next(w for w in model.student.weights if "gamma" in w.path)
    good = tiny.values([gamma])[0]
    gamma.assign(np.full_like(good, np.nan))
    return gamma, good


# === One network and its moving average ===


def test_teacher_starts_as_the_student_and_follows_it_once_per_update():
    model = compiled(momentum=0.75)
    assert_equal(
        tiny.values(model.teacher.weights), tiny.values(model.student.weights)
    )
    teacher = tiny.values(model.teacher.weights)
    for step in range(3):
        model.train_on_batch(tiny.batch(step))
        student = tiny.values(model.student.weights)
        teacher = [0.75 * t + 0.25 * s for t, s in zip(teacher, student)]
        for got, expected in zip(tiny.values(model.teacher.weights), teacher):
            np.testing.assert_allclose(got, expected, atol=1e-6)
    assert int(tiny.values([model.updates])[0]) == 3


def test_teacher_reads_whole_views_without_dropout_or_gradient():
    model = tiny.model(
        backbone_overrides={"dropout": 0.5, "drop_path_rate": 0.5}
    )
    views = tiny.batch()
    one, two = (model(views, training=True) for _ in range(2))
    a, b = (
        tiny.values([x["teacher"]["global"]["tokens"]])[0] for x in (one, two)
    )
    np.testing.assert_array_equal(a, b)
    a, b = (
        tiny.values([x["student"]["global"]["tokens"]])[0] for x in (one, two)
    )
    assert np.abs(a - b).max() > 1e-3
    # The teacher's own text, not the masked one.
    whole = model.teacher.encoder(
        {
            "token_ids": views["global"]["token_ids"][:, 0],
            "padding_mask": views["global"]["padding_mask"][:, 0],
        }
    )
    np.testing.assert_allclose(
        tiny.values([whole["sequence"]])[0],
        tiny.values([one["teacher"]["global"]["sequence"][:, 0]])[0],
        atol=1e-5,
    )
    assert not set(map(id, model.teacher.weights)) & set(
        map(id, model.trainable_variables)
    )


# === Updates, accumulation, bad steps ===


def test_accumulation_moves_everything_once_per_update():
    """Four micro-batches of one update, against the mean gradient."""
    objectives = lambda: [  # noqa: E731
        O.SequenceDistillation(targets=kd.layers.Centering()),
        O.InfoNCE(),
    ]
    accumulated = compiled(
        objectives(),
        sgd(gradient_accumulation_steps=4),
        momentum=kd.schedules.Linear(0.5, 0.9, steps=2),
    )
    start = tiny.values(accumulated.trainable_variables)
    teacher = tiny.values(accumulated.teacher.weights)
    for step in range(3):
        accumulated.train_on_batch(tiny.batch(step))
        assert_equal(tiny.values(accumulated.trainable_variables), start)
        assert_equal(tiny.values(accumulated.teacher.weights), teacher)
        assert int(tiny.values([accumulated.updates])[0]) == 0
    accumulated.train_on_batch(tiny.batch(3))
    assert int(tiny.values([accumulated.updates])[0]) == 1

    # The same by hand: single steps from the same start, then their mean.
    single = compiled(objectives(), sgd(), momentum=0.5)
    begin = tiny.values(single.variables)
    moved, centers = [], []
    for step in range(4):
        for variable, value in zip(single.variables, begin):
            variable.assign(value)
        single.train_on_batch(tiny.batch(step))
        moved.append(tiny.values(single.trainable_variables))
        centers.append(tiny.values([single.objectives[0].targets.center])[0])
    mean = [np.mean(parts, axis=0) for parts in zip(*moved)]
    for got, expected in zip(
        tiny.values(accumulated.trainable_variables), mean
    ):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    center = tiny.values([accumulated.objectives[0].targets.center])[0]
    np.testing.assert_allclose(center, np.mean(centers, axis=0), atol=1e-6)
    for t, before, s in zip(
        tiny.values(accumulated.teacher.weights),
        teacher,
        tiny.values(accumulated.student.weights),
    ):
        np.testing.assert_allclose(t, 0.5 * before + 0.5 * s, atol=1e-6)


def test_a_step_with_bad_gradients_moves_nothing_and_is_counted():
    model = compiled(all_objectives(), kd.optimizers.AdamW(1e-2))
    model.train_on_batch(tiny.batch(0))
    gamma, good = nan_batch(model)
    before = everything(model)
    logs = model.train_on_batch(tiny.batch(1), return_dict=True)
    after = everything(model)
    seeds_and_metrics = {
        *map(id, model.metrics_variables),
        *(id(v) for v in model.variables if "seed" in v.path),
    }
    for variable, a, b in zip(
        [*model.variables, *model.optimizer.variables], before, after
    ):
        if id(variable) not in seeds_and_metrics:
            np.testing.assert_array_equal(a, b, err_msg=variable.path)
    assert logs.pop("skipped_steps") == 1.0
    # Nothing was measured; 0 would look like a perfect loss.
    assert all(np.isnan(v) for v in logs.values()), logs
    gamma.assign(good)
    logs = model.train_on_batch(tiny.batch(1), return_dict=True)
    assert int(tiny.values([model.updates])[0]) == 2


def test_many_bad_steps_in_a_row_end_training():
    model = compiled([O.InfoNCE()], max_skipped_steps=3)
    nan_batch(model)
    with pytest.raises(FloatingPointError, match="max_skipped_steps=3"):
        model.fit(tiny.Batches(8), verbose=0)


# === Objectives as switches ===


def test_objectives_act_between_start_and_stop_and_else_cost_nothing():
    model = compiled(
        [
            O.InfoNCE(),
            O.SequenceDistillation(start=3),
            O.KoLeo(weight=0),
            O.MaskedLM(stop=4, name="bootstrap"),
        ]
    )
    passes = []
    original = model.call

    def spy(views, training=None):
        passes.append(set(tiny.passes(model)))
        return original(views, training=training)

    model.call = spy
    history = model.fit(tiny.Batches(2), epochs=3, verbose=0).history
    # Three epochs: what does not act, logs nothing.
    assert len(history["info_nce"]) == 3
    assert len(history["sequence_distillation"]) == 2
    assert len(history["sequence_distillation_teacher_entropy"]) == 2
    assert len(history["bootstrap"]) == 2
    assert "koleo" not in history
    assert min(history["sequence_distillation"] + history["bootstrap"]) > 0.0
    student = {("student", "global"), ("student", "local")}
    whole = {*student, ("teacher", "global")}
    assert passes[0] == student and passes[-1] == whole


@pytest.mark.parametrize("pooled_layers", [(0,), (-1,)])
def test_blocks_run_only_where_what_is_read_needs_them(
    pooled_layers, monkeypatch
):
    model = tiny.model(
        [O.MaskedLM(), O.InfoNCE(group="local")],
        backbone_overrides={"pooled_layers": pooled_layers},
    )
    original = kd.layers.EncoderBlock.call
    rows = []

    def spy(self, x, *args, **kwargs):
        rows.append(x.shape[0])
        return original(self, x, *args, **kwargs)

    monkeypatch.setattr(kd.layers.EncoderBlock, "call", spy)
    views = tiny.batch()
    found = model(views, training=True)["student"]
    whole, crops = (
        np.prod(views[group]["token_ids"].shape[:2])
        for group in ("global", "local")
    )
    # Crops are not masked, so masked LM reads nothing of them.
    assert rows == ([whole] if pooled_layers == (0,) else [whole, crops])
    assert "tokens" in found["global"] and "tokens" not in found["local"]


def test_leaving_token_features_out_changes_no_training():
    runs = []
    for reads_tokens in ("none", "all"):
        info_nce = O.InfoNCE(group="local")
        info_nce.reads_tokens = reads_tokens
        model = compiled(
            [O.MaskedLM(), info_nce],
            backbone_overrides={"pooled_layers": (0,)},
        )
        for step in range(2):
            model.train_on_batch(tiny.batch(step))
        runs.append(everything(model))
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_schedules_count_updates_not_batches():
    weight = kd.schedules.Linear(0.0, 1.0, steps=10)
    model = compiled(
        [O.InfoNCE(weight=weight), O.MaskedLM()],
        sgd(1e-9, gradient_accumulation_steps=2),
    )
    losses = []
    for step in range(4):
        model.reset_metrics()
        logs = model.train_on_batch(tiny.batch(step), return_dict=True)
        losses.append((logs["loss"] - logs["masked_lm"]) / logs["info_nce"])
    np.testing.assert_allclose(losses, [0.0, 0.0, 0.1, 0.1], atol=1e-5)


# === As any Keras model ===


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_trains_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = compiled(all_objectives(), kd.optimizers.AdamW(1e-3))
    if policy == "mixed_float16":
        # A scale that overflows at once: skipped, halved, tried again.
        model.optimizer.initial_scale = 2.0**40
        model.compile(
            keras.optimizers.LossScaleOptimizer(
                kd.optimizers.AdamW(1e-3), initial_scale=2.0**40
            )
        )
    before = tiny.values(model.teacher.weights)
    model.train_on_batch(tiny.batch(0))
    if policy == "mixed_float16":
        assert_equal(tiny.values(model.teacher.weights), before)
        assert int(tiny.values([model.updates])[0]) == 0
        model.optimizer.dynamic_scale.assign(16.0)
        model.train_on_batch(tiny.batch(0))
    assert int(tiny.values([model.updates])[0]) == 1
    logs = model.train_on_batch(tiny.batch(1), return_dict=True)
    assert all(np.isfinite(v) for v in logs.values()), logs
    assert all(
        keras.backend.standardize_dtype(v.dtype) == "float32"
        for v in model.trainable_variables
    )


def test_compiled_smoke():
    """The step compiled: XLA, or Inductor."""
    model = compiled(
        all_objectives(), kd.optimizers.AdamW(1e-2), jit_compile=True
    )
    views = tiny.batch(0)
    # The same, one operation after the other.
    expected = tiny.metrics(model, views)
    before = tiny.values(model.trainable_variables)
    logs = model.train_on_batch(views, return_dict=True)
    for name, value in expected.items():
        assert logs[name] == pytest.approx(value, rel=1e-3), name
    moved = [
        np.abs(a - b).max()
        for a, b in zip(tiny.values(model.trainable_variables), before)
    ]
    # AdamW's first step is the learning rate in every direction.
    assert 0.009 < max(moved) < 0.011


@pytest.mark.slow
def test_compiled_training_is_eager_training():
    """Over phases, schedules and gradient accumulation."""

    def train(jit_compile):
        model = compiled(
            [
                O.SequenceDistillation(
                    targets=kd.layers.Centering(),
                    teacher_temperature=kd.schedules.Linear(0.04, 0.07, 4),
                ),
                O.TokenDistillation(start=2),
                O.KoLeo(),
                O.InfoNCE(),
            ],
            kd.optimizers.adamw(
                1e-3,
                warmup_steps=2,
                total_steps=10,
                gradient_accumulation_steps=2,
            ),
            jit_compile=jit_compile,
            momentum=kd.schedules.Cosine(0.5, 0.9, 6),
        )
        model.fit(tiny.Batches(8), verbose=0)
        return tiny.values([*model.student.weights, *model.teacher.weights])

    for a, b in zip(train(True), train(False), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_dropout_is_drawn_anew_in_each_compiled_step():
    model = compiled(
        [O.InfoNCE()],
        sgd(0.0),
        jit_compile=True,
        backbone_overrides={"dropout": 0.5},
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = [model.train_on_batch(tiny.batch(0)) for _ in range(2)]
    # `train_on_batch` gives the mean so far.
    assert losses[0] != losses[1]
    told = any("draws random numbers" in str(w.message) for w in caught)
    assert told == (keras.backend.backend() == "torch")


def test_saves_and_loads_in_the_middle_of_training(tmp_path):
    model = compiled(
        [
            O.SequenceDistillation(
                targets=kd.layers.Centering(),
                teacher_temperature=kd.schedules.Linear(0.1, 0.2, 3),
            ),
            O.MaskedLM(),
        ],
        kd.optimizers.AdamW(1e-2),
    )
    model.fit(tiny.Batches(2), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert int(tiny.values([again.updates])[0]) == 2
    for one in (model, again):
        one.fit(tiny.Batches(2, start=2), verbose=0)
    for a, b in zip(everything(model), everything(again)):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_fits_with_validation_data_and_has_a_summary(capsys):
    model = compiled()
    history = model.fit(
        tiny.Batches(2), validation_data=tiny.Batches(1, start=9), verbose=0
    ).history
    assert np.isfinite(history["val_loss"][0])
    teacher = tiny.values(model.teacher.weights)
    model.evaluate(tiny.Batches(1), verbose=0)
    assert_equal(tiny.values(model.teacher.weights), teacher)
    model.summary()
    assert "student" in capsys.readouterr().out


def test_steps_per_execution_changes_nothing():
    if keras.backend.backend() == "torch":
        # Keras itself refuses, by name.
        model = compiled()
        model.compile(sgd(), steps_per_execution=2)
        with pytest.raises(ValueError, match="steps_per_execution"):
            model.fit(tiny.Batches(2), verbose=0)
        return
    one, two = (
        compiled([O.InfoNCE(), O.SequenceDistillation(start=2)])
        for _ in range(2)
    )
    two.compile(sgd(), steps_per_execution=2)
    for model in (one, two):
        model.fit(tiny.Batches(4), verbose=0)
    for a, b in zip(
        tiny.values(one.teacher.weights), tiny.values(two.teacher.weights)
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


# === Monitors' raw material ===


def test_feature_statistics_are_those_of_all_features_seen():
    from keras_dinolm.models.distillation.feature_statistics import (
        FeatureStatistics,
    )

    rng = np.random.default_rng(0)
    metric = FeatureStatistics(6)
    rows, cosines = [], []
    for _ in range(2):
        sequence = rng.normal(size=(4, 2, 6)).astype("float32")
        tokens = rng.normal(size=(4, 2, 3, 6)).astype("float32")
        mask = rng.random((4, 2, 3)) < 0.7
        sums = metric.sums(
            keras.tree.map_structure(
                keras.ops.convert_to_tensor,
                {"sequence": sequence, "tokens": tokens},
            ),
            mask,
        )
        metric.update_state(sums)
        bad = keras.tree.map_structure(lambda x: x * np.nan, sums)
        metric.update_state(bad, keep=keras.ops.convert_to_tensor(False))
        unit = sequence / np.linalg.norm(sequence, axis=-1, keepdims=True)
        rows.append(unit.reshape(-1, 6))
        towards = tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
        cosines.append(np.einsum("bvld,bvd->bvl", towards, unit)[mask])
    rows = np.concatenate(rows).astype("float64")
    result = {k: float(np.array(v)) for k, v in metric.result().items()}
    gram = rows @ rows.T
    n = len(rows)
    assert result["feature_std"] == pytest.approx(
        np.sqrt(rows.var(axis=0).sum()), rel=1e-4
    )
    assert result["mean_cosine"] == pytest.approx(
        (gram.sum() - n) / (n * (n - 1)), abs=1e-5
    )
    assert result["token_sequence_cosine"] == pytest.approx(
        np.concatenate(cosines).mean(), rel=1e-4
    )
    singular = np.linalg.svd(rows, compute_uv=False)
    share = singular / singular.sum() + 1e-7
    assert metric.rankme() == pytest.approx(
        np.exp(-(share * np.log(share)).sum()), rel=1e-3
    )


# === Bad input ===


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_prototypes": 1}, "num_prototypes=1"),
        ({"momentum": 1.5}, "momentum=1.5"),
        ({"momentum": float("nan")}, "momentum=nan"),
        ({"momentum": "x"}, "momentum='x'"),
        ({"head_hidden_dim": 0}, "head_hidden_dim=0"),
        ({"bottleneck_dim": -1}, "bottleneck_dim=-1"),
        ({"max_skipped_steps": 0}, "max_skipped_steps=0"),
        ({"objectives": []}, "objectives"),
        ({"objectives": [O.KoLeo(), O.KoLeo()]}, "koleo"),
        ({"objectives": [O.KoLeo(weight=0)]}, "No objective acts"),
        ({"roles": {"global": ("student",)}}, "teacher"),
        ({"roles": {"global": ("pupil",)}}, "pupil"),
    ],
)
def test_refuses(overrides, message):
    with pytest.raises(ValueError, match=message):
        tiny.model(**overrides)


def test_refuses_a_batch_without_its_groups_and_a_loss():
    model = tiny.model()
    views = tiny.batch()
    del views["local"]
    with pytest.raises(ValueError, match="roles=views.roles"):
        model(views)
    with pytest.raises(ValueError, match="objectives"):
        model.compile(sgd(), loss="mse")


def test_token_distillation_without_masks_says_what_to_do():
    views = tiny.text_views(
        groups=[kd.views.ViewGroup("global", 2, span=(0.8, 1.0))]
    )
    model = compiled([O.TokenDistillation()], roles=views.roles)
    with pytest.raises(ValueError, match="mask_probability"):
        model.train_on_batch(tiny.batch(views=views))
