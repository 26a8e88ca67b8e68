"""The examples, at their smallest, as a user starts them.

They run without TensorFlow, unless it is the backend, and read the
documentation of a few packages instead of all.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from tests.pictures import pieces

# What the scripts call is tested on each backend elsewhere.
pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ["json", "email", "logging", "argparse", "unittest"]
START = f"""
import functools, os, runpy, sys
if os.environ["KERAS_BACKEND"] != "tensorflow":
    for name in ("tensorflow", "tensorflow_text"):
        sys.modules[name] = None
import keras_dinolm as kd
kd.data.installed_docs = functools.partial(
    kd.data.installed_docs, packages={PACKAGES}
)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all examples run, and where the corpus is cached."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def run(folder):
    def run(name, *arguments, typed="", code=0):
        """What an example prints; errors too, if `code` expects one."""
        result = subprocess.run(
            [sys.executable, "-c", START, str(ROOT / "examples" / name)]
            + [str(argument) for argument in arguments],
            env={
                **os.environ,
                "KERAS_BACKEND": keras.backend.backend(),
                "KERAS_DINOLM_HOME": str(folder / "home"),
                "PYTHONPATH": str(ROOT),
            },
            cwd=folder,
            input=typed,
            capture_output=True,
            text=True,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + (result.stderr if code else "")

    return run


def test_pretrain_prints_its_table_and_search_reads_its_preset(run, folder):
    printed = run("pretrain.py", "--steps", 2)
    for row in ("TF-IDF (baseline)", "untrained encoder", "this encoder"):
        assert row in printed
    made = {path.name for path in (folder / "runs/pretrain").iterdir()}
    assert {"preset", "curves.png", "report.md"} <= made

    story = "The horse number 3 came to a hill, and it stayed there."
    corpus = folder / "stories.txt"
    corpus.write_text(f"Another text.\n\n{story}\n")
    first = run("search.py", "--corpus", corpus, "--query", story)
    assert "2 documents, embedded now." in first
    hit = first.splitlines()[1]
    assert hit.split()[0] == "1.000" and "stories.txt:3" in hit
    # Again, typed; the features are there.
    second = run("search.py", "--corpus", corpus, typed=f"{story}\n\n")
    assert "embedded before" in second and "stories.txt:3" in second


def test_search_says_how_to_make_a_preset(run, folder):
    printed = run("search.py", "--preset", folder / "none", code=2)
    assert "python examples/pretrain.py" in printed.replace("\n", " ")
    assert "Traceback" not in printed


def test_classify_learns_and_saves(run, folder):
    folder.joinpath("presets").mkdir(exist_ok=True)
    preset = folder / "presets" / "classify"
    pieces.model().export_preset(preset, pieces.tokenizer())
    lines = [f"the {w} ran\t{w}" for w in ("fox", "dog") for _ in range(8)]
    table = "\n".join(["text\tlabel", *lines]) + "\n"
    for name in ("train", "test"):
        (folder / f"{name}.tsv").write_text(table)
    files = ("--train", folder / "train.tsv", "--test", folder / "test.tsv")
    printed = run("classify.py", "--preset", preset, *files)
    for row in ("largest class", "TF-IDF", "frozen", "fine-tuned"):
        assert row in printed
    assert "in order: dog, fox" in printed
    classifier = keras_hub.models.TextClassifier.from_preset(
        str(folder / "runs/classify")
    )
    assert classifier.predict(["the fox"], verbose=0).shape == (1, 2)


@pytest.mark.parametrize("name", ["classify.py", "pictures.py"])
def test_without_a_preset_they_say_how_to_make_one(run, name, folder):
    printed = run(name, "--preset", folder / "none", code=2)
    maker = {"pictures.py": "python -m keras_dinolm pretrain runs/dino"}
    assert maker.get(name, "python examples/pretrain.py") in printed


def test_curate_finds_what_it_planted(run, folder):
    printed = run("curate.py", "--output", folder / "curated")
    for kind in ("exact copy", "near copy", "gibberish", "leak"):
        found = re.search(rf"  {kind}: recall ([\d.]+) %", printed)
        assert float(found[1]) >= 75
    corpus = folder / "curated" / "curated.jsonl"
    lines = corpus.read_text().splitlines()
    clusters = np.load(folder / "curated" / "clusters.npy")
    assert len(lines) == len(clusters) > 20
    # Files of one's own.
    printed = run("curate.py", "--corpus", corpus, "--output", folder / "own")
    assert "precision" not in printed
    assert all("text" in json.loads(line) for line in lines)


def test_all_objectives_report_their_terms(run, folder):
    output = folder / "all_objectives"
    printed = run("all_objectives.py", "--steps", 4, "--output", output)
    rows = re.findall(
        r"^([a-z_0-9]+) +\d+\.\d+ +(-?[\d.]+) +(-?[\d.]+)$", printed, re.M
    )
    names = {
        cls.__name__
        for cls in vars(kd.objectives).values()
        if isinstance(cls, type)
        and issubclass(cls, kd.objectives.Objective)
        and cls is not kd.objectives.Objective
    }
    assert len(rows) == len(names)
    assert all(float(first) or float(last) for _, first, last in rows)


def test_ablate_writes_its_table(run, folder):
    output = folder / "ablate"
    printed = run("ablate.py", "--steps", 1, "--output", output)
    for part in ("[6/6] Sinkhorn, without EMA, seed 0", "RankMe", "paired"):
        assert part in printed
    table = (output / "table.md").read_text()
    assert "| all parts | " in table and "feature std" in table
    assert (output / "ablation.png").stat().st_size > 10_000


def test_continue_pretraining_measures_and_leaves_a_preset(run, folder):
    words = "the cat dog river . a and of to is returns value object".split()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = keras_hub.models.BertTokenizer(
        [*special, *words], lowercase=True
    )
    bert = keras_hub.models.BertBackbone(
        tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=16,
        dropout=0.0,
    )
    preset = folder / "bert"
    kd.models.export_preset(kd.models.TextEncoder(bert), tokenizer, preset)
    lines = ["score\ts1\ts2", "5\ta cat\ta cat", "1\tcat\triver"]
    (folder / "dev.tsv").write_text("\n".join(lines + ["0\tdog\tthe river"]))
    printed = run(
        "continue_pretraining.py",
        *("--preset", preset, "--sts", folder, "--steps", 3),
    )
    number = r"-?\d+\.\d+"
    for row in ("before", "after"):
        line = rf"^{row}: nDCG@10 {number}, STS {number}$"
        assert re.search(line, printed, re.M)
    embedder = kd.models.DinoLMTextEmbedder.from_preset(
        folder / "runs/continue/preset"
    )
    assert np.isfinite(embedder.encode("The cat came to a hill.")).all()


def test_pictures_of_a_preset_with_heads(run, folder):
    preset, output = folder / "with_heads", folder / "pictures"
    pieces.model().export_preset(preset, pieces.tokenizer(), heads=True)
    printed = run(
        "pictures.py",
        *("--preset", preset, "--output", output),
        *("--compare", pieces.HOSTILE, "the foxes ran"),
    )
    for head in ("sequence", "token"):
        assert f"{head} head" in printed
    # Two similarities, two layers of attention, two heads.
    assert len(list(output.glob("*.png"))) == 6
    page = (output / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 6 and "<script" not in page


@pytest.mark.slow
def test_long_context_prints_all_rows_and_leaves_a_preset(run, folder):
    output = folder / "long_context"
    printed = run("long_context.py", "--steps", 4, "--output", output)
    for row in ("short, reads 32", "positions rescaled", "adapted, reads 128"):
        assert row in printed
    config = json.loads((output / "long" / "config.json").read_text())
    assert config["config"]["max_wavelength"] > 20_000


@pytest.mark.slow
def test_students_are_compared_with_their_teacher(run, folder):
    output = folder / "students"
    printed = run("students.py", "--steps", 4, "--output", output)
    for row in ("teacher", "alone", "by_prototypes", "by_both"):
        assert re.search(rf"^  {row} +nDCG@10 [\d.]+", printed, re.M)
        assert (output / row / "config.json").exists()
