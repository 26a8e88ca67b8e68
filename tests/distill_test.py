"""The comparison of distilled encoders: its clock, texts, teacher and table."""

import argparse
import gzip
import itertools
import json
import pathlib
import sys
import time

import h5py
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import shipped_preset  # noqa: E402
from distilling import report  # noqa: E402
from distilling import teacher  # noqa: E402
from distilling import texts  # noqa: E402
from distilling.clock import Clock  # noqa: E402

import keras_dinolm as kd  # noqa: E402
from tests.models import tiny  # noqa: E402


@pytest.fixture
def data(tmp_path):
    """A corpus of 40 sections; in each, sentences that occur once."""
    (tmp_path / "corpus").mkdir()
    for name in ("train", "valid"):
        with gzip.open(tmp_path / "corpus" / f"{name}.jsonl.gz", "wt") as file:
            for i in range(40):
                first = f"The section {i} of {name} is about the number {i}."
                rest = f"It says that {i} is {i}, and what follows. " * 5
                text = f"A heading\n{first} {rest.strip()}"
                file.write(json.dumps({"text": text}) + "\n")
    return tmp_path


@pytest.mark.once
def test_clock_leaves_out_what_is_free_and_adds_what_is_charged(monkeypatch):
    monkeypatch.setattr(time, "process_time", itertools.count().__next__)
    clock = Clock()  # 0
    with clock.paused():  # from 1 to 3
        time.process_time()
    clock.charge(100.0)
    assert clock.seconds() == 4 - 2 + 100


@pytest.mark.once
def test_sentences_are_different_and_in_one_order(data):
    found = texts.sentences(data)
    assert found == texts.sentences(data)
    # Two to a section; the heading is none, and what repeats counts once.
    assert len(found) == len(set(found)) == 80
    assert found != sorted(found)


@pytest.mark.once
def test_the_search_in_the_domain_is_over_sections_that_nobody_read(data):
    first, rest = texts.domain_pairs(data)
    assert len(first) == len(rest) == 40
    for a, b in zip(first, rest):
        number = a.split()[2]
        assert " of valid " in a and b.startswith(f"It says that {number} is")

    class Numbers:
        def encode(self, inputs):
            numbers = [text.split()[-1].strip(".") for text in inputs]
            return np.eye(40)[[int(n) if n.isdigit() else 0 for n in numbers]]

    class Right(Numbers):
        def encode(self, inputs):
            found = [t.split()[2 if " of " in t else 3] for t in inputs]
            return np.eye(40)[[int(number) for number in found]]

    assert texts.domain_ndcg(Right(), data) == 1.0
    assert texts.domain_ndcg(Numbers(), data) < 0.5


@pytest.mark.once
def test_features_are_computed_once_and_charged_each_time(data, monkeypatch):
    calls = []

    class Model:
        def encode(self, inputs):
            calls.append(len(inputs))
            return np.array([[len(text), 1.0] for text in inputs])

    monkeypatch.setattr(teacher, "CHUNK", 16)
    monkeypatch.setattr(teacher, "load", lambda folder: Model())
    args = argparse.Namespace(data=data, output=data / "out", teacher="x")
    for _ in range(2):
        clock = Clock()
        sentences, rows = teacher.features(args, np.inf, clock)
        assert len(sentences) == 80 and calls == [16] * 5
        np.testing.assert_array_equal(
            rows, [[len(text), 1.0] for text in sentences]
        )
        spent = sum(
            float(np.load(path)["seconds"])
            for path in (data / "out" / "teacher").glob("*.npz")
        )
        assert spent > 0
    # What is not paid for is not read.
    some, rows = teacher.features(args, 0.0, clock)
    assert some == sentences[:16] and len(rows) == 16


@pytest.mark.once
def test_table_has_means_deviations_and_empty_cells():
    def line(method, seed, score, **more):
        scores = dict.fromkeys(report.TASKS, score)
        return {
            "method": method,
            "seed": seed,
            "scores": {**scores, "snips_slots": 0.1},
            "in_domain": score,
            **more,
        }

    timed = {"texts_per_second": 300.0, "teacher_texts_per_second": 100.0}
    lines = [
        line("b", 0, 0.5, seconds=600, megabytes=4.0, **timed),
        line("b", 1, 0.7, seconds=660, megabytes=4.0, **timed),
        line("a", 0, 0.25),
    ]
    rows = report.table(lines, {"a": "A", "b": "B", "c": "C"}).splitlines()
    assert len(rows) == 4
    assert rows[2].split(" | ")[-7:] == [
        "23.3",
        "25.0",
        "25.0",
        "",
        "",
        "",
        "1 |",
    ]
    assert rows[3].split(" | ")[-7:] == [
        # (8 x 0.5 + 0.1) / 9 and (8 x 0.7 + 0.1) / 9
        "54.4 ± 12.6",
        "60.0 ± 14.1",
        "60.0 ± 14.1",
        "3.0 ± 0.0",
        "4.0 ± 0.0",
        "10.5 ± 0.7",
        "2 |",
    ]


@pytest.mark.once
def test_a_preset_in_float16_has_half_the_size_and_the_same_features(tmp_path):
    full, half = tmp_path / "full", tmp_path / "half"
    encoder = kd.models.TextEncoder(tiny.backbone(hidden_dim=64))
    kd.models.export_preset(encoder, tiny.tokenizer(), full)
    half.mkdir()
    shipped_preset.copy_in_float16(full, half)
    sizes = {}
    for folder in (full, half):
        with h5py.File(folder / "model.weights.h5") as file:
            arrays = []
            file.visititems(lambda _, item, arrays=arrays: arrays.append(item))
            arrays = [item for item in arrays if isinstance(item, h5py.Dataset)]
            sizes[folder] = sum(item.nbytes for item in arrays)
    assert sizes[half] == sizes[full] // 2
    kd.models.check_preset(half)
    before, after = map(kd.models.DinoLMTextEmbedder.from_preset, (full, half))
    assert after.backbone.dtype_policy.name == "float32"
    assert after.preprocessor.sequence_length == 256
    sentences = ["the quick brown fox", "a lazy dog ."]
    np.testing.assert_allclose(
        after.encode(sentences), before.encode(sentences), atol=5e-3
    )
