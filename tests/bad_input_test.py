"""What a new user gets wrong, and what is then said: the cause and the fix."""

import pathlib
import re
import shutil
import warnings

import keras_hub
import pytest

import keras_dinolm as kd

TEXTS = [f"text number {n} of a small corpus about {n % 7}" for n in range(40)]


@pytest.fixture(scope="module")
def tokenizer():
    return kd.data.train_tokenizer(TEXTS, 80, show_progress=False)


@pytest.fixture(scope="module")
def other_tokenizer():
    return kd.data.train_tokenizer(TEXTS, 60, show_progress=False)


@pytest.fixture
def tokens(tokenizer, tmp_path):
    return store(TEXTS, tokenizer, tmp_path / "tokens")


@pytest.fixture(scope="module")
def exported(tokenizer, tmp_path_factory):
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    model = kd.models.DinoLM(backbone, num_prototypes=4)
    folder = tmp_path_factory.mktemp("exported") / "preset"
    model.export_preset(folder, tokenizer)
    return folder


@pytest.fixture
def preset(exported, tmp_path):
    """A copy, which a test may damage."""
    # keras-hub takes no `pathlib.Path`.
    return str(shutil.copytree(exported, tmp_path / "preset"))


def store(corpus, tokenizer, directory):
    return kd.data.tokenize(corpus, tokenizer, directory, show_progress=False)


def message(function, kind=ValueError):
    """What an error says, on one line."""
    with pytest.raises(kind) as caught:
        function()
    return " ".join(str(caught.value).split())


def warning(function):
    """What the one warning says, on one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    ours = [w for w in caught if w.category is UserWarning]
    assert len(ours) == 1, [str(w.message) for w in ours]
    return " ".join(str(ours[0].message).split())


def says(text, *parts):
    for part in parts:
        assert re.search(part, text), f"{part!r} is not in {text!r}"


# === Corpora ===


@pytest.mark.once
def test_an_empty_corpus(tokenizer, tmp_path):
    text = message(lambda: kd.data.train_tokenizer([], show_progress=False))
    says(text, "0 documents", "Check the path or the iterable")
    text = message(lambda: store([], tokenizer, tmp_path / "tokens"))
    says(text, "corpus is empty", "Check the path or the iterable")
    # A generator that something has read already.
    used = iter([])
    text = message(lambda: store(used, tokenizer, tmp_path / "tokens"))
    says(text, "an iterator can be read only once")


@pytest.mark.once
def test_a_folder_without_texts_and_a_path_that_is_none(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    text = message(lambda: kd.data.read_text(tmp_path), FileNotFoundError)
    says(text, re.escape(str(tmp_path)), r"\.txt", "Name the files themselves")
    nowhere = tmp_path / "nowhere.txt"
    text = message(lambda: kd.data.read_text(nowhere), FileNotFoundError)
    says(text, re.escape(str(nowhere)))


@pytest.mark.once
@pytest.mark.parametrize("read", [kd.data.read_text, kd.data.read_jsonl])
def test_a_binary_file(read, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(range(256)) * 4)
    corpus = read(path)
    said = warning(lambda: list(corpus))
    says(said, "Read 0 documents", "1 binary file", re.escape(str(path)))
    says(said, "UTF-8")
    text = message(lambda: kd.data.train_tokenizer(corpus, show_progress=False))
    says(text, "0 documents", "Check the path")


@pytest.mark.once
def test_one_text_instead_of_a_corpus():
    text = message(lambda: kd.data.train_tokenizer("notes.txt"))
    says(text, r"corpus='notes.txt'", r"\[text\]", "read_text")


@pytest.mark.once
def test_identical_documents(tokenizer, tmp_path):
    same = ["text number 3 of a small corpus"] * 20
    said = warning(lambda: store(same, tokenizer, tmp_path / "tokens"))
    says(said, "only 1 are distinct", "find_near_duplicates")


# === Training ===


def test_a_batch_larger_than_the_corpus(tokens, tokenizer):
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    text = message(lambda: kd.data.view_dataset(tokens, views, batch_size=256))
    says(text, "`batch_size` is larger than the corpus", "256", "40 documents")
    says(text, "Use a `batch_size` of at most", "drop_remainder=False")


def test_one_prototype():
    backbone = kd.models.DinoLMBackbone(80, 1, 2, 8, 16)
    text = message(lambda: kd.models.DinoLM(backbone, num_prototypes=1))
    says(text, "at least 2", "num_prototypes=1")


@pytest.mark.once
def test_a_mask_ratio_above_one():
    text = message(
        lambda: kd.views.ViewGroup("global", count=2, mask_ratio=1.5)
    )
    says(text, "`mask_ratio`", "'global'", "<= 1", "mask_ratio=1.5", "half")


# === Things that do not belong together ===


@pytest.mark.once
def test_a_store_built_with_another_tokenizer(
    tokens, tokenizer, other_tokenizer
):
    views = kd.views.TextViews(other_tokenizer, sequence_length=16)
    text = message(lambda: kd.data.view_dataset(tokens, views, batch_size=4))
    says(text, "`views`", re.escape(str(tokens.directory)), "another directory")
    attempts = [
        lambda: kd.data.TokenStore.open(tokens.directory, other_tokenizer),
        lambda: store(TEXTS, other_tokenizer, tokens.directory),
    ]
    for attempt in attempts:
        text = message(attempt)
        says(text, "another tokenizer", re.escape(str(tokens.directory)))
        says(text, tokenizer.fingerprint(), other_tokenizer.fingerprint())
        says(text, "(another|other) directory", "remove this one")


@pytest.mark.once
def test_a_store_that_is_not_there_or_damaged(tokens, tokenizer, tmp_path):
    text = message(
        lambda: kd.data.TokenStore.open(tmp_path / "none", tokenizer),
        FileNotFoundError,
    )
    says(text, "No finished token store", r"keras_dinolm\.data\.tokenize\(")
    shard = max(pathlib.Path(tokens.directory).glob("shard-*"))
    shard.unlink()
    text = message(
        lambda: kd.data.TokenStore.open(tokens.directory, tokenizer),
        FileNotFoundError,
    )
    says(text, "damaged", re.escape(shard.name), "build a new")


def test_a_preset_with_the_tokenizer_of_another_model(
    preset, other_tokenizer, tmp_path
):
    backbone = keras_hub.models.Backbone.from_preset(preset)
    model = kd.models.DinoLM(backbone, num_prototypes=4)
    text = message(lambda: model.export_preset(tmp_path / "x", other_tokenizer))
    says(text, "do not belong together", "trained with")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "load",
    [
        kd.models.check_preset,
        kd.models.DinoLMBackbone.from_preset,
        kd.models.DinoLMTextEmbedder.from_preset,
        lambda preset: kd.models.DinoLMTextClassifier.from_preset(
            preset, num_classes=2
        ),
    ],
    ids=["check_preset", "backbone", "embedder", "classifier"],
)
def test_a_preset_folder_with_a_missing_file(load, preset):
    for name in (
        "assets/tokenizer/vocabulary.txt",
        "tokenizer.json",
        "model.weights.h5",
        "config.json",
    ):
        pathlib.Path(preset, name).unlink()
        if (
            name == "tokenizer.json"
            and load == kd.models.DinoLMBackbone.from_preset
        ):
            load(preset)  # a backbone needs none
            continue
        text = message(lambda: load(preset), FileNotFoundError)
        says(text, re.escape(preset), "lacks the file", "export_preset")
        says(text, re.escape(name))
