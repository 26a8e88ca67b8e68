"""From texts and a teacher to a small encoder."""

import hashlib
import json
import pathlib
import re
import sys
import types

import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.recipes import distilling_run
from keras_dinolm.recipes import fast_teacher
from keras_dinolm.recipes.feature_statistics import feature_statistics
from keras_dinolm.recipes.live_bar import PhaseProgress
from keras_dinolm.recipes.student_tokenizer import tokenizer_of
from keras_dinolm.recipes.token_table import token_table
from tests.recipes.made_texts import made_texts
from tests.recipes.made_texts import same_weights

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = made_texts(400)
SMALL = {
    "steps": 6,
    "vocabulary_size": 120,
    "sequence_length": 16,
    "bag_batch_size": 16,
    "batch_size": 8,
    "max_passages": 300,
    "verbose": 0,
}


class WordTeacher:
    """A vector for each word, and some of its neighbours' in a text."""

    dim = 12

    def encode(self, texts):
        return np.stack([x.mean(0) for x, _ in self.encode_tokens(texts)])

    def encode_tokens(self, texts):
        return [self._read(text) for text in texts]

    def fingerprint(self):
        return "words"

    def _read(self, text):
        words = list(re.finditer(r"\w+|[^\w\s]", text))
        if not words:
            return np.zeros((1, self.dim)), np.array([[0, 1]])
        x = np.stack([self._vector(w[0].lower()) for w in words])
        near = np.roll(x, 1, 0) + np.roll(x, -1, 0)
        return x + 0.5 * near + 1.0, np.array([w.span() for w in words])

    def _vector(self, word):
        digest = hashlib.sha256(word.encode()).digest()
        seed = int.from_bytes(digest[:4], "little")
        return np.random.default_rng(seed).normal(size=self.dim)


def distill(directory, **changes):
    arguments = {**SMALL, **changes}
    teacher = arguments.pop("teacher", WordTeacher())
    return kd.recipes.distill(TEXTS, teacher, directory, **arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, and what it returned."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    return directory, distill(directory)


# === What it leaves ===


def test_it_returns_an_embedder_and_leaves_its_preset(finished):
    directory, embedder = finished
    features = embedder.encode(["two", "texts"])
    # The table's feature beside that of the last layer.
    assert features.shape == (2, 256) and np.isfinite(features).all()
    again = kd.models.DinoLMTextEmbedder.from_preset(directory / "preset")
    assert same_weights(embedder, again)


@pytest.mark.once
def test_the_report_and_the_run_say_what_was_done(finished):
    directory, _ = finished
    report = (directory / "report.md").read_text()
    for part in (
        "Recipe `distill`",
        "| the teacher reads 300 passages |",
        "| table | 3 | 16 |",
        "| blocks | 3 | 8 |",
        "| `token_regression` |",
        "| `sequence_regression` |",
        "| the teacher's tokens |",
        "| after table |",
        "| TF-IDF (baseline) |",
    ):
        assert part in report, part
    rows = re.findall(r"^\| `\w+` \| -?[\d.]+ \| (.*) \|$", report, re.M)
    assert rows and "See the objective's documentation." not in rows
    state = json.loads((directory / "run.json").read_text())["state"]
    assert set(state["preparation"]) == {"reading", "vocabulary", "features"}
    assert state["passages"] == 300


@pytest.mark.once
def test_an_interrupted_run_ends_with_the_same_bits(
    finished, tmp_path, monkeypatch
):
    """Interrupted while the teacher reads, and again among the blocks."""
    shards = 0

    def encode_tokens(self, texts):
        nonlocal shards
        shards += 1
        if shards == 3:
            raise RuntimeError("power cut")
        return original(self, texts)

    original = WordTeacher.encode_tokens
    with monkeypatch.context() as patch:
        patch.setattr(WordTeacher, "encode_tokens", encode_tokens)
        with pytest.raises(RuntimeError, match="power cut"):
            distill(tmp_path / "run")
    count = 0

    def on_train_batch_end(self, batch, logs=None):
        nonlocal count
        count += 1
        if count == 5:  # the second step with blocks
            raise RuntimeError("power cut")
        end(self, batch, logs)

    end = PhaseProgress.on_train_batch_end
    with monkeypatch.context() as patch:
        patch.setattr(PhaseProgress, "on_train_batch_end", on_train_batch_end)
        with pytest.raises(RuntimeError, match="power cut"):
            distill(tmp_path / "run")
    monkeypatch.setattr(distilling_run, "token_table", None)
    assert same_weights(finished[1], distill(tmp_path / "run"))


@pytest.mark.once
@pytest.mark.parametrize(
    ["changes", "difference"],
    [
        ({"teacher": len}, "teachers"),
        ({"size": "table"}, 'size: "nano" then, "table" now'),
        ({"max_passages": 301}, "options.max_passages: 300 then, 301 now"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(
    finished, changes, difference
):
    if changes.get("teacher") is len:
        changes = {"teacher": lambda texts: np.ones((len(texts), 3))}
    with pytest.raises(ValueError, match=difference):
        distill(finished[0], **changes)


# === What it learns ===


def likeness(x, y):
    """Correlation of the cosines among texts by two encoders."""
    found = []
    for features in (x, y):
        features = features - features.mean(0)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        found.append((unit @ unit.T)[np.triu_indices(len(unit), 1)])
    return np.corrcoef(*found)[0, 1]


@pytest.mark.once
def test_the_student_comes_nearer_to_its_teacher(finished, tmp_path):
    """In what it says of texts that it has not read."""
    unseen = made_texts(500)[400:]
    short = [text.split(". ")[1] for text in unseen]
    wanted = WordTeacher().encode(short)
    taught = distill(tmp_path / "run", steps=60, bag_steps=3)
    before, after = (
        likeness(embedder.encode(short), wanted)
        for embedder in (finished[1], taught)
    )
    print(before, after)
    assert after > before + 0.1, (before, after)


@pytest.mark.once
def test_a_table_of_a_function(tmp_path):
    """It has neither tokens nor a vocabulary."""

    def vowels(texts):
        return np.array([[t.count(v) for v in "aeiou"] for t in texts], "f4")

    embedder = distill(tmp_path / "run", teacher=vowels, size="table")
    assert embedder.backbone.num_layers == 0
    assert embedder.encode("a text").shape == (256,)
    log_weights = embedder.backbone.pooler.get_weights()[0]
    assert np.isfinite(log_weights).all() and log_weights.std() > 0.1


@pytest.mark.once
def test_several_teachers(tmp_path):
    def letters(texts):
        return np.array([[len(t), t.count("e")] for t in texts], "f4")

    teachers = [WordTeacher(), letters]
    embedder = distill(tmp_path / "run", teacher=teachers)
    assert embedder.encode("a text").shape == (256,)
    report = (tmp_path / "run" / "report.md").read_text()
    assert "blocks learned its features of texts alone" in report


# === Its parts ===


@pytest.mark.once
def test_the_table_is_the_pca_of_what_the_teacher_says_of_each_token():
    tokenizer = kd.models.DinoLMTokenizer(
        [*SPECIAL, "cat", "dog", "run", "##ning", "##s", "the", ".", "owl"]
    )
    teacher = kd.teachers.get(WordTeacher())
    words = ["cat", "dog", "run", "ning", "s", "the", ".", "owl"]
    x = teacher.encode(words).astype("float64")
    x -= x.mean(0)
    _, _, directions = np.linalg.svd(x, full_matrices=False)
    wanted = x @ directions[:4].T
    wanted *= (wanted.var(0) / wanted.var(0).max()) ** -0.25
    table, lengths = token_table([teacher], tokenizer, 4)
    assert table.shape == (13, 4)
    # Up to the sign of a component, and the scale of all.
    got = table[5:] / table[5:].std() * wanted.std()
    np.testing.assert_allclose(np.abs(got), np.abs(wanted), rtol=1e-3)
    norms = np.linalg.norm(wanted, axis=1)
    np.testing.assert_allclose(lengths[5:], norms / norms.mean(), rtol=1e-4)
    assert table[5:].std() == pytest.approx(0.05, rel=1e-5)
    assert (lengths[:5] == 1).all() and (table[:5] != 0).all()
    # Where the teacher has fewer numbers, the rest is 0.
    wide, _ = token_table([teacher], tokenizer, 20)
    assert wide.shape == (13, 20) and not wide[5:, 8:].any()
    assert wide[5:, :7].any(0).all()


@pytest.mark.once
def test_several_teachers_count_the_same_in_the_table():
    tokenizer = kd.models.DinoLMTokenizer([*SPECIAL, "cat", "dog", "owl"])
    loud = WordTeacher()
    loud.encode = lambda texts: 1_000 * WordTeacher().encode(texts)
    both = [kd.teachers.get(WordTeacher()), kd.teachers.get(loud)]
    table, lengths = token_table(both, tokenizer, 4)
    alone, norms = token_table(both[:1], tokenizer, 4)
    np.testing.assert_allclose(np.abs(table), np.abs(alone), atol=1e-6)
    np.testing.assert_allclose(lengths, norms, rtol=1e-5)


@pytest.mark.once
def test_a_token_without_a_finite_feature_is_named():
    tokenizer = kd.models.DinoLMTokenizer([*SPECIAL, "cat", "dog"])
    teacher = kd.teachers.get(
        lambda texts: np.array([[np.nan if t == "dog" else 1.0] for t in texts])
    )
    with pytest.raises(ValueError, match="not finite.*'dog'"):
        token_table([teacher], tokenizer, 4)


@pytest.mark.once
def test_statistics_of_features(finished):
    directory, embedder = finished
    tokens = kd.data.TokenStore.open(directory / "tokens")
    store = kd.data.FeatureStore.open(directory / "features" / "0", tokens)
    found = feature_statistics([store, store])
    pooled = np.asarray(store.pooled, "float64")
    mean, deviation = found["sequence"]
    np.testing.assert_allclose(mean[:12], pooled.mean(0), rtol=1e-5)
    spread = np.sqrt(pooled.var(0).mean())
    np.testing.assert_allclose(deviation, np.full(24, spread), rtol=1e-5)
    rows = np.asarray(store.tokens, "float64")
    rows = rows[rows.any(1)]
    np.testing.assert_allclose(found["token"][1][12:], rows.std(0), rtol=1e-5)


@pytest.mark.once
def test_the_vocabulary_of_a_wordpiece_teacher():
    vocabulary = [
        "[PAD]",
        "[unused1]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *["un", "##aff", "##able", "cafe", "!"],
    ]
    expected = [*SPECIAL, "un", "##aff", "##able", "cafe", "!"]
    text = "Unaffable CAFÉ! unknown"
    bert = keras_hub.models.BertTokenizer(vocabulary, lowercase=True)
    bert.strip_accents = True
    own = tokenizer_of(types.SimpleNamespace(tokenizer=bert))
    assert list(own.get_vocabulary()) == expected
    ids = own.tokenize(text)
    assert [expected[i] for i in ids][:5] == expected[5:]

    tokenizers = pytest.importorskip("tokenizers")
    fast = tokenizers.BertWordPieceTokenizer(
        {piece: index for index, piece in enumerate(vocabulary)}
    )
    hugging_face = types.SimpleNamespace(
        backend_tokenizer=fast._tokenizer,
        all_special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    )
    found = tokenizer_of(types.SimpleNamespace(tokenizer=hugging_face))
    assert list(found.get_vocabulary()) == expected
    np.testing.assert_array_equal(found.tokenize(text), ids)
    pieces = fast.encode(text, add_special_tokens=False).tokens
    assert pieces == [expected[i] for i in ids]


@pytest.mark.once
def test_a_vocabulary_that_cannot_be_read(tmp_path):
    assert tokenizer_of(kd.teachers.get(WordTeacher())) is None
    with pytest.raises(ValueError, match="Pass `vocabulary='own'`"):
        distill(tmp_path / "run", vocabulary="teacher")
    assert not (tmp_path / "run").exists()


# === Minutes ===


@pytest.mark.once
def test_bfloat16_is_for_folders_on_processors_that_know_it(monkeypatch):
    calls = []

    class Loaded(fast_teacher.SentenceTransformerTeacher):
        def __init__(self):
            pass

    def get(given, **options):
        calls.append(options)
        return Loaded() if isinstance(given, str) else given

    monkeypatch.setattr(fast_teacher.teachers, "get", get)
    for flags, given, expected in (
        ({"avx2"}, "folder", [{}]),
        ({"avx512_bf16"}, "folder", [{}, {"dtype": "bfloat16"}]),
        ({"avx512_bf16"}, Loaded(), [{}]),
    ):
        monkeypatch.setattr(fast_teacher, "processor_flags", lambda f=flags: f)
        calls.clear()
        assert isinstance(fast_teacher.fast_teacher(given), Loaded)
        assert calls == expected


@pytest.mark.once
def test_the_minutes_contain_the_teacher(tmp_path, monkeypatch):
    """A clock that only the teacher and the steps move."""
    clock = types.SimpleNamespace(now=0.0)
    clock.perf_counter = lambda: clock.now

    class Slow(WordTeacher):
        def encode_tokens(self, texts):
            clock.now += 0.01 * len(texts)
            return super().encode_tokens(texts)

    class Planned(Exception):
        pass

    def plan_of(phases, tokens, seed):
        clock.now += 3.0  # to measure them
        return [0.01, 0.05], 7.0

    def stop(*args):
        raise Planned

    monkeypatch.setattr(distilling_run, "time", clock)
    module = sys.modules["keras_dinolm.recipes.pretraining_run"]
    monkeypatch.setattr(module.plan, "seconds_per_step", plan_of)
    monkeypatch.setattr(module, "LiveBar", stop)
    began = sys.modules["keras_dinolm.recipes.distill"]
    monkeypatch.setattr(began, "time", clock)
    for _ in range(2):
        with pytest.raises(Planned):
            distill(
                tmp_path / "run",
                teacher=Slow(),
                steps=None,
                minutes=1.0,
                max_passages=None,
            )
        state = json.loads((tmp_path / "run/run.json").read_text())["state"]
        spent = sum(state["preparation"].values())
        # Twice a hundredth of a second a passage (for the text, and for its
        # tokens), within a share of what was left.
        left = 60 - state["preparation"]["vocabulary"]
        assert state["passages"] == pytest.approx(
            distilling_run.SHARE_OF_FEATURES["blocks"] * left / 0.02, rel=0.05
        )
        first, second = state["plan"]["steps"]
        planned = spent + 3 + 7 + 0.01 * first + 0.05 * second
        assert planned == pytest.approx(
            60 - distilling_run.FOR_THE_END, abs=1.5
        )
        monkeypatch.setattr(module.plan, "seconds_per_step", None)


def test_mistakes_are_named_before_anything_is_written(tmp_path):
    for changes, message in (
        ({"minutes": 1}, "Give either `minutes`"),
        ({"size": "huge"}, "`size` must be one of 'table', 'nano'"),
        ({"vocabulary": "mine"}, "`vocabulary`"),
        ({"teacher": []}, "`teacher`"),
        ({"teacher": 3}, "`teacher`"),
        ({"max_passages": 0}, "`max_passages`"),
        ({"steps": 1}, "`steps` must be at least 2"),
        ({"learning_rate": -1.0}, "`learning_rate`"),
    ):
        with pytest.raises(ValueError, match=message):
            distill(tmp_path / "run", **changes)
    assert not pathlib.Path(tmp_path / "run").exists()


@pytest.mark.once
def test_a_teacher_of_keras_hub_with_byte_pairs(tmp_path):
    """A RoBERTa: its student takes its tokenizer as it is."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = [chr(n) for n in range(33, 127)] + ["Ġ", "Ċ"]
    merges = ["Ġ t", "h e", "Ġt he", "Ġ T", "Ġ s"]
    words = [merge.replace(" ", "") for merge in merges]
    tokenizer = keras_hub.models.RobertaTokenizer(
        {t: i for i, t in enumerate([*special, *letters, *words])}, merges
    )
    backbone = keras_hub.models.RobertaBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=128,
    )
    teacher = kd.models.DinoLMTextEmbedder(
        backbone, kd.models.DinoLMTextPreprocessor(tokenizer, 128)
    )
    embedder = distill(tmp_path / "run", teacher=teacher, max_passages=64)
    found = embedder.preprocessor.tokenizer
    assert isinstance(found, keras_hub.models.RobertaTokenizer)
    assert embedder.encode("the text").shape == (256,)
    tokens = kd.data.TokenStore.open(tmp_path / "run" / "tokens", tokenizer)
    features = kd.data.FeatureStore.open(
        tmp_path / "run" / "features" / "0", tokens
    )
    assert features.has_tokens and features.num_uncovered == 0
