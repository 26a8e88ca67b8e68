"""Rules of quality at their limits, counted by hand, and a resumed pass."""

import json

import pytest

import keras_dinolm as kd
from keras_dinolm.curation import passes
from keras_dinolm.curation import quality

pytestmark = pytest.mark.once

QUIET = {"show_progress": False}


def words(count, kind="word"):
    """Distinct words of ten letters, with two stop words among them."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    made = [
        f"{kind}{letters[i // 26 % 26]}{letters[i % 26]}xxxxxx"[:10]
        for i in range(count - 2)
    ]
    return ["the", *made, "of"]


def failed(text, rules):
    """The names of the rules that a text breaks."""
    report = kd.curation.filter_quality([text], rules, **QUIET)
    return {name for name, count in report.counts.items() if count}


def gopher(text, **options):
    return failed(text, kd.curation.gopher_quality(**options))


def repetition(text, **options):
    return failed(text, kd.curation.gopher_repetition(**options))


# === Gopher, quality ===


def test_fifty_words_are_enough_and_punctuation_is_none():
    text = " ".join(words(50))
    assert gopher(text) == set()
    assert gopher(" ".join(words(49)) + " - ( ) ... ?!") == {"minimum_words"}
    assert gopher(" ".join(words(49)), minimum_words=49) == set()
    assert gopher(" ".join(words(20)), minimum_words=None) == set()
    assert gopher(text, maximum_words=49) == {"maximum_words"}


def test_mean_word_length_leaves_punctuation_out():
    assert gopher(" ".join(["the", "of", *["(ab),"] * 48])) == {
        "minimum_mean_word_length"
    }
    short = ["the", "of", *["ab"] * 4, *["abc"] * 44]
    assert len("".join(short)) == 2.9 * 50
    assert gopher(" ".join(short)) == {"minimum_mean_word_length"}
    assert gopher(" ".join(short), minimum_mean_word_length=2.9) == set()
    long = ["the", "of", *["abcdefghijk"] * 48]
    assert len("".join(long)) == 10.66 * 50
    assert gopher(" ".join(long)) == {"maximum_mean_word_length"}
    assert gopher(" ".join(long), maximum_mean_word_length=10.66) == set()


def test_symbols_for_each_word():
    text = " ".join(words(50))
    assert gopher(text + " #" * 5) == set()
    assert gopher(text + " #" * 6) == {"maximum_hashes_per_word"}
    assert gopher("... … ... …… " + text) == set()
    assert gopher("... … ... ……… " + text) == {"maximum_ellipses_per_word"}


def test_lines_of_bullets_and_ellipses():
    lines = [" ".join(words(50)[5 * i : 5 * i + 5]) for i in range(10)]
    bullets = [f" • {line}" for line in lines]
    assert gopher("\n\n".join([*bullets[:9], lines[9]])) == set()
    assert gopher("\n\n".join(bullets)) == {"maximum_bullet_lines"}
    dots = [f"{line}... " for line in lines]
    assert gopher("\n\n".join(dots[:3] + lines[3:])) == set()
    assert gopher("\n".join(dots[:4] + lines[4:])) == {"maximum_ellipsis_lines"}


def test_words_with_a_letter():
    text = " ".join([*words(40), *["1234"] * 10])
    assert gopher(text) == set()
    assert gopher(text + " 12-34") == {"minimum_alphabetic_words"}


def test_stop_words_are_distinct():
    text = " ".join(words(50)[1:-1])
    assert gopher(f"The {text} the") == {"minimum_stop_words"}
    assert gopher(f"Das {text} und", stop_words=("das", "und")) == set()
    assert gopher(f"The {text} the", minimum_stop_words=1) == set()


def test_a_text_without_words():
    for text in ("", " \n ", "?! ... ###"):
        assert {"minimum_words", "minimum_alphabetic_words"} <= gopher(text)
        assert repetition(text) == set()


# === Gopher, repetition ===


def test_repeated_lines_and_paragraphs():
    # 3 of 10 lines occurred before, blank ones aside.
    lines = [f"{word} {word[::-1]}" for word in words(9)[1:-1]]
    text = "\n\n".join([*lines, *lines[:3]])
    options = {"maximum_top_ngram": (), "maximum_repeated_ngrams": ()}
    assert repetition(text, **options) == {
        "maximum_repeated_line_characters",
        "maximum_repeated_paragraph_characters",
    }
    options |= {
        "maximum_repeated_line_characters": None,
        "maximum_repeated_paragraph_characters": 0.3,
    }
    assert repetition(text, **options) == set()
    assert repetition("\n\n".join([*lines[:6], *lines[:3]]), **options) == {
        "maximum_repeated_lines",
        "maximum_repeated_paragraphs",
        "maximum_repeated_paragraph_characters",
    }


def test_the_most_frequent_run_of_words():
    # A pair twice: 4 of 20 words of ten letters, then of 19.
    many = words(42)[1:-1]
    pair = many[:2]
    text = " ".join([*pair, *many[2:10], *pair, *many[10:18]])
    assert len(text.split()) == 20
    assert repetition(text) == set()
    text = " ".join([*pair, *many[2:10], *pair, *many[10:17]])
    assert repetition(text) == {"maximum_top_2_gram"}
    # Overlapping occurrences count each word once: all of it, not more.
    everything = ((2, 0.999), (3, 1.0))
    assert repetition(
        "echo " * 30, maximum_top_ngram=everything, maximum_repeated_ngrams=()
    ) == {"maximum_top_2_gram"}
    # Nothing comes again: no run is frequent, however short the text.
    assert repetition("only three words") == set()


def test_runs_that_occurred_before():
    many = words(102)[1:-1]
    run = many[:7]
    # 7 of 50 words, in runs of 5, 6 and 7: 0.14.
    text = " ".join([*run, *many[10:46], *run])
    assert len(text.split()) == 50
    none = {"maximum_top_ngram": ()}
    assert repetition(text, **none) == {"maximum_repeated_7_grams"}
    text = " ".join([*run, *many[10:45], *run])
    assert repetition(text, **none) == {
        "maximum_repeated_6_grams",
        "maximum_repeated_7_grams",
    }
    assert repetition(text, **none, maximum_repeated_ngrams=((8, 0),)) == set()


# === C4 ===


def c4(text, **options):
    return failed(text, kd.curation.c4_quality(**options))


def test_sentences_in_prose_lines():
    good = "A cat sat here. A dog ran off!\nWas it a bird? It was."
    assert c4(good) == {"minimum_sentences"}
    assert c4(good + '\nShe said "no."') == set()
    for line in (
        "A line with no end",
        "A line that goes on...",
        "Two words.",
        f"A word {'x' * 1001} too long.",
        "Please enable JavaScript here.",
        "This page uses cookies again.",
    ):
        assert c4(f"{good}\n{line}") == {"minimum_sentences"}
    assert c4(f"{good}\nTwo words.", minimum_words_per_line=2) == set()


def test_wrapped_lines_are_one():
    text = "\n\n".join(["A sentence over\ntwo lines. And\nanother."] * 3)
    assert c4(text) == {"minimum_sentences"}
    assert c4(text, wrapped=True) == set()


def test_code_and_filler():
    text = "A cat sat here. " * 5
    assert c4(text) == set()
    assert c4(text + "\n{") == {"maximum_curly_brackets"}
    assert c4(text + "\n{", maximum_curly_brackets=None) == set()
    assert c4(text + "Lorem Ipsum dolor it is.") == {"maximum_lorem_ipsum"}


# === The pass ===


def test_each_rule_counts_whatever_its_order():
    texts = ["", " ".join(words(50)), "buy it now " * 30]
    rules = kd.curation.gopher_quality() + kd.curation.gopher_repetition()
    forth = kd.curation.filter_quality(texts, **QUIET)
    back = kd.curation.filter_quality(texts, rules[::-1], **QUIET)
    assert forth.kept.tolist() == back.kept.tolist() == [1]
    assert forth.counts == back.counts
    assert "minimum_words" in str(forth) and "≥ 50" in str(forth)


def test_two_rules_of_one_name_are_refused():
    rules = kd.curation.gopher_quality() * 2
    with pytest.raises(ValueError, match="distinct.*minimum_words"):
        kd.curation.filter_quality(["a"], rules)


class Stopped(Exception):
    pass


def test_a_stopped_pass_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "CHUNK", 4)
    measured = []

    class Parsed(quality.ParsedText):
        def __init__(self, text):
            super().__init__(text)
            measured.append(text)

    monkeypatch.setattr(quality, "ParsedText", Parsed)
    texts = [f"text {i} " * (i % 3) for i in range(18)]

    def until(end):
        yield from texts[:end]
        raise Stopped

    def report(corpus, minimum=3, directory=tmp_path / "pass"):
        rules = kd.curation.gopher_quality(minimum_words=minimum)
        return kd.curation.filter_quality(corpus, rules, directory, **QUIET)

    expected = report(texts, directory=None)
    measured.clear()
    with pytest.raises(Stopped):
        report(until(11))
    assert measured == texts[:8]
    again = report(texts)
    assert measured == texts[:8] + texts[8:]
    assert again.counts == expected.counts
    assert again.kept.tolist() == expected.kept.tolist()
    assert report(iter(texts)).counts == expected.counts
    assert measured == texts

    with pytest.raises(ValueError, match="part-00000.*other settings"):
        report(texts, minimum=4)
    with pytest.raises(ValueError, match="part-00001.*other texts"):
        report([*texts[:5], "new", *texts[6:]])
    with pytest.raises(ValueError, match="part-00004.*other texts"):
        report(texts[:16])


# === Files of a pass ===

TEXTS = [f"text {i} " * (i % 3) for i in range(10)]


def run(directory, texts=TEXTS, minimum=3):
    rules = kd.curation.gopher_quality(minimum_words=minimum)
    return kd.curation.filter_quality(texts, rules, directory, **QUIET)


@pytest.fixture
def finished(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "CHUNK", 4)
    run(tmp_path)
    return tmp_path


def sign(part):
    part.pop("checksum", None)
    part["checksum"] = passes._checksum(part)
    return json.dumps(part)


@pytest.mark.parametrize(
    "damage",
    [
        lambda part: "{",
        lambda part: "[" * 10**5,
        lambda part: "3",
        lambda part: json.dumps({"results": part["results"]}),
        lambda part: json.dumps(part | {"results": [[0]] * 4}),
        lambda part: sign(part | {"results": [["0"]] * 4}),
        lambda part: sign(part | {"results": [[99]] * 4}),
        lambda part: sign(part | {"results": [[-1]] * 4}),
        lambda part: sign(part | {"results": "none"}),
    ],
)
def test_a_damaged_part_is_kept_aside_and_made_again(finished, damage):
    expected = run(None)
    path = finished / "part-00001.json"
    whole = path.read_text()
    damaged = damage(json.loads(whole))
    path.write_text(damaged)
    with pytest.warns(UserWarning, match="part-00001.json' is damaged"):
        report = run(finished)
    assert report.counts == expected.counts
    assert report.kept.tolist() == expected.kept.tolist()
    assert path.read_text() == whole
    aside = finished / "part-00001.json.damaged"
    assert aside.read_text() == damaged


def test_a_flipped_bit_changes_no_result(finished):
    expected = run(None)
    path = finished / "part-00001.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        with pytest.warns(UserWarning, match="is damaged"):
            report = run(finished)
        assert report.kept.tolist() == expected.kept.tolist()
        for aside in finished.glob("*.damaged*"):
            aside.unlink()


def test_files_of_the_user_stay(tmp_path):
    (tmp_path / "part-00000.json").write_text("mine")
    with pytest.raises(FileExistsError, match="part-00000.json"):
        run(tmp_path)
    assert (tmp_path / "part-00000.json").read_text() == "mine"


def test_two_passes_do_not_share_a_folder(tmp_path):
    def texts():
        yield "a text"
        with pytest.raises(kd.files.InUseError, match="this very process"):
            run(tmp_path, ["another text"])

    assert run(tmp_path, texts()).total == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kd.curation.gopher_quality(minimum_words=float("nan")), "nan"),
        (lambda: kd.curation.gopher_quality(maximum_words="9"), "'9'"),
        (lambda: kd.curation.c4_quality(minimum_sentences=True), "=True"),
        (lambda: kd.curation.Rule("a", len, float("inf")), "`minimum`.*inf"),
        (lambda: kd.curation.Rule("a", 3), "`measure`.*measure=3"),
        (lambda: kd.curation.Rule("", len), "`name`"),
        (lambda: kd.curation.filter_quality([], 3), "`rules`.*rules=3"),
        (lambda: kd.curation.filter_quality([], ["a"]), "`rules`.*'a'"),
        (lambda: kd.curation.filter_quality([], directory=3), "`directory`"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
