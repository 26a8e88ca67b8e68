"""The examples, at their smallest, as a user starts them.

One run of the main job, whose preset the others read; without TensorFlow,
unless it is the backend.
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

ROOT = pathlib.Path(__file__).parent.parent
START = """
import os, runpy, sys
if os.environ["KERAS_BACKEND"] != "tensorflow":
    for name in ("tensorflow", "tensorflow_text"):
        sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ANIMALS = ["cat", "dog", "bird", "horse"]
PLACES = ["house", "tree", "river", "road", "hill"]


def run(name, *arguments, typed="", code=0):
    """What an example prints; errors too, if `code` expects one."""
    result = subprocess.run(
        [sys.executable, "-c", START, str(ROOT / "examples" / name)]
        + [str(argument) for argument in arguments],
        env={
            **os.environ,
            "KERAS_BACKEND": keras.backend.backend(),
            "PYTHONPATH": str(ROOT),
        },
        input=typed,
        capture_output=True,
        text=True,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + (result.stderr if code else "")


def story(number, animal, place):
    rest = f"Then the {animal} looked at the {place}, and went on. " * 3
    return f"The {animal} number {number} came to a {place}. {rest}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    texts = [
        story(number, animal, place)
        for number in range(5)
        for animal in ANIMALS
        for place in PLACES
    ]
    path = tmp_path_factory.mktemp("corpus") / "stories.txt"
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pretrained(corpus, tmp_path_factory):
    """The folder that the main job fills, and what it prints."""
    output = tmp_path_factory.mktemp("pretrain")
    options = {
        "corpus": corpus,
        "output": output,
        "steps": 4,
        "size": "nano",
        "vocabulary-size": 120,
        "sequence-length": 12,
        "batch-size": 8,
        "num-prototypes": 8,
    }
    flags = [x for key, value in options.items() for x in (f"--{key}", value)]
    return output, run("pretrain.py", *flags)


@pytest.fixture(scope="module")
def preset(pretrained):
    return pretrained[0] / "preset"


def test_pretrain_prints_its_table_and_leaves_a_preset(pretrained):
    output, printed = pretrained
    for row in ("TF-IDF", "untrained", "teacher", "RankMe"):
        assert row in printed
    assert (output / "pretrain.png").stat().st_size > 10_000
    assert (output / "preset" / "config.json").exists()
    assert "without blocks" in printed


@pytest.mark.once
def test_pretrain_refuses_a_feature_that_is_the_same_for_all():
    printed = run("pretrain.py", "--pooling", "cls", code=2)
    assert "the same in every text. Take mean or attention" in printed


def test_search_finds_a_document_by_its_own_words(preset, corpus):
    query = story(3, "horse", "hill")
    arguments = ["--preset", preset, "--corpus", corpus, "--top", 2]
    first = run("search.py", *arguments, "--query", query)
    assert "Embedding 100 documents" in first
    found = [line.split() for line in first.splitlines() if "1.000" in line]
    assert found and found[0][1].startswith("stories.txt:")
    assert "The horse number 3 came to a hill." in first
    # Again, typed; the features are there.
    second = run("search.py", *arguments, typed=f"{query}\n\n")
    assert "embedded before" in second
    assert found[0][1] in second


@pytest.mark.once
def test_classify_learns_and_saves(preset, tmp_path):
    lines = [
        f"{story(number, animal, place)}\t{animal}"
        for number in range(2)
        for animal in ANIMALS[:2]
        for place in PLACES
    ]
    tasks = {"train": lines[:10] + lines[15:], "test": lines[5:15]}
    for name, part in tasks.items():
        (tmp_path / f"{name}.tsv").write_text("\n".join(part) + "\n")
    saved = tmp_path / "classifier"
    printed = run(
        "classify.py",
        *("--preset", preset),
        *("--train", tmp_path / "train.tsv"),
        *("--test", tmp_path / "test.tsv"),
        *("--length", 16, "--head-epochs", 2, "--epochs", 1, "--save", saved),
    )
    for row in ("largest class", "TF-IDF", "frozen", "fine-tuned"):
        assert row in printed
    assert (saved / "classes.txt").read_text().split() == ["cat", "dog"]


@pytest.mark.once
def test_curate_finds_what_it_planted(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DINOLM_HOME", str(tmp_path))
    printed = run(
        "curate.py",
        *("--packages", "json", "email", "logging", "argparse", "unittest"),
        *("--cluster-size", 4, "--resampling", 1, "--output", tmp_path),
    )
    for kind in ("exact copy", "near copy", "gibberish", "leak"):
        found = re.search(rf"  {kind}: .*recall ([\d.]+) %", printed)
        assert float(found[1]) >= 75
    before, after = map(
        float,
        re.search(r"level 1: ([\d.]+) before, ([\d.]+)", printed).groups(),
    )
    assert after > before
    lines = (tmp_path / "curated.jsonl").read_text().splitlines()
    assert len(lines) == len(np.load(tmp_path / "clusters.npy")) > 20
    # Files of one's own, with a test set of one's own.
    (tmp_path / "test.txt").write_text(json.loads(lines[0])["text"])
    printed = run(
        "curate.py",
        *("--corpus", tmp_path / "curated.jsonl"),
        *("--tests", tmp_path / "test.txt"),
        *("--cluster-size", 4, "--resampling", 0, "--output", tmp_path),
    )
    assert "precision" not in printed and "Leaks of test texts" in printed


@pytest.mark.once
def test_all_objectives_report_their_terms(corpus, tmp_path):
    printed = run(
        "all_objectives.py",
        *("--corpus", corpus, "--output", tmp_path, "--steps", 4),
        *("--vocabulary-size", 120, "--sequence-length", 12),
        *("--batch-size", 4, "--num-prototypes", 8),
    )
    table = printed[printed.index("first      last") :]
    rows = re.findall(
        r"^([a-z_0-9]+) +\d+\.\d+ +([\d.]+) +([\d.]+)$", table, re.M
    )
    names = {
        cls.__name__
        for cls in vars(kd.objectives).values()
        if isinstance(cls, type)
        and issubclass(cls, kd.objectives.Objective)
        and cls is not kd.objectives.Objective
    }
    assert len(rows) == len(names)
    assert all(float(first) + float(last) > 0 for _, first, last in rows)
    assert re.search(r"^teacher +[\d.]+$", printed, re.M)


@pytest.mark.once
def test_ablate_writes_its_table(corpus, tmp_path):
    printed = run(
        "ablate.py",
        *("--corpus", corpus, "--output", tmp_path),
        *("--changes", "all parts", "without centering"),
        *("--seeds", 0, "--steps", 2, "--batch-size", 4),
        *("--vocabulary-size", 120, "--sequence-length", 12),
        *("--num-prototypes", 8),
    )
    for part in ("[2/2] without centering, seed 0", "nDCG@10", "paired"):
        assert part in printed
    table = (tmp_path / "table.md").read_text()
    assert "| all parts | " in table and "RankMe" in table
    assert (tmp_path / "ablation.png").stat().st_size > 10_000


@pytest.mark.once
def test_continue_pretraining_measures_and_leaves_a_preset(corpus, tmp_path):
    words = sorted(set(re.findall(r"\w+|[.,]", corpus.read_text().lower())))
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
    encoder = kd.models.TextEncoder(bert)
    kd.models.export_preset(encoder, tokenizer, tmp_path / "bert")
    lines = ["score\tfirst\tsecond", "5\ta cat\ta cat", "1\tcat\triver"]
    lines += ["3\tthe dog\tthe bird", "0\tdog\tno hill"]
    (tmp_path / "test.tsv").write_text("\n".join(lines))
    printed = run(
        "continue_pretraining.py",
        *("--preset", tmp_path / "bert", "--corpus", corpus),
        *("--sts", tmp_path, "--output", tmp_path / "run"),
        *("--steps", 6, "--batch-size", 8, "--length", 16, "--lora-rank", 2),
        *("--evaluation-length", 16, "--keep", 0),
    )
    rows = re.findall(
        r"^(?:before|after, \S+).*\d+\.\d+ +-?\d+\.\d+$", printed, re.M
    )
    assert len(rows) == 3  # before, twice, and after
    embedder = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / "run/preset")
    assert np.isfinite(embedder.encode("The cat came to a hill.")).all()


@pytest.mark.once
def test_pictures_of_a_preset_with_heads(corpus, tmp_path):
    preset, output = tmp_path / "preset", tmp_path / "pictures"
    pieces.model().export_preset(preset, pieces.tokenizer(), heads=True)
    printed = run(
        "pictures.py",
        *("--preset", preset, "--texts", corpus, "--output", output),
        *("--max-texts", 20, "--num-prototypes", 2, "--num-spans", 2),
        *("--compare", pieces.HOSTILE, "the foxes ran"),
    )
    assert "20 texts" in printed
    for head in ("sequence", "token"):
        assert f"{head} head" in printed
    # Two similarities, two layers of attention, two heads.
    assert "6 pictures" in printed and len(list(output.glob("*.png"))) == 6
    page = (output / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 6 and "<script" not in page


@pytest.mark.once
@pytest.mark.parametrize("name", ["search.py", "classify.py"])
def test_without_a_preset_they_say_how_to_make_one(name, tmp_path):
    printed = run(name, "--preset", tmp_path / "none", code=1)
    assert "python examples/pretrain.py" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_long_context_prints_all_rows_and_goes_on_from_its_preset(
    corpus, tmp_path
):
    flags = [
        *("--corpus", corpus, "--vocabulary-size", 120),
        *("--sequence-length", 24, "--factor", 2, "--num-prototypes", 8),
        *("--batch-size", 8, "--long-batch-size", 8, "--long-steps", 1),
    ]
    printed = run(
        "long_context.py", *flags, *("--short-steps", 2, "--output", tmp_path)
    )
    for row in ("short, reads 24", "short, ntk, reads 48", "adapted, reads 48"):
        assert row in printed
    config = json.loads((tmp_path / "long" / "config.json").read_text())
    assert config["config"]["max_wavelength"] > 20_000
    again = tmp_path / "again"
    printed = run(
        "long_context.py",
        *flags,
        *("--preset", tmp_path / "short", "--output", again),
    )
    assert "adapted, reads 48" in printed and (again / "long").exists()


@pytest.mark.slow
def test_distill_compares_students_with_models_alone(corpus, tmp_path):
    options = {
        "corpus": corpus,
        "output": tmp_path,
        "teacher-size": "nano",
        "size": "nano",
        "teacher-steps": 4,
        "steps": 4,
        "bootstrap": 0.5,
        "seeds": 1,
        "vocabulary-size": 120,
        "sequence-length": 12,
        "batch-size": 8,
        "num-prototypes": 8,
    }
    flags = [x for key, value in options.items() for x in (f"--{key}", value)]
    printed = run("distill.py", *flags)
    for row in ("teacher", "alone, InfoNCE", "alone, self-distilled"):
        assert re.search(rf"^{row} +[\d.]+ ", printed, re.M)
    assert re.search(r"^distilled by both +[\d.]+ ", printed, re.M)
    assert (tmp_path / "distilled-0" / "preset-both" / "config.json").exists()
    # Again: nothing is left to do.
    again = run("distill.py", *flags)
    assert "steps" not in again
    assert again.splitlines()[-5:] == printed.splitlines()[-5:]
