"""Test texts in a corpus, against a search in plain strings."""

import json

import numpy as np
import pytest

import keras_dinolm as kd

pytestmark = pytest.mark.once

QUIET = {"show_progress": False}


def brute_force(documents, tests, n):
    """Pairs (document, test text) that share n words in a row."""
    pairs = set()
    for j, test in enumerate(tests):
        words = test.split()
        runs = [
            f" {' '.join(words[i : i + n])} " for i in range(len(words) - n + 1)
        ]
        for i, document in enumerate(documents):
            if any(run in f" {document} " for run in runs):
                pairs.add((i, j))
    return pairs


@pytest.mark.parametrize("n", [3, 6])
def test_runs_are_found_as_a_string_search_finds_them(n):
    generator = np.random.default_rng(0)
    vocabulary = list("abcdef")

    def text(low, high):
        return " ".join(
            generator.choice(vocabulary, generator.integers(low, high))
        )

    documents = [text(0, 40) for _ in range(60)]
    tests = [text(n, 20) for _ in range(12)]
    pairs = brute_force(documents, tests, n)
    report = kd.curation.find_leaks(documents, {"t": tests}, n, **QUIET)
    assert report.rules["t"].tolist() == sorted({i for i, _ in pairs})
    assert report.details["leaked"]["t"].tolist() == sorted(
        {j for _, j in pairs}
    )
    assert 0 < len(report.kept) < 60


LONG = (
    "One two three four five six seven eight nine ten eleven twelve thirteen."
)


def test_a_document_leaks_what_its_alternates_leak():
    documents = [
        {"text": "other", "alternates": ["one more", f"A line.\n{LONG}"]},
        {"text": "other", "alternates": ["one more"]},
    ]
    report = kd.curation.find_leaks(documents, {"t": [LONG]}, **QUIET)
    assert report.kept.tolist() == [1]


def test_case_punctuation_and_line_breaks_do_not_matter():
    document = f"before, {' --'.join(LONG.upper().split())}; after"
    document = document.replace("THREE", "\nTHREE\n\n")
    other = LONG.replace("seven", "other")
    report = kd.curation.find_leaks([other, document], {"t": [LONG]}, **QUIET)
    assert report.kept.tolist() == [0]
    report = kd.curation.find_leaks(
        [other, document], {"t": [LONG]}, 6, **QUIET
    )
    assert report.kept.tolist() == []


def test_short_tests_are_lines_sentences_or_all_of_a_document():
    test = "The cat sat on the mat."
    documents = [
        "the cat, sat on the MAT",
        "It rained. The cat sat on the\nmat! Then it did not.",
        "- a list\n- The cat sat on the mat\n- an end",
        "It rained, and the cat sat on the mat all day.",
        "The cat sat on the mat again.",
    ]
    report = kd.curation.find_leaks(documents, {"t": [test]}, **QUIET)
    assert report.rules["t"].tolist() == [0, 1, 2]


def test_each_test_has_its_counts(tmp_path):
    other = LONG.replace("One", "Another")
    (tmp_path / "b.txt").write_text(f"{LONG}\nfive words that are there\nyes\n")
    lines = [{"body": other}, {"body": "nobody has read this text before"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    documents = [LONG, "Five words that are there.", "yes", f"{LONG} {other}"]
    report = kd.curation.find_leaks(
        documents, tmp_path, text_key="body", **QUIET
    )
    a, b = str(tmp_path / "a.jsonl"), str(tmp_path / "b.txt")
    assert list(report.rules) == [a, b]
    assert report.rules[a].tolist() == [3]
    assert report.rules[b].tolist() == [0, 1, 3]
    assert report.columns == {
        "texts": {a: 2, b: 3},
        "too short": {a: 0, b: 1},
        "leaked": {a: 1, b: 2},
    }
    assert report.details["leaked"][b].tolist() == [0, 1]
    # Under names of one's own; the one file again.
    named = kd.curation.find_leaks(
        documents, {"sts": b, "mine": ["yes"]}, minimum_words=1, **QUIET
    )
    assert named.rules["sts"].tolist() == [0, 1, 2, 3]
    assert named.rules["mine"].tolist() == [2]
    alone = kd.curation.find_leaks(documents, b, **QUIET)
    assert alone.rules[b].tolist() == [0, 1, 3]


def test_a_pass_with_a_directory_is_the_same(tmp_path):
    documents = [LONG, "something else", LONG]
    tests = {"t": [LONG]}
    first = kd.curation.find_leaks(
        documents, tests, directory=tmp_path, **QUIET
    )
    again = kd.curation.find_leaks(
        documents, tests, directory=tmp_path, **QUIET
    )
    assert first.kept.tolist() == again.kept.tolist() == [1]
    with pytest.raises(ValueError, match="other settings"):
        kd.curation.find_leaks(
            documents, {"t": [LONG, LONG]}, directory=tmp_path, **QUIET
        )


def test_wrong_arguments_are_named(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="`tests`.*empty.txt"):
        kd.curation.find_leaks(["a"], tmp_path / "empty.txt")
    with pytest.raises(ValueError, match="tests is empty"):
        kd.curation.find_leaks(["a"], {})
    with pytest.raises(FileNotFoundError):
        kd.curation.find_leaks(["a"], tmp_path / "none.txt")
    with pytest.raises(ValueError, match="n=0"):
        kd.curation.find_leaks(["a"], {"t": ["a"]}, n=0)
    with pytest.raises(ValueError, match="iterable of documents"):
        kd.curation.find_leaks("a text", {"t": ["a"]})
