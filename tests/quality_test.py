"""The contest: what is counted, what is reported, and one small run."""

import argparse
import gzip
import json
import math
import pathlib
import sys

import filelock
import keras
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import quality  # noqa: E402
from contest import bm25  # noqa: E402
from contest import methods  # noqa: E402
from contest import report  # noqa: E402
from contest import run  # noqa: E402
from contest import static  # noqa: E402
from contest import tfidf  # noqa: E402
from contest.word_vectors import WordVectors  # noqa: E402

import keras_dinolm as kd  # noqa: E402
from keras_dinolm.recipes.phase import with_pooled_layers  # noqa: E402

ANIMALS = ["cat", "dog", "bird", "horse"]
PLACES = ["house", "tree", "river", "road", "hill"]
STORIES = [
    f"The {animal} number {number} came to a {place}, looked at the {place} "
    f"for a while, and went on. Nobody saw the {animal} near the {place} again."
    for number in range(16)
    for animal in ANIMALS
    for place in PLACES
]


def write_rows(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def write_objects(path, objects):
    path.parent.mkdir(parents=True, exist_ok=True)
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "wt") as file:
        for item in objects:
            file.write(json.dumps(item) + "\n")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Made texts in the layout that the contest reads."""
    folder = tmp_path_factory.mktemp("data")
    for name, part in (("train", STORIES[:300]), ("valid", STORIES[300:])):
        write_objects(
            folder / "corpus" / f"{name}.jsonl.gz",
            [
                {"text": text, "source": text.split()[1], "id": str(i)}
                for i, text in enumerate(part)
            ],
        )
    for split in ("train", "dev", "test"):
        short = [(f"a {a} at the {p}", a, p) for a in ANIMALS for p in PLACES]
        for name in ("trec", "sst2", "clinc150"):
            write_rows(
                folder / "classification" / name / f"{split}.tsv",
                ("text", "label"),
                *((text, animal) for text, animal, _ in short),
            )
        write_objects(
            folder / "slots" / "snips" / f"{split}.jsonl",
            [
                {
                    "tokens": text.split(),
                    "tags": ["O", "B-animal", "O", "O", "B-place"],
                    "intent": animal,
                }
                for text, animal, _ in short
            ],
        )
        write_rows(
            folder / "nli" / "snli10k" / f"{split}.tsv",
            ("label", "s1", "s2"),
            *(
                ("same" if a == b else "other", f"the {a}", f"one {b}")
                for a in ANIMALS
                for b in ANIMALS
            ),
        )
        write_rows(
            folder / "sts" / "stsb" / f"{split}.tsv",
            ("score", "s1", "s2"),
            *(
                ("5" if a == b else "0", f"the {a} went", f"one {b} went")
                for a in ANIMALS
                for b in ANIMALS
            ),
        )
    xquad = folder / "retrieval" / "xquad"
    write_objects(
        xquad / "corpus.jsonl",
        [{"_id": f"d{i}", "title": "", "text": STORIES[i]} for i in range(20)],
    )
    write_objects(
        xquad / "queries.jsonl",
        [
            {"_id": f"q{i}", "text": " ".join(STORIES[i].split()[1:9])}
            for i in range(20)
        ],
    )
    write_rows(
        xquad / "qrels" / "test.tsv",
        ("query-id", "corpus-id", "score"),
        *((f"q{i}", f"d{i}", "1") for i in range(20)),
    )
    return folder


@pytest.fixture
def workshop(data, tmp_path):
    return run.Workshop(
        argparse.Namespace(
            data=str(data),
            output=str(tmp_path),
            size="nano",
            vocabulary_size=120,
            sequence_length=64,
            split="test",
            minutes=0.005,
            max_train=None,
            probe_tasks=["stsb"],
            probe_train=None,
        )
    )


@pytest.mark.once
def test_a_run_trains_measures_and_goes_on(workshop, tmp_path):
    cost = quality.contest_methods()["bag"].cost()
    calibration = {"seconds_per_step": {cost: 0.01}, "counting_seconds": 9}

    def scores(name):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return run.run(workshop, name, 0, calibration, folder)

    first = scores("bag")
    assert set(first["scores"]) == set(report.TASKS)
    assert all(0 <= x <= 1 for x in first["scores"].values())
    # 0.005 minutes at 0.01 s a step are 30 steps, in sixteenths 32.
    assert first["steps"] == 32
    assert [p["step"] for p in first["curve"]] == [2, 4, 8, 16, 32]
    assert first["curve"][-1]["seconds"] == pytest.approx(0.32)
    # The same call finds everything there.
    assert scores("bag") == first
    # Intents are animals, each a word of its own.
    assert first["scores"]["snips_intent"] == 1
    for name in methods.UNTRAINED:
        assert scores(name)["scores"]["snips_intent"] == 1


def test_reading_other_layers_changes_the_feature_of_a_text_alone(workshop):
    learned = methods.encoder("nano", workshop.tokenizer, pooled_layers=(0, -1))
    read = with_pooled_layers(learned, (0,))
    inputs = {
        "token_ids": np.array([[2, 7, 8, 9], [2, 9, 7, 0]], "int32"),
        "padding_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]], "bool"),
    }
    before, after = learned(inputs), read(inputs)
    tokens, texts = (
        [keras.ops.convert_to_numpy(x[name]) for x in (before, after)]
        for name in ("sequence_output", "pooled_output")
    )
    np.testing.assert_array_equal(*tokens)
    assert np.abs(texts[0] - texts[1]).max() > 1e-2
    # Embeddings know no order.
    inputs["token_ids"] = inputs["token_ids"][:, [0, 2, 1, 3]]
    turned = keras.ops.convert_to_numpy(read(inputs)["pooled_output"])
    np.testing.assert_allclose(turned, texts[1], atol=1e-6)


def test_tfidf_on_tasks_that_its_words_decide(data):
    scores = tfidf.evaluate(data, "test")
    assert set(scores) == set(report.TASKS)
    for task in ("trec", "snips_intent", "snips_slots", "snli", "xquad"):
        assert scores[task] == 1
    # Four of sixteen pairs are equal in score and in cosine, as are the rest.
    assert scores["stsb"] == pytest.approx(1)


def test_bm25_by_hand(data):
    documents = ["one cat", "one dog saw one cat", "birds"]
    mean = 8 / 3

    def part(tf, length, present):
        idf = math.log(1 + (3 - present + 0.5) / (present + 0.5))
        return idf * tf / (tf + 0.9 * (0.6 + 0.4 * length / mean))

    expected = [
        [part(1, 2, 2), part(2, 5, 2), 0],  # one
        [2 * part(1, 2, 2), 2 * part(1, 5, 2) + part(1, 5, 1), 0],
        [0, 0, 0],
    ]
    scores = bm25.bm25(["one", "dog cat cat", "unheard of"], documents)
    np.testing.assert_allclose(scores, expected, atol=1e-12)
    assert bm25.evaluate(data, "test") == {"xquad": 1.0}


def test_a_table_goes_into_a_document(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nz\n")
    report.publish("new", path, "x")
    report.publish("newer", path, "x")
    assert path.read_text() == (
        "a\n<!-- x: begin -->\nnewer\n<!-- x: end -->\nz\n"
    )
    with pytest.raises(ValueError, match="<!-- y: begin -->"):
        report.publish("new", path, "y")


def test_what_a_method_cannot_do_stays_empty():
    lines = [{"method": "bm25", "seed": 0, "scores": {"xquad": 0.5}}]
    row = report.table(lines, {"bm25": "BM25"}).splitlines()[2]
    assert row == "| BM25 |" + "  |" * 8 + " 50.0 |  |  |  |"


def test_a_run_of_another_setting_has_another_folder(workshop, tmp_path):
    args = workshop.args
    folder = quality.run_folder(args, "bag", 0)
    assert folder == quality.run_folder(args, "bag", 0)
    for name, value in (("minutes", 1.0), ("size", "mini"), ("split", "dev")):
        changed = argparse.Namespace(**{**vars(args), name: value})
        assert quality.run_folder(changed, "bag", 0) != folder


def test_ppmi_is_that_of_counted_pairs():
    texts = ["red fox red fox", "blue sky over blue sea", "red sky"]
    encoder = static.ppmi_svd([t for t in texts for _ in range(3)], 0, 2)
    words = list(static.Words(texts * 3).index)
    counts = np.zeros((len(words), len(words)))
    for text in texts * 3:
        row = text.split()
        for i, j in ((i, j) for i in range(len(row)) for j in range(len(row))):
            if 0 < abs(i - j) <= 2:
                counts[words.index(row[i]), words.index(row[j])] += 1
    margin = counts.sum(axis=1)
    expected = np.zeros_like(counts)
    for i, j in np.argwhere(counts):
        pmi = math.log(counts[i, j] * counts.sum() / (margin[i] * margin[j]))
        expected[i, j] = max(pmi, 0)
    # U sqrt(S) of all but the last dimension: U S^2 U' is P P'.
    u, s, _ = np.linalg.svd(expected)
    size = len(words) - 1
    expected = (u[:, :size] * s[:size]) @ u[:, :size].T
    np.testing.assert_allclose(
        encoder.vectors @ encoder.vectors.T, expected, atol=1e-5
    )


def test_sif_weighs_and_takes_the_common_direction_out():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(ANIMALS + PLACES, 6)) for _ in range(40)]
    words = static.Words(texts)
    vectors = rng.normal(size=(len(words.index), 5)) + 3
    encoder = static.sif(words, vectors)
    means = []
    for text in texts:
        ids = [words.index[w] for w in text.split()]
        share = [words.frequency[i] for i in ids]
        weight = np.array([1e-3 / (1e-3 + p) for p in share])
        means.append((weight[:, None] * vectors[ids]).sum(0) / weight.sum())
    means = np.stack(means)
    axis = np.linalg.svd(means)[2][0]
    np.testing.assert_allclose(
        encoder.encode(texts), means - np.outer(means @ axis, axis), atol=1e-5
    )
    assert not encoder.encode(["unheard of"]).any()


def test_word_vectors_average_the_pieces_of_a_word():
    vectors = np.eye(3)
    encoder = WordVectors(
        lambda texts: [[0, 1][: len(t)] for t in texts], vectors
    )
    (words,) = encoder.encode_words([["ab", "a", "ab", ""]])
    np.testing.assert_allclose(
        words, [[0.5, 0.5, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]
    )


def test_the_table_pairs_seeds():
    def line(method, seed, score, **more):
        scores = dict.fromkeys(report.TASKS, score)
        return {"method": method, "seed": seed, "scores": scores, **more}

    lines = [
        line("crop_info_nce", 0, 0.5, steps=1_600),
        line("crop_info_nce", 1, 0.7, steps=1_600),
        line("default", 0, 0.52, steps=800),
        line("default", 1, 0.74, steps=800),
        line("default", 2, 0.9, steps=800),
    ]
    titles = {"untrained": "none", "crop_info_nce": "crops", "default": "ours"}
    head, _, crops, ours = report.table(lines, titles).splitlines()
    assert head.count("|") == crops.count("|") == ours.count("|") == 14
    assert "| 60.0 ± 14.1 |  | 1,600 |" in crops
    # Differences of 2 and 4 points; the third seed has no counterpart.
    assert "| 72.0 ± 19.1 | 3.0 ± 1.4 | 800 |" in ours
    head, _, crops, ours = report.table(lines, titles, "default").splitlines()
    assert "| − default |" in head and "| 72.0 ± 19.1 |  | 800 |" in ours
    assert "| 60.0 ± 14.1 | -3.0 ± 1.4 | 1,600 |" in crops


def test_a_recipe_has_a_fingerprint_of_its_own():
    methods = quality.contest_methods()
    prints = {name: m.fingerprint() for name, m in methods.items()}
    assert len(set(prints.values())) == len(methods)
    assert prints == {name: m.fingerprint() for name, m in methods.items()}


def test_the_budget_pays_for_everything():
    calibration = {"counting_seconds": 30.0, "seconds_per_step": {}}
    for name, method in quality.parts(quality.contest_methods()).items():
        speed = 0.02 if name.endswith("start") else 0.5
        calibration["seconds_per_step"][method.cost()] = speed
    for name, method in quality.contest_methods().items():
        before, start, steps = method.plan(20, calibration)
        counted = method.counted or (method.start and method.start.counted)
        assert before == (30.0 if counted else 0.0)
        assert start % 16 == steps % 16 == 0 and steps
        assert bool(start) == bool(method.start)
        spent = before + 0.02 * start
        spent += steps * calibration["seconds_per_step"][method.cost()]
        assert spent == pytest.approx(1200, abs=8 * 0.52), name


def test_one_contest_a_folder(data, tmp_path):
    with filelock.FileLock(tmp_path / ".lock"):
        with pytest.raises(SystemExit, match="contest '.*' is in use by"):
            quality.main(["--data", str(data), "--output", str(tmp_path)])


def test_a_contest_leaves_a_folder_of_others_alone(data, tmp_path):
    (tmp_path / "quality.png").write_text("mine")
    with pytest.raises(SystemExit, match="quality.png"):
        quality.main(["--data", str(data), "--output", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["quality.png"]


def test_what_a_kill_left_half_written_stops_no_contest(data, tmp_path):
    results = tmp_path / "results.jsonl"
    flags = ["--data", data, "--results", results, "--methods", "bm25"]
    args = quality.parse_arguments([str(flag) for flag in flags])
    whole = {
        "method": "bm25",
        "seed": 0,
        "setting": quality.setting(args, "bm25"),
    }
    results.write_text(json.dumps(whole) + '\n{"method": "bm2')
    with pytest.warns(UserWarning, match="torn"):
        assert quality.finished(args) == [whole]
    # The next result takes the place of the torn one.
    args.output = tmp_path
    found = {"scores": {"stsb": 0.5}}
    folder = quality.run_folder(args, "bm25", 1)
    kd.files.write_json(folder / "result.json", found)
    with pytest.warns(UserWarning, match="torn"):
        quality.collect(args, "bm25", 1)
    assert [line["seed"] for line in quality.finished(args)] == [0, 1]

    path = quality.calibration_path(args)
    path.write_text('{"seconds_per_step": {"a": 1.')
    with pytest.warns(UserWarning, match="damaged"):
        assert not quality.is_calibrated(args, ["bag"])
    assert path.with_name(path.name + ".damaged").read_text().endswith("1.")


@pytest.mark.slow
@pytest.mark.once
def test_half_a_curve_is_probed_again(workshop, tmp_path):
    cost = methods.METHODS["bag"].cost()
    calibration = {"seconds_per_step": {cost: 0.01}, "counting_seconds": 0}
    folder = tmp_path / "bag"
    first = run.run(workshop, "bag", 0, calibration, folder)
    (folder / "curve.json").write_text('[{"step": ')
    with pytest.warns(UserWarning, match="damaged"):
        again = run.run(workshop, "bag", 0, calibration, folder)
    assert again == first


@pytest.mark.slow
def test_the_command_twice(data, tmp_path, capfd):
    methods = ["untrained", "bag", "default", "lsa"]
    flags = [
        *("--methods", *methods),
        *("--data", data, "--output", tmp_path, "--minutes", 0.01),
        *("--seeds", 0, "--vocabulary-size", 120, "--sequence-length", 64),
        *("--probe-tasks", "stsb", "--results", tmp_path / "results.jsonl"),
    ]
    flags = [str(flag) for flag in flags]
    assert quality.main(flags) == 0
    printed = capfd.readouterr().out
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(lines) == len(methods)
    assert {"commit", "machine", "date", "setting"} <= set(json.loads(lines[0]))
    for method in methods:
        assert f"| {quality.titles()[method]} |" in printed
    assert (tmp_path / "quality.png").stat().st_size > 10_000
    # Again: nothing is left to do.
    assert quality.main(flags) == 0
    assert "begins" not in capfd.readouterr().out
    assert (tmp_path / "results.jsonl").read_text().splitlines() == lines
