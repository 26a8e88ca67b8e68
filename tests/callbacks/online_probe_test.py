"""`OnlineProbe`: what is learned is measured, and the run is the same."""

import json
import types

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.callbacks import OnlineProbe
from keras_dinolm.callbacks import online_probe
from tests import tiny

WORDS = [f"w{i}" for i in range(tiny.VOCABULARY_SIZE - 5)]
TEXTS = ["w1 w2 w3", "w4", "w5 w6"]


def tokenizer():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return kd.models.DinoLMTokenizer([*special, *WORDS])


def build():
    keras.utils.set_random_seed(0)
    model = tiny.model([kd.objectives.InfoNCE()], momentum=0.5)
    # Only jax donates its buffers; tracing the others takes long.
    eager = keras.backend.backend() != "jax"
    model.compile(
        kd.optimizers.adamw(1e-2, schedule="constant"), run_eagerly=eager
    )
    return model


def fit(model, steps, directory, callbacks=()):
    """Trains from the start, or resumes from the folder."""
    return kd.runs.fit(
        model,
        lambda start: tiny.Batches(9 - start, start),
        directory,
        steps=steps,
        steps_per_epoch=4,
        callbacks=callbacks,
        verbose=0,
    )


class Features:
    """A probe that keeps the features it sees."""

    def __init__(self):
        self.seen = []

    def __call__(self, embedder):
        self.seen.append(embedder.encode(TEXTS))
        return {"norm": np.linalg.norm(self.seen[-1])}


# === In a real fit ===


def test_measures_the_teacher_changes_nothing_and_resumes(tmp_path):
    def callback():
        return OnlineProbe(
            Features(),
            tokenizer(),
            every=2,
            time_share=1,
            monitor="norm",
            mode="min",
            directory=tmp_path / "best",
        )

    model = build()
    state = [*model.variables, *model.optimizer.variables]
    start = tiny.values(state)
    fit(model, 8, tmp_path / "plain")
    plain = tiny.values(state)
    # The same model again: compiling another takes the longest.
    for variable, value in zip(state, start, strict=True):
        variable.assign(value)
    first, second = callback(), callback()
    fit(model, 5, tmp_path / "probed", [first])
    history = fit(model, 8, tmp_path / "probed", [second])
    for a, b in zip(plain, tiny.values(state), strict=True):
        np.testing.assert_array_equal(a, b)

    seen = [*first.probe.seen, *second.probe.seen]
    norms = [float(np.linalg.norm(x)) for x in seen]
    records = second.history
    assert [record["step"] for record in records] == [2, 4, 6, 8]
    assert [record["norm"] for record in records] == norms
    assert len(set(norms)) == 4
    assert history.history["probe/norm"] == [norms[1], norms[3]]
    assert second.best == records[int(np.argmin(norms))]
    best = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / "best")
    np.testing.assert_allclose(
        best.encode(TEXTS), seen[int(np.argmin(norms))], rtol=1e-5
    )


def test_measures_one_of_two_students(tmp_path):
    model = kd.models.Distillation(
        [
            kd.models.Lesson(
                tiny.backbone(hidden_dim=width),
                [kd.objectives.InfoNCE()],
                num_prototypes=4,
                name=name,
            )
            for name, width in (("wide", 16), ("slim", 8))
        ]
    )
    callbacks = [
        OnlineProbe(
            Features(),
            tokenizer(),
            student=name,
            monitor="norm",
            directory=tmp_path / name,
        )
        for name in ("slim", "wide")
    ]
    logs = {}
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_epoch_begin(0)
        callback.on_train_batch_end(0)
        callback.on_epoch_end(0, logs)
    for callback, width in zip(callbacks, (8, 16)):
        name = callback.student
        (seen,) = callback.probe.seen
        assert seen.shape == (len(TEXTS), width)
        (record,) = callback.history
        assert logs[f"probe/{name}/norm"] == record["norm"]
        best = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / name)
        np.testing.assert_allclose(best.encode(TEXTS), seen, rtol=1e-5)
    assert len(logs) == 2
    for student in (None, "other"):
        callback = OnlineProbe(Features(), tokenizer(), student=student)
        with pytest.raises(ValueError, match=f"'slim'.*student={student!r}"):
            callback.set_model(model)


# === When ===


def play(monkeypatch, costs, epochs=1, batches=10, **arguments):
    """Plays a fit whose batches take one second; returns the callback."""
    now = [0.0]
    clock = types.SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(online_probe, "time", clock)
    costs = iter(costs)

    def probe(embedder):
        now[0] += next(costs)
        return {"at": now[0]}

    callback = OnlineProbe(probe, tokenizer(), **arguments)
    callback._model = types.SimpleNamespace()
    callback._embedder = object()
    callback.on_train_begin()
    for epoch in range(epochs):
        callback.on_epoch_begin(epoch)
        for batch in range(batches):
            callback.on_train_batch_begin(batch)
            now[0] += 1.0
            callback.on_train_batch_end(batch)
        logs = {}
        callback.on_epoch_end(epoch, logs)
    return callback, logs


def steps(callback):
    return [record["step"] for record in callback.history]


def test_at_the_end_of_each_epoch(monkeypatch):
    callback, logs = play(monkeypatch, [0.1] * 3, epochs=3)
    assert steps(callback) == [10, 20, 30]
    assert logs == {"probe/at": callback.history[-1]["at"]}


def test_every_few_batches_across_epochs(monkeypatch):
    callback, _ = play(monkeypatch, [0.1] * 9, epochs=2, every=4)
    assert steps(callback) == [4, 8, 12, 16, 20]


def test_a_probe_waits_until_its_share_is_there(monkeypatch):
    # The first one waits for nothing, and costs 2 s. A second at time t
    # (probes included) needs 2 + 2 <= 0.2 * (t + 2), that is t = 18.
    callback, _ = play(
        monkeypatch, [2.0] * 9, epochs=2, batches=20, every=2, time_share=0.2
    )
    total = 2 * len(callback.history)
    assert steps(callback)[:2] == [2, 16]
    assert total <= 0.2 * (40 + total)


# === Which is best ===


@pytest.mark.parametrize(
    "mode, values, best",
    [
        ("max", [1.0, 3.0, 3.0, 2.0], 2),
        ("min", [2.0, float("nan"), 1.0, 3.0], 3),
        ("max", [float("nan"), 0.5, float("nan"), 0.1], 2),
    ],
)
def test_the_best_is_the_first_of_the_best(monkeypatch, mode, values, best):
    callback = OnlineProbe(
        lambda embedder: {"x": next(found)},
        tokenizer(),
        every=1,
        time_share=1,
        monitor="x",
        mode=mode,
    )
    found = iter(values)
    callback._model = types.SimpleNamespace()
    callback._embedder = object()
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    for batch in range(5):
        callback.on_train_batch_begin(batch)
    assert callback.best["step"] == best
    other = OnlineProbe(dict, tokenizer())
    state = json.loads(json.dumps(callback.get_run_state()))
    other.set_run_state(state)
    assert other.best == callback.best
    assert other._due == callback._due
    assert [r["step"] for r in other.history] == steps(callback)


# === What is refused ===


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"every": 0}, "every=0"),
        ({"every": "5"}, "every='5'"),
        ({"time_share": float("nan")}, "time_share=nan"),
        ({"sequence_length": 0}, "sequence_length=0"),
        ({"monitor": 3}, "monitor=3"),
        ({"directory": 3, "monitor": "x"}, "directory=3"),
        ({"time_share": 0}, "time_share=0"),
        ({"mode": "best"}, "mode='best'"),
        ({"directory": "best"}, "say by `monitor`"),
        ({"mode": "min"}, "mode='min', monitor=None"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        OnlineProbe(Features(), tokenizer(), **arguments)


def test_wants_a_distillation_and_a_known_monitor(monkeypatch):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="of class Sequential"):
        OnlineProbe(Features(), tokenizer()).set_model(model)
    with pytest.raises(ValueError, match=r"monitor='y'.*\['at'\]"):
        play(monkeypatch, [0.1], monitor="y")


# === Folders ===


def _probe(directory):
    return OnlineProbe(
        Features(), tokenizer(), monitor="norm", directory=directory
    )


@pytest.mark.once
def test_a_folder_of_something_else_is_refused_before_training(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match="thesis.tex"):
        _probe(tmp_path).set_model(build())
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.once
def test_two_probes_do_not_share_a_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "best")
    probes = [_probe(tmp_path / "best"), _probe(tmp_path / "link")]
    with pytest.raises(ValueError, match="`directory` of its own"):
        fit(build(), 4, tmp_path / "run", probes)
