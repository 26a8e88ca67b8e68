"""`Ablation`: stopped or not, the same numbers; and a table that is true."""

import json
import shutil
import statistics

import keras
import numpy as np
import pytest

from keras_dinolm.runs import ablation_report
from keras_dinolm.runs.ablation import Ablation
from keras_dinolm.runs.ablation_run import NOT_FINITE
from keras_dinolm.runs.resume import fit
from keras_dinolm.runs.state_file import CheckpointError

CONFIG = {"units": 4, "rate": 1e-2}
CHANGES = {"all": {}, "slow": {"rate": 1e-3}}
ARGUMENTS = {
    "steps": 5,
    "steps_per_epoch": 2,
    "config": CONFIG,
    "seeds": [0, 1],
    "make_callbacks": list,
    "save_every": 2,
    "verbose": 0,
}


def batches(seed, step):
    while True:
        x = np.random.default_rng((seed, step)).normal(size=(4, 3))
        yield x.astype("float32"), x.sum(1, keepdims=True).astype("float32")
        step += 1


def recipe(config, seed):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(config["units"])]
    )
    model.compile(keras.optimizers.Adam(config["rate"]), "mse")
    return model, lambda step: batches(seed, step)


def measure(model, history):
    weights = keras.ops.convert_to_numpy(model.trainable_variables[0])
    return {"weight": weights[0, 0], "loss": history["loss"][-1]}


def ablation(directory, changes=None, measure=measure, recipe=recipe, **kwargs):
    return Ablation(
        recipe, changes or CHANGES, measure, directory, **ARGUMENTS | kwargs
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The one that nobody stopped, and its folder."""
    directory = tmp_path_factory.mktemp("alone")
    return directory, ablation(directory).run()


def lines(directory):
    return (directory / "results.jsonl").read_text().splitlines()


# === Runs ===


def test_each_run_is_what_fit_does(alone, tmp_path):
    _, results = alone
    found = {(r["change"], r["seed"]): r for r in results}
    assert len(found) == len(results) == 4
    keras.utils.set_random_seed(1)
    model, make_dataset = recipe({**CONFIG, **CHANGES["slow"]}, 1)
    history = fit(model, make_dataset, tmp_path, 5, 2, verbose=0).history
    result = found["slow", 1]
    assert result["measured"] == measure(model, history)
    assert result["history"]["loss"] == history["loss"]
    assert result["steps"] == 5 and result["failures"] == []


def test_writes_a_line_a_run_and_a_table_and_a_figure(alone):
    directory, results = alone
    stored = [json.loads(line) for line in lines(directory)]
    # Seed by seed, so that what is there can be compared.
    order = [(r["seed"], r["change"]) for r in stored]
    assert order == [(0, "all"), (0, "slow"), (1, "all"), (1, "slow")]
    assert sorted(map(str, stored)) == sorted(map(str, results))
    assert "5 steps a run" in (directory / "table.md").read_text()
    figure = (directory / "ablation.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    assert not list(directory.glob("runs/*/*"))


class Crash(Exception):
    pass


class CrashAt(keras.callbacks.Callback):
    """Counts the batches of all runs and crashes at one of them."""

    count = 0

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_batch_begin(self, batch, logs=None):
        if CrashAt.count == self.at:
            raise Crash
        CrashAt.count += 1


@pytest.mark.once
def test_stopped_anywhere_it_ends_the_same(alone, tmp_path):
    # In the first run; right at its end; in the second run, twice.
    for at in (2, 3, 1, 3):
        CrashAt.count = 0
        crashing = ablation(tmp_path, make_callbacks=lambda: [CrashAt(at)])  # noqa: B023
        with pytest.raises(Crash):
            crashing.run()
    CrashAt.count = 0
    ablation(tmp_path, make_callbacks=lambda: [CrashAt(-1)]).run()
    # 20 batches in all; saved were 5 of the first run and 2 of the second.
    assert CrashAt.count == 20 - 7
    assert lines(tmp_path) == lines(alone[0])


@pytest.mark.once
def test_finished_runs_are_not_repeated_and_more_may_be_added(tmp_path):
    def never(model, history):
        raise Crash

    first = ablation(tmp_path, {"all": {}}, seeds=[0])
    [result] = first.run()
    assert ablation(tmp_path, {"all": {}}, never, seeds=[0]).run() == [result]
    more = ablation(tmp_path, seeds=[0]).run()
    assert more[0] == result and len(more) == 2
    # A table of some of them.
    assert first.results() == [result]


@pytest.mark.once
def test_a_change_may_be_a_function(alone, tmp_path):
    def slower(recipe):
        return lambda config, seed: recipe({**config, "rate": 1e-3}, seed)

    [result] = ablation(tmp_path, {"slow": slower}, seeds=[0]).run()

    def without_recipe(result):
        return {k: v for k, v in result.items() if k != "recipe"}

    # Its configuration is another one; what came of it is the same.
    assert without_recipe(result) in map(without_recipe, alone[1])


# === The folder ===


def copy(directory, tmp_path):
    return shutil.copytree(directory, tmp_path / "copy")


@pytest.mark.once
def test_a_torn_result_is_measured_again(alone, tmp_path):
    directory = copy(alone[0], tmp_path)
    path = directory / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.warns(UserWarning, match="last line of .* is torn"):
        ablation(directory).run()
    assert path.read_bytes() == whole


@pytest.mark.once
@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"\xff", b'{"a": 1}'])
def test_a_damaged_recipe_is_set_aside(content, alone, tmp_path):
    directory = copy(alone[0], tmp_path)
    path = directory / "recipe.json"
    whole = path.read_bytes()
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="recipe.json.damaged"):
        assert ablation(directory).run() == alone[1]
    assert path.read_bytes() == whole
    assert (directory / "recipe.json.damaged").read_bytes() == content
    # The results themselves say which recipe they are of.
    path.unlink()
    with pytest.raises(ValueError, match="'all', seed 0, by another recipe"):
        ablation(directory, recipe=wider).run()


@pytest.mark.once
@pytest.mark.parametrize("line", ["[]", "{}", "3", '{"change": "all"}'])
def test_a_result_that_is_none_is_named(line, alone, tmp_path):
    directory = copy(alone[0], tmp_path)
    path = directory / "results.jsonl"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(ValueError, match="record 5: no result of an ablation"):
        ablation(directory).run()


@pytest.mark.once
@pytest.mark.parametrize("name", ["results.jsonl", "table.md", "runs"])
def test_files_of_the_user_are_left_alone(name, tmp_path):
    if name == "runs":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("mine")
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=f"did not write: {name}"):
        ablation(tmp_path).run()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.once
def test_one_process_a_folder(tmp_path):
    first = ablation(tmp_path)
    with first.folder.locked():
        with pytest.raises(CheckpointError, match="in use by this very"):
            ablation(tmp_path).run()


# === Runs that fail ===


class Breaks(keras.callbacks.Callback):
    """As `DinoLM` stops if gradients are not finite for too long."""

    def on_train_batch_begin(self, batch, logs=None):
        self.batches = getattr(self, "batches", 0) + 1
        if self.batches == 4:
            raise FloatingPointError("not finite")


@pytest.mark.once
def test_a_run_that_breaks_is_a_result(tmp_path):
    keras.utils.set_random_seed(0)
    model, make_dataset = recipe(CONFIG, 0)
    history = fit(model, make_dataset, tmp_path / "short", 2, 2, verbose=0)
    [result] = ablation(
        tmp_path / "a",
        {"all": {}},
        seeds=[0],
        make_callbacks=lambda: [Breaks()],
    ).run()
    assert result["failures"] == [NOT_FINITE]
    assert result["steps"] == 2
    # As its last checkpoint left it.
    expected = measure(model, history.history)
    assert result["measured"]["weight"] == expected["weight"]
    assert result["history"]["loss"] == history.history["loss"]


@pytest.mark.once
def test_one_that_breaks_before_a_checkpoint_is_measured_as_built(tmp_path):
    [result] = ablation(
        tmp_path,
        {"all": {}},
        lambda model, history: {"epochs": len(history), "rate": np.nan},
        seeds=[0],
        make_callbacks=lambda: [Breaks()],
        steps_per_epoch=5,
        save_every=None,
    ).run()
    assert result["failures"] == [NOT_FINITE] and result["steps"] == 0
    assert result["measured"] == {"epochs": 0.0, "rate": None}


class Finds(keras.callbacks.Callback):
    """Finds something at the third batch, and crashes once at the fifth."""

    crashes = 1

    def __init__(self):
        super().__init__()
        self.found = []
        self.batches = 0

    def get_run_state(self):
        return [self.found, self.batches]

    def set_run_state(self, state):
        self.found, self.batches = state

    def on_train_batch_begin(self, batch, logs=None):
        if self.batches == 4 and Finds.crashes:
            Finds.crashes -= 1
            raise Crash
        self.batches += 1
        if self.batches == 3:
            self.found.append("one prototype")


@pytest.mark.once
def test_what_was_found_before_a_crash_is_not_forgotten(tmp_path):
    Finds.crashes = 1
    once = ablation(
        tmp_path, {"all": {}}, seeds=[0], make_callbacks=lambda: [Finds()]
    )
    with pytest.raises(Crash):
        once.run()
    [result] = once.run()
    assert result["failures"] == ["one prototype"]


# === Another recipe ===


def wider(config, seed):
    return recipe({**config, "units": 5}, seed)


def other_data(config, seed):
    model, _ = recipe(config, seed)
    return model, lambda step: batches(seed + 1, step)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"steps": 6}, "steps: 5 then, 6 now"),
        ({"recipe": wider}, r"all.model.*units: 4 then, 5 now"),
        ({"recipe": other_data}, "slow.data.first batch.0: .float32"),
        (
            {"changes": {"slow": {"rate": 0.5}}},
            r"slow.config.rate: 0.001 then, 0.5 now",
        ),
        (
            {"config": {"units": 4, "rate": 0.5}, "changes": {"all": {}}},
            r"all.optimizer.config.learning_rate: 0.00\d+ then, 0.5 now",
        ),
    ],
)
def test_another_recipe_is_an_error_that_names_what_differs(
    arguments, message, alone
):
    with pytest.raises(ValueError, match=message):
        ablation(alone[0], **arguments).run()


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"changes": {"x": {"untis": 3}}}, r"overrides \['untis'\].*units"),
        ({"changes": {"x": 3}}, "'x': 3"),
        ({"changes": {"no x": {}, "No X": {}}}, "each names a folder"),
        ({"seeds": [0, 0]}, r"seeds=\[0, 0\]"),
        ({"seeds": []}, r"seeds=\[\]"),
        ({"steps": 0}, "steps=0"),
        ({"steps_per_epoch": 1.5}, "steps_per_epoch=1.5"),
        ({"seeds": ["0"]}, r"seeds\[0\]='0'"),
        ({"seeds": [-1]}, r"seeds\[0\]=-1"),
        ({"seeds": "01"}, "seeds='01'"),
        ({"save_every": 0}, "save_every=0"),
        ({"verbose": "yes"}, "verbose='yes'"),
        ({"curves": "loss"}, r"curves=\[...\].*curves='loss'"),
        ({"config": [1]}, "`config` must be a dict"),
        ({"changes": ["a"]}, "`changes` must be a dict"),
        ({"measure": None}, "`measure` must be a callable"),
        ({"recipe": 3}, "`recipe` must be a callable"),
        ({"make_callbacks": []}, "`make_callbacks` must be a callable"),
        ({"keep_checkpoints": "no"}, "keep_checkpoints='no'"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ablation(tmp_path, **arguments)


def test_wrong_functions(tmp_path):
    with pytest.raises(ValueError, match="must return .*model, make_dataset"):
        ablation(tmp_path, recipe=lambda config, seed: None).run()
    with pytest.raises(ValueError, match="heading to number.*'high'"):
        ablation(tmp_path, measure=lambda m, h: {"score": "high"}).run()


# === The table and the figure ===


def result(change, seed, failures=(), history=None, **measured):
    return {
        "change": change,
        "seed": seed,
        "measured": measured,
        "failures": list(failures),
        "history": history or {},
    }


RESULTS = [
    result("all", 0, score=10.0, spread=0.5),
    result("all", 1, score=20.0, spread=0.5),
    result("all", 2, score=60.0, spread=0.5),
    # Another level for each seed, and nearly the same step down from it.
    result("a|b", 0, ["constant features"], score=9.0, spread=None),
    result("a|b", 2, ["constant features"], score=57.0, spread=0.25),
]


@pytest.mark.once
def test_table_has_means_deviations_and_paired_differences():
    text = ablation_report.table(RESULTS, ["all", "a|b", "later"])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [
        [cell.strip() for cell in row.replace(r"\|", "!").split("|")[1:-1]]
        for row in rows
    ]

    def cell(values):
        deviation = statistics.stdev(values)
        return f"{statistics.mean(values):.1f} ± {deviation:.1f}"

    assert cells[0] == ["", "score", "spread", "runs", "failure"]
    assert cells[2] == [
        "all",
        cell([10, 20, 60]),
        "0.500 ± 0.000",
        "3",
        "none",
    ]
    assert cells[3] == [
        "a!b",
        cell([9, 57]),
        "0.250",
        "2",
        "constant features (2)",
    ]
    assert cells[4] == ["later", "-", "-", "0", "-"]
    assert cells[5] == ["", "score", "spread"]
    # Only the seeds that both have: -1 and -3.
    assert cells[7] == ["a!b", cell([-1, -3]), "-0.250"]
    assert cells[8] == ["later", "-", "-"]


@pytest.mark.once
def test_figure_shows_every_run():
    curves = {"entropy": [1.0, None, 2.0]}
    results = [{**r, "history": curves} for r in RESULTS]
    figure = ablation_report.figure(
        results, ["all", "a|b"], ["entropy", "absent"], 10, 25
    )
    score, spread, entropy, absent = [a for a in figure.axes if a.axison]
    runs = [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_marker())
        for line in score.lines
        if line.get_marker() in ("o", "x")
    ]
    assert runs == [
        (10.0, 0, "o"),
        (20.0, 0, "o"),
        (60.0, 0, "o"),
        (9.0, 1, "x"),
        (57.0, 1, "x"),
    ]
    assert [t.get_text() for t in score.get_yticklabels()] == ["all", "a|b"]
    assert len(entropy.lines) == 5 and not absent.lines
    np.testing.assert_equal(entropy.lines[0].get_xdata(), [10, 20, 25])
    np.testing.assert_equal(entropy.lines[0].get_ydata(), [1.0, np.nan, 2.0])


@pytest.mark.once
def test_nothing_yet_is_no_error(tmp_path):
    assert "| all | 0 | - |" in ablation(tmp_path).table()
    ablation_report.figure([], ["all"], ["loss"], 1, 2)
