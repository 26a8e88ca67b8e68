"""One call from texts to an encoder."""

import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.recipes import plan
from keras_dinolm.recipes.live_bar import PhaseProgress
from keras_dinolm.recipes.run_folder import RunFolder
from tests.recipes.made_texts import SMALL_BATCHES
from tests.recipes.made_texts import SMALLEST
from tests.recipes.made_texts import made_texts
from tests.recipes.made_texts import same_weights

ROOT = pathlib.Path(__file__).parents[2]
module = sys.modules["keras_dinolm.recipes.pretraining_run"]


def pretrain(directory, texts=None, **changes):
    texts = made_texts() if texts is None else texts
    arguments = {**SMALLEST, **SMALL_BATCHES, **changes}
    return kd.recipes.pretrain(texts, directory, **arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, and what it returned."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    return directory, pretrain(directory)


# === What it leaves ===


def test_it_returns_an_embedder_and_leaves_its_preset(finished):
    directory, embedder = finished
    features = embedder.encode(["two", "texts"])
    assert features.shape == (2, 128) and np.isfinite(features).all()
    again = kd.models.DinoLMTextEmbedder.from_preset(directory / "preset")
    assert same_weights(embedder, again)


@pytest.mark.once
def test_the_report_says_what_a_reader_needs(finished):
    directory, _ = finished
    report = (directory / "report.md").read_text()
    for part in (
        "Recipe `bag_then_blocks`, bag_batch_size=16",
        "Trained on 1,900 texts of",
        "100 more were held out",
        "% of the tokens are unknown",
        "| bag | 3 | 16 |",
        "| blocks | 3 | 8 |",
        "No sign of collapse",
        "| `masked_lm` |",
        "A guess has ln(8) = 2.1",
        "| `feature_std` |",
        "RankMe",
        "| this encoder |",
        "| TF-IDF (baseline) |",
        f"python -m keras_dinolm search {directory}",
    ):
        assert part in report
    assert " nan " not in report
    # A sentence for each number.
    rows = re.findall(r"^\| `\w+` \| -?[\d.]+ \| (.*) \|$", report, re.M)
    assert len(rows) >= 6 and all(row.endswith(".") for row in rows)


@pytest.mark.once
def test_the_report_tells_what_each_stage_brought(finished):
    directory, embedder = finished
    report = (directory / "report.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([\d.]+) \|$", report, re.M))
    *_, untrained, counted, bag, last, baseline = rows
    assert (untrained, last) == ("untrained", "this encoder")
    assert (counted, bag) == ("counted embeddings", "after bag")
    assert baseline == "TF-IDF (baseline)"
    # By hand: the search on the texts that were held out.
    held_out = kd.recipes.texts.read_documents_of(directory / "held_out.jsonl")
    task = kd.evaluation.HeldOutDocuments(held_out)
    backbone = kd.recipes.parts.encoder(
        "nano",
        embedder.preprocessor.tokenizer,
        num_layers=0,
        num_registers=0,
        pooling="weighted_mean",
    )
    tokens = kd.data.TokenStore.open(
        directory / "tokens", embedder.preprocessor.tokenizer
    )
    kd.recipes.parts.count_embeddings(backbone, tokens)
    weights = kd.data.sif_weights(tokens, backbone.vocabulary_size, power=0.5)
    backbone.pooler.log_weights.assign(np.log(weights))
    counted_bag = kd.models.DinoLMTextEmbedder(backbone, embedder.preprocessor)
    for name, encoder in ((counted, counted_bag), (last, embedder)):
        score = 100 * task.evaluate(encoder)["nDCG@10"]
        assert float(rows[name]) == pytest.approx(score, abs=0.06)


@pytest.mark.once
def test_the_picture_is_a_png_of_all_curves(finished):
    data = (finished[0] / "curves.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 30_000


# === Called again ===


@pytest.mark.once
def test_a_finished_run_returns_at_once(finished, monkeypatch, capsys):
    monkeypatch.setattr(kd.runs, "fit", None)
    monkeypatch.setattr(module, "train_tokenizer", None)
    again = pretrain(finished[0], verbose=2)
    assert same_weights(finished[1], again)
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ["name", "value", "difference"],
    [
        ("recipe", "masked_lm", 'recipe: "bag_then_blocks" then, "masked_lm"'),
        ("size", "tiny", 'size: "nano" then, "tiny" now'),
        ("seed", 1, "seed: 0 then, 1 now"),
        ("steps", 7, "steps: 6 then, 7 now"),
        (
            "texts",
            made_texts(1_999),
            'texts: "[0-9a-f]+" then, "[0-9a-f]+" now',
        ),
        ("batch_size", 4, "options.batch_size: 8 then, 4 now"),
    ],
)
@pytest.mark.once
def test_another_run_in_the_same_folder_is_refused(
    finished, name, value, difference
):
    changes = {name: value}
    if name == "recipe":
        changes["bag_batch_size"] = None  # `masked_lm` has no such option
    before = (finished[0] / "run.json").read_bytes()
    if name == "recipe":
        with pytest.raises(ValueError, match=difference):
            kd.recipes.pretrain(
                made_texts(), finished[0], **SMALLEST, recipe=value
            )
    else:
        with pytest.raises(ValueError, match=difference):
            pretrain(finished[0], **changes)
    assert (finished[0] / "run.json").read_bytes() == before


@pytest.mark.once
def test_an_interrupted_run_ends_with_the_same_bits(
    finished, tmp_path, monkeypatch, capsys
):
    count = 0

    def on_train_batch_end(self, batch, logs=None):
        nonlocal count
        count += 1
        if count == 5:  # the second step with blocks
            raise RuntimeError("power cut")
        original(self, batch, logs)

    original = PhaseProgress.on_train_batch_end
    with monkeypatch.context() as patch:
        patch.setattr(PhaseProgress, "on_train_batch_end", on_train_batch_end)
        with pytest.raises(RuntimeError, match="power cut"):
            pretrain(tmp_path / "run")
    assert not (tmp_path / "run" / "preset").exists()
    embedder = pretrain(tmp_path / "run", verbose=2)
    printed = capsys.readouterr().out
    assert "Resuming phase blocks after step 1." in printed
    assert same_weights(finished[1], embedder)
    # What was measured before the interruption is still known.
    for stage in ("counted embeddings", "after bag", "this encoder"):
        assert re.search(rf"{stage} +[\d.]+$", printed, re.M)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    code = (
        "import sys\n"
        "from tests.recipes.pretrain_test import pretrain\n"
        "pretrain(sys.argv[1], steps=60, verbose=2)\n"
    )

    def start(name):
        return subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / name)],
            cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        )

    checkpoints = tmp_path / "killed" / "checkpoints"
    for phase in ("0-bag", "1-blocks"):
        process = start("killed")
        while not any((checkpoints / phase).glob("step-*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start("killed").wait() == start("whole").wait() == 0
    load = kd.models.DinoLMTextEmbedder.from_preset
    killed = load(tmp_path / "killed" / "preset")
    assert same_weights(killed, load(tmp_path / "whole" / "preset"))


# === The folder ===


@pytest.mark.once
@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "asked": 3}'])
def test_a_run_json_of_another_program_is_left_alone(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="run.json"):
        pretrain(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "run.json",
        "thesis.tex",
    ]
    assert (tmp_path / "run.json").read_text() == content


@pytest.mark.once
def test_files_that_are_not_of_a_run_are_left_alone(tmp_path):
    (tmp_path / "report.md").write_text("mine")
    with pytest.raises(ValueError, match="holds files .report.md., but no run"):
        pretrain(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.md"]
    assert (tmp_path / "report.md").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', "\0" * 9])
@pytest.mark.once
def test_a_damaged_description_of_the_run_is_mended(
    content, finished, tmp_path, monkeypatch
):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    path = directory / "run.json"
    whole = path.read_bytes()
    path.write_text(content)
    monkeypatch.setattr(kd.runs, "fit", None)
    with pytest.warns(UserWarning, match="run.json.damaged"):
        pretrain(directory)
    assert path.read_bytes() == whole
    assert (directory / "run.json.damaged").read_text() == content
    # The copy tells another run as well.
    path.write_text(content)
    with pytest.warns(UserWarning, match="run.json.damaged-2"):
        with pytest.raises(ValueError, match="seed: 0 then, 1 now"):
            pretrain(directory, seed=1)
    # Without either, nothing says what the checkpoints are.
    for name in ("run.json", "run.backup.json"):
        (directory / name).write_text(content)
    with pytest.warns(UserWarning, match="damaged"):
        with pytest.raises(ValueError, match="both run.json and run.backup"):
            pretrain(directory)


@pytest.mark.once
def test_a_plan_that_is_none_is_named(finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    content = json.loads((directory / "run.json").read_text())
    content["state"] = {"plan": {"steps": [-1], "seconds": None}}
    (directory / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not one of 2 phases.*plan="):
        pretrain(directory)


@pytest.mark.once
@pytest.mark.parametrize("content", ["{", '{"vocabulary": 3}', "[]", "null"])
def test_a_damaged_tokenizer_is_made_again(content, finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    path = directory / "tokenizer.json"
    whole = path.read_bytes()
    path.write_text(content)
    run = module.PretrainingRun(
        RunFolder(directory, {"vocabulary_size": SMALLEST["vocabulary_size"]}),
        types.SimpleNamespace(tokenizer=None),
        {},
        kd.recipes.texts.split_held_out(
            kd.recipes.texts.read_texts(made_texts()), 0.05
        )[0],
        [],
        0,
    )
    if content != "null":
        with pytest.warns(UserWarning, match="tokenizer.json.damaged"):
            run._tokenizer()
    else:
        run._tokenizer()
    assert path.read_bytes() == whole


@pytest.mark.once
def test_a_preset_that_was_removed_is_written_again(finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(directory / "preset")
    assert same_weights(finished[1], pretrain(directory))


@pytest.mark.once
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not numpy",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, "
        b"'shape': (1000000000000, 128), }".ljust(128)
        + b"\n",
        "other shape",
        "nan",
        "objects",
    ],
    ids=range(6),
)
def test_features_that_are_damaged_are_computed_again(
    content, finished, tmp_path
):
    documents = [kd.data.Document(text) for text in ("a cat", "an owl")]
    search = kd.recipes.TextSearch(
        finished[0] / "preset", documents, tmp_path, sequence_length=8
    )
    expected = search("a cat")
    [path] = tmp_path.glob("*.npy")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "objects":
        np.save(path, np.array([{}], object), allow_pickle=True)
    elif content == "nan":
        np.save(path, np.full_like(search.features, np.nan))
    else:
        np.save(path, search.features[:1])
    with pytest.warns(UserWarning, match="npy.damaged"):
        again = kd.recipes.TextSearch(
            finished[0] / "preset", documents, tmp_path, sequence_length=8
        )
    assert not again.found and again("a cat") == expected
    for arguments in ({"top": 0}, {"top": "5"}):
        with pytest.raises(ValueError, match="`top` must be an integer"):
            again("a cat", **arguments)


@pytest.mark.once
def test_one_process_a_folder(finished):
    asked = json.loads((finished[0] / "run.json").read_text())["asked"]
    with RunFolder(finished[0], asked):
        with pytest.raises(RuntimeError, match="in use by this very process"):
            pretrain(finished[0])


# === Texts and arguments ===


@pytest.mark.parametrize(
    ["changes", "error", "message"],
    [
        ({"texts": 5}, ValueError, "must be a list of strings"),
        ({"texts": ["a", 5]}, ValueError, "index 1: 5"),
        ({"texts": "a text, no path"}, FileNotFoundError, "single string"),
        ({"texts": []}, ValueError, "at least 16 texts"),
        ({"texts": ["a text"] * 15}, ValueError, "at least 16.*: 15 such"),
        ({"texts": [" "] * 99}, ValueError, "at least 16.*: 0 such"),
        ({"minutes": 1}, ValueError, "either `minutes`.*or `steps`"),
        ({"steps": None}, ValueError, "either `minutes`.*or `steps`"),
        ({"steps": 0}, ValueError, "`steps` must be an integer of at least 1"),
        ({"steps": 1}, ValueError, "`steps` must be at least 2, a step for"),
        (
            {"steps": None, "minutes": -1},
            ValueError,
            "`minutes` must be a finite number above 0",
        ),
        ({"size": "huge"}, ValueError, "one of 'nano', 'tiny', 'mini'"),
        ({"recipe": "none"}, ValueError, "one of bag_then_blocks, crop"),
        ({"rate": 1}, ValueError, "has no option 'rate'. Its options are: s"),
        ({"seed": None}, ValueError, "`seed` must be an integer"),
        ({"vocabulary_size": 1}, ValueError, "`vocabulary_size` must be an"),
        ({"span": (0.5, 2.0)}, ValueError, "span"),
        ({"held_out": 1.5}, ValueError, "`held_out` must be .* below 1"),
        ({"held_out": float("nan")}, ValueError, "held_out=nan"),
        ({"held_out": True}, ValueError, "held_out=True"),
        ({"steps": None, "minutes": float("nan")}, ValueError, "minutes=nan"),
        ({"steps": None, "minutes": float("inf")}, ValueError, "minutes=inf"),
        ({"steps": None, "minutes": "5"}, ValueError, "minutes='5'"),
        ({"steps": None, "minutes": True}, ValueError, "minutes=True"),
        ({"steps": -1}, ValueError, "steps=-1"),
        ({"steps": 2.0}, ValueError, r"steps=2\.0"),
        ({"seed": "x"}, ValueError, "seed='x'"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": 2**40}, ValueError, "seed=1099511627776"),
        ({"size": ["nano"]}, ValueError, r"size=\['nano'\]"),
        ({"sequence_length": 3}, ValueError, "sequence_length=3"),
        ({"verbose": "loud"}, ValueError, "verbose='loud'"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
    ],
)
@pytest.mark.once
def test_mistakes_are_named_before_anything_is_written(
    changes, error, message, tmp_path
):
    with pytest.raises(error, match=message):
        pretrain(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_a_mistake_before_the_tokens_does_not_bind_the_folder(
    tmp_path, monkeypatch
):
    def stop(*args, **kwargs):
        raise ValueError("no such vocabulary")

    with monkeypatch.context() as patch:
        patch.setattr(module, "tokenize", stop)
        with pytest.raises(ValueError, match="no such vocabulary"):
            pretrain(tmp_path / "run", vocabulary_size=100)
    monkeypatch.setattr(module, "LiveBar", stop)
    with pytest.raises(ValueError, match="no such vocabulary"):
        pretrain(tmp_path / "run")
    vocabulary = json.loads((tmp_path / "run/tokenizer.json").read_text())
    assert len(vocabulary["vocabulary"]) > 100


# === Plan ===


def phases(*pairs):
    tokenizer = kd.data.train_tokenizer(["a b"] * 9, 60, show_progress=False)
    (phase,) = kd.recipes.crop_info_nce(tokenizer)
    fields = {**vars(phase)}
    return [
        kd.recipes.Phase(**{**fields, "share": share, "max_steps": most})
        for share, most in pairs
    ]


@pytest.mark.once
def test_steps_are_shared_and_what_is_left_goes_on():
    halves = phases((1, 10), (1, None))
    assert plan.split_steps(halves, 12, [1, 1]) == [6, 6]
    assert plan.split_steps(halves, 100, [1, 1]) == [10, 90]
    assert plan.split_steps(halves, 2, [1, 1]) == [1, 1]
    # 60 s, of which 10 steps of 0.1 s are 1: 59 s of 0.5 s.
    assert plan.split_steps(halves, 60, [0.1, 0.5]) == [10, 118]
    thirds = phases((1, None), (2, None))
    assert plan.split_steps(thirds, 9, [1, 1]) == [3, 6]


@pytest.mark.once
def test_minutes_are_planned_once(tmp_path, monkeypatch):
    class Planned(Exception):
        pass

    def stop(*args, **kwargs):
        raise Planned

    monkeypatch.setattr(plan, "seconds_per_step", lambda *_: ([0.01, 0.1], 9.0))
    monkeypatch.setattr(module, "LiveBar", stop)
    for _ in range(2):
        with pytest.raises(Planned):
            pretrain(tmp_path / "run", steps=None, minutes=0.5)
        stored = json.loads((tmp_path / "run" / "run.json").read_text())
        # 30 s: 1,000 steps of a hundredth, then 200 of a tenth.
        assert stored["state"]["plan"] == {
            "steps": [1000, 200],
            "seconds": [0.01, 0.1],
        }
        monkeypatch.setattr(plan, "seconds_per_step", None)


@pytest.mark.once
def test_the_time_of_a_step_is_a_median_after_the_first_ones(monkeypatch):
    class Model:
        def __init__(self):
            self.seconds = iter([9.0, 0.1, 0.1, *[0.01, 0.03, 0.02] * 3])

        def train_on_batch(self, batch):
            clock.append(clock[-1] + next(self.seconds))

    clock, trained = [0.0], []

    def backbone(before, tokens):
        trained.append((before, tokens))
        return "backbone"

    phase = types.SimpleNamespace(
        backbone=backbone,
        model=lambda backbone, steps: Model(),
        kept=lambda model: "kept",
    )
    monkeypatch.setattr(plan, "make_dataset", lambda *_: itertools.repeat(0))
    monkeypatch.setattr(plan.time, "perf_counter", lambda: clock[-1])
    seconds, compilation = plan.seconds_per_step(
        [phase, phase], tokens="all", seed=0
    )
    assert seconds == pytest.approx([0.02, 0.02])
    assert compilation == 18.0
    # Weights do not matter, so nothing is counted.
    assert trained == [(None, None), ("kept", None)]


@pytest.mark.once
def test_the_last_epoch_is_about_as_long_as_the_others():
    for steps in range(1, 2_000):
        length = plan.steps_per_epoch(steps)
        epochs = -(-steps // length)
        assert min(steps, 7) <= epochs <= 20
        # At worst, for a few small numbers, half of it is missing.
        limit = 0.5 if steps < 200 else 0.3
        assert (-steps % length) / length <= limit
    assert plan.steps_per_epoch(65) == 5 and plan.steps_per_epoch(1) == 1
