"""Features of a teacher on disk: computed once, right, and never half."""

import os
import pickle
import shutil
import signal

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.data import feature_shards
from tests.models import tiny

pytestmark = pytest.mark.once

WORDS = tiny.WORDS.split()[:12]
# Several shards of 64 documents; two have no token.
TEXTS = [
    " ".join(WORDS[(7 * i + 3 * j * i) % 12] for j in range(1 + i % 5))
    for i in range(300)
]
TEXTS[10] = TEXTS[200] = " "


def letters(texts):
    """Counts of letters, which no other text of another length has."""
    return np.array([[len(t), t.count("o"), t.count("a")] for t in texts])


class Characters:
    """A teacher whose tokens are characters: nobody else's tokenizer."""

    def encode(self, texts):
        return letters(texts)

    def encode_tokens(self, texts):
        return [
            (
                np.array([[ord(c), ord(c) % 7, i] for i, c in enumerate(text)]),
                np.array([[i, i + 1] for i in range(len(text))]),
            )
            for text in texts
        ]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return kd.data.tokenize(
        TEXTS, tiny.tokenizer(), folder / "tokens", show_progress=False
    )


def _contents(folder):
    """The bytes of all files that hold something."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


def test_features_of_documents_are_those_of_their_texts(tokens, tmp_path):
    store = kd.data.teacher_features(letters, TEXTS, tokens, tmp_path)
    assert store.num_done == 298 == len(set(store.documents.tolist()))
    assert not store.has(10) and store.has(11)
    found = store.pooled_of(np.arange(300))
    expected = letters(TEXTS).astype("float16")
    expected[[10, 200]] = 0
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        np.asarray(store.pooled), expected[store.documents]
    )
    np.testing.assert_array_equal(store.pooled[5:3:-1], store.pooled[[5, 4]])
    assert not store.has_tokens
    with pytest.raises(ValueError, match="no features of tokens"):
        store.tokens_of([0], [[0]])
    # Documents come in a random order.
    assert (np.diff(store.documents) < 0).any()
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.pooled_of([3]), found[[3]])


def test_tokens_get_the_mean_of_the_characters_they_spell(tokens, tmp_path):
    store = kd.data.teacher_features(
        Characters(), TEXTS, tokens, tmp_path, tokenizer=tiny.tokenizer()
    )
    assert store.has_tokens and not store.num_uncovered
    for number in (0, 4, 123, 299):
        words, start = [], 0
        for word in TEXTS[number].split():
            codes = np.array([[ord(c), ord(c) % 7, 0] for c in word], "float64")
            codes[:, 2] = np.arange(start, start + len(word))
            words.append(codes.mean(0))
            start += len(word) + 1
        positions = np.array([[-1, *range(len(words)), len(words)]])
        found = store.tokens_of([number], positions)[0]
        np.testing.assert_array_equal(found[[0, -1]], 0)
        np.testing.assert_allclose(found[1:-1], words, rtol=1e-3)
    assert len(store.tokens) == tokens.num_tokens
    assert not store.without_tokens().has_tokens


def test_a_teacher_without_tokens_is_asked_for_none(tokens, tmp_path):
    store = kd.data.teacher_features(
        letters, TEXTS, tokens, tmp_path, tokenizer=tiny.tokenizer()
    )
    assert not store.has_tokens


# === Interrupted ===


def _killed(what, folder, tokens):
    """Runs `teacher_features` in a process that kills itself."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        return

    def dies(count, function):
        def wrapped(*args, **kwargs):
            dies.calls += 1
            if dies.calls == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        dies.calls = 0
        return wrapped

    try:
        teacher = Characters()
        if what == "teacher":
            teacher.encode_tokens = dies(4, teacher.encode_tokens)
        else:  # a file that is not yet in its place
            os.replace = dies(8, os.replace)
        kd.data.teacher_features(
            kd.teachers.get(teacher),
            TEXTS,
            tokens,
            folder,
            tokenizer=tiny.tokenizer(),
        )
    finally:
        os._exit(3)


@pytest.mark.parametrize("what", ["teacher", "file"])
def test_a_killed_call_is_resumed_to_the_bit(what, tokens, tmp_path):
    options = {"tokenizer": tiny.tokenizer()}
    whole = kd.data.teacher_features(
        Characters(), TEXTS, tokens, tmp_path / "whole", **options
    )
    assert len(whole.shards) == 5
    _killed(what, tmp_path / "killed", tokens)
    begun = kd.data.FeatureStore.open(tmp_path / "killed", tokens)
    assert 0 < begun.num_done < whole.num_done
    before = _contents(tmp_path / "killed")

    calls: list[int] = []

    class Counted(Characters):
        def encode_tokens(self, texts):
            calls.append(len(texts))
            return super().encode_tokens(texts)

    Counted.__module__, Counted.__qualname__ = (
        Characters.__module__,
        Characters.__qualname__,
    )
    kd.data.teacher_features(
        Counted(), TEXTS, tokens, tmp_path / "killed", **options
    )
    after = _contents(tmp_path / "killed")
    assert after == _contents(tmp_path / "whole")
    # What was finished is not computed again; the fingerprint reads 4 texts.
    assert sum(calls) == 4 + whole.num_done - begun.num_done
    assert before.items() <= after.items() or what == "file"


def test_a_part_may_be_done_and_added_to(tokens, tmp_path):
    part = kd.data.teacher_features(
        letters, TEXTS, tokens, tmp_path / "part", max_documents=100
    )
    assert part.num_done == 100
    order = part.documents
    part = kd.data.teacher_features(
        letters, TEXTS, tokens, tmp_path / "part", max_documents=200
    )
    assert part.num_done == 200
    np.testing.assert_array_equal(part.documents[:100], order)
    # Asked for fewer, it keeps what there is.
    part = kd.data.teacher_features(
        letters, TEXTS, tokens, tmp_path / "part", max_documents=3
    )
    assert part.num_done == 200
    np.testing.assert_array_equal(
        part.pooled_of(part.documents),
        letters([TEXTS[i] for i in part.documents]),
    )


def test_a_budget_of_seconds_ends_between_shards(tokens, tmp_path, monkeypatch):
    import time

    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow(texts):
        clock[0] += len(texts) / 64
        return letters(texts)

    store = kd.data.teacher_features(slow, TEXTS, tokens, tmp_path, seconds=3.5)
    assert store.num_done == 3 * 64
    # No time at all: nothing more is done, and what is there is returned.
    store = kd.data.teacher_features(slow, TEXTS, tokens, tmp_path, seconds=0)
    assert store.num_done == 3 * 64
    store = kd.data.teacher_features(slow, TEXTS, tokens, tmp_path)
    assert store.num_done == 298


@pytest.mark.parametrize("kind", ["pooled", "json", "missing"])
def test_what_is_damaged_is_refused_and_computed_again(kind, tokens, tmp_path):
    kd.data.teacher_features(letters, TEXTS, tokens, tmp_path)
    whole = _contents(tmp_path)
    path = tmp_path / f"shard-00001.{'pooled' if kind == 'missing' else kind}"
    if kind == "missing":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[3] ^= 4
        path.write_bytes(data)
    with pytest.raises(ValueError, match="shard-00001"):
        kd.data.FeatureStore.open(tmp_path, tokens)
    with pytest.warns(UserWarning, match="computed again"):
        kd.data.teacher_features(letters, TEXTS, tokens, tmp_path)
    assert _contents(tmp_path) == whole


# === Refused ===


@pytest.mark.parametrize(
    "value, message",
    [
        (np.nan, "NaN or infinite"),
        (-np.inf, "NaN or infinite"),
        (1e5, "float16 ends at 65,504.*divide"),
    ],
)
@pytest.mark.parametrize("of_tokens", [False, True])
def test_numbers_that_cannot_be_kept_are_refused(
    value, message, of_tokens, tokens, tmp_path
):
    bad = TEXTS[77]

    class Bad(Characters):
        def encode(self, texts):
            found = letters(texts).astype("float32")
            found[[t == bad and not of_tokens for t in texts], 1] = value
            return found

        def encode_tokens(self, texts):
            found = super().encode_tokens(texts)
            return [
                (
                    np.where(text == bad and of_tokens, value, features),
                    spans,
                )
                for text, (features, spans) in zip(texts, found)
            ]

    with pytest.raises(ValueError, match=message) as caught:
        kd.data.teacher_features(
            Bad(), TEXTS, tokens, tmp_path, tokenizer=tiny.tokenizer()
        )
    assert repr(bad) in str(caught.value)


def test_features_too_small_for_float16_are_refused(tokens, tmp_path):
    with pytest.raises(ValueError, match="multiply all features"):
        kd.data.teacher_features(
            lambda texts: letters(texts) * 1e-7, TEXTS, tokens, tmp_path
        )


def test_another_teacher_store_or_corpus_is_refused(tokens, tmp_path):
    folder = tmp_path / "features"
    kd.data.teacher_features(letters, TEXTS, tokens, folder)
    with pytest.raises(ValueError, match="another teacher"):
        kd.data.teacher_features(
            lambda texts: letters(texts) * 2, TEXTS, tokens, folder
        )
    with pytest.raises(ValueError, match="another order"):
        kd.data.teacher_features(letters, TEXTS, tokens, folder, seed=1)
    other = kd.data.tokenize(
        TEXTS[:-1], tiny.tokenizer(), tmp_path / "other", show_progress=False
    )
    with pytest.raises(ValueError, match="another token store"):
        kd.data.teacher_features(letters, TEXTS[:-1], other, folder)
    with pytest.raises(ValueError, match="another token store"):
        kd.data.FeatureStore.open(folder, other)
    with pytest.raises(ValueError, match="same order"):
        kd.data.teacher_features(letters, TEXTS[::-1], tokens, folder)
    with pytest.raises(ValueError, match="another tokenizer"):
        vocabulary = [*tiny.VOCABULARY, "more"]
        kd.data.teacher_features(
            letters,
            TEXTS,
            tokens,
            folder,
            tokenizer=kd.models.DinoLMTokenizer(vocabulary),
        )
    with pytest.raises(FileNotFoundError, match="No teacher features"):
        kd.data.FeatureStore.open(tmp_path, tokens)


def test_the_disk_is_looked_at_first(tokens, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: usage._replace(free=(1 << 20) + 1_000),
    )

    def teacher(texts):
        assert len(texts) < 60, "it was asked for a shard"
        return letters(texts)

    with pytest.raises(OSError, match="The features of the teacher needs"):
        kd.data.teacher_features(teacher, TEXTS, tokens, tmp_path)


def test_long_documents_are_told(tokens, tmp_path):
    """Once, for all shards together."""

    class Short(kd.teachers.Teacher):
        def _encode(self, texts):
            long = sum(len(text.split()) > 4 for text in texts)
            self._count_cut(long, len(texts), 4)
            return letters(texts)

        def fingerprint(self):
            return "short"

    expected = sum(len(text.split()) > 4 for text in TEXTS)
    with pytest.warns(UserWarning) as caught:
        store = kd.data.teacher_features(Short(), TEXTS, tokens, tmp_path)
    assert store.num_cut == expected
    assert len(caught) == 1
    assert str(caught[0].message).startswith(f"{expected} of 298 documents")


def test_a_shard_is_written_whole_or_not_at_all(tmp_path):
    header = feature_shards.write_shard(
        tmp_path, 0, np.ones((2, 3)), None, {"cut": 0, "uncovered": 0}
    )
    assert feature_shards.read_shard(tmp_path, 0, 3) == header
    assert feature_shards.read_shard(tmp_path, 1, 3) is None
