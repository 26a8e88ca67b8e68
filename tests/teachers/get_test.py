"""Everything that can teach, behind one interface."""

import socket

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.teachers import folders
from tests.models import tiny

TEXTS = ["The quick fox.", "a", "jumps over the lazy dog"]


def letters(texts):
    """Counts of a few letters: a teacher that knows exact answers."""
    return np.array([[text.count(c) for c in "aeo"] for text in texts])


class Words:
    """An encoder of somebody, with features of words."""

    def encode(self, texts):
        return letters(texts).astype("float64")

    def encode_tokens(self, texts):
        return [self._tokens(text) for text in texts]

    def _tokens(self, text):
        words = text.split()
        starts = np.cumsum([0] + [len(word) + 1 for word in words])[:-1]
        ends = starts + [len(word) for word in words]
        return letters(words), np.stack([starts, ends], 1)


@pytest.mark.once
def test_a_function_teaches():
    teacher = kd.teachers.get(letters)
    assert teacher.dim == 3
    assert not teacher.has_tokens
    assert teacher.encode_tokens(TEXTS) is None
    found = teacher.encode(TEXTS)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, letters(TEXTS))
    assert kd.teachers.get(teacher) is teacher
    assert teacher.encode([]).shape == (0, 3)


@pytest.mark.once
def test_tokens_of_an_object_lie_in_the_text_without_its_prompt():
    teacher = kd.teachers.get(Words(), prompt="query ao: ")
    pooled, tokens = teacher.encode_both(TEXTS)
    np.testing.assert_array_equal(
        pooled, letters(["query ao: " + text for text in TEXTS])
    )
    for text, (features, spans) in zip(TEXTS, tokens):
        words = [text[a:b] for a, b in spans]
        assert words == text.split()
        np.testing.assert_array_equal(features, letters(words))


@pytest.mark.once
def test_fingerprints_tell_functions_apart():
    def other(texts):
        return letters(texts) * [1, 1, 1.1]

    prints = [
        kd.teachers.get(letters).fingerprint(),
        kd.teachers.get(other).fingerprint(),
        kd.teachers.get(letters, prompt="ae").fingerprint(),
        kd.teachers.get(Words()).fingerprint(),
    ]
    assert len(set(prints)) == len(prints)
    assert kd.teachers.get(letters).fingerprint() == prints[0]

    class Known(Words):
        def fingerprint(self):
            return "version 2"

    named = kd.teachers.get(Known()).fingerprint()
    assert named == kd.teachers.get(Known()).fingerprint() != prints[3]


@pytest.mark.once
@pytest.mark.parametrize(
    "wrong",
    [
        lambda texts: letters(texts)[:1],
        lambda texts: letters(texts)[0],
        lambda texts: ["no numbers"] * len(texts),
        lambda texts: np.zeros((len(texts), 0)),
    ],
)
def test_what_is_no_row_a_text_is_refused(wrong):
    with pytest.raises(ValueError, match="teacher"):
        kd.teachers.get(wrong).encode(TEXTS)


@pytest.mark.once
@pytest.mark.parametrize("wrong", [None, 3, Words, ["a"]])
def test_what_encodes_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="teacher="):
        kd.teachers.get(wrong)


@pytest.mark.once
def test_unknown_names_are_refused_without_network(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(ValueError, match="hf download"):
        kd.teachers.get("nobody/no-such-model")
    with pytest.raises(ValueError, match="holds no encoder"):
        kd.teachers.get(tmp_path)
    with pytest.raises(ValueError, match="`pooling` is for folders"):
        kd.teachers.get(letters, pooling="mean")


def test_an_embedder_teaches_as_it_encodes(tmp_path):
    embedder = kd.models.DinoLMTextEmbedder(
        tiny.backbone(), kd.models.DinoLMTextPreprocessor(tiny.tokenizer(), 6)
    )
    teacher = kd.teachers.get(embedder)
    with pytest.warns(UserWarning, match="1 of 3 texts are longer.*5 tokens"):
        pooled, tokens = teacher.encode_both([*TEXTS[:2], "the dog " * 9])
    assert teacher.num_cut == 1
    with pytest.warns(UserWarning, match="more than 5 tokens"):
        np.testing.assert_allclose(
            pooled,
            embedder.encode([*TEXTS[:2], "the dog " * 9]),
            atol=1e-5,
        )
    whole = embedder.encode(TEXTS[:1], output_value="token_embeddings")[0]
    features, spans = tokens[0]
    # [CLS] comes first.
    np.testing.assert_allclose(features, whole[1:], atol=1e-5)
    assert [TEXTS[0][a:b] for a, b in spans] == ["The", "quick", "fox", "."]
    assert len(tokens[2][0]) == 5
    assert teacher.vocabulary()[-2:] == ["es", "."]
    assert teacher.vocabulary()[:5] == [""] * 5
    # From its files, it is told apart by them.
    before = teacher.fingerprint()
    embedder.save_to_preset(tmp_path / "one")
    loaded = kd.teachers.get(tmp_path / "one")
    np.testing.assert_allclose(loaded.encode(TEXTS), teacher.encode(TEXTS))
    embedder.backbone.token_embedding.embeddings.assign_add(
        np.full((len(tiny.VOCABULARY), 16), 1e-4, "float32")
    )
    assert kd.teachers.get(embedder).fingerprint() != before
    embedder.save_to_preset(tmp_path / "two")
    prints = [
        kd.teachers.get(tmp_path / n).fingerprint() for n in ("one", "two")
    ]
    assert prints[0] != prints[1]
    assert prints[0] == loaded.fingerprint()


# === Folders of Hugging Face ===


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A tiny BERT as Hugging Face writes it."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text(
        "\n".join([*tiny.VOCABULARY, "zurich"]) + "\n"
    )
    tokenizer = transformers.BertTokenizerFast(
        vocab=str(folder / "vocab.txt"), do_lower_case=True
    )
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(tiny.VOCABULARY) + 1,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
        initializer_range=0.5,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.once
def test_a_folder_of_hugging_face_teaches(hugging_face):
    import sentence_transformers

    teacher = kd.teachers.get(hugging_face, sequence_length=8)
    texts = ["The quick foxes.", "a", "Zürich"]
    pooled, tokens = teacher.encode_both(texts)
    model = sentence_transformers.SentenceTransformer(
        str(hugging_face), local_files_only=True
    )
    np.testing.assert_allclose(pooled, model.encode(texts), atol=1e-6)
    np.testing.assert_allclose(teacher.encode(texts), pooled, atol=1e-6)
    features, spans = tokens[0]
    assert [texts[0][a:b] for a, b in spans] == [
        "The", "quick", "fox", "es", "."
    ]  # fmt: skip
    whole = model.encode(texts, output_value="token_embeddings")[0]
    np.testing.assert_allclose(features, whole[1:-1].numpy(), atol=1e-6)
    with pytest.warns(UserWarning, match="1 of 1 texts are longer.*8 tokens"):
        _, [(features, spans)] = teacher.encode_both(["the dog " * 9])
    assert len(features) == 6
    assert teacher.vocabulary()[-3:] == ["es", ".", "zurich"]
    # The other feature of a text.
    first = kd.teachers.get(hugging_face, pooling="cls")
    np.testing.assert_allclose(
        first.encode(texts[:1])[0], whole[0].numpy(), atol=1e-6
    )
    assert first.fingerprint() != teacher.fingerprint()


def test_keras_hub_reads_the_same_folder_without_that_library(
    hugging_face, monkeypatch
):
    texts = ["The quick foxes.", "a Zürich dog"]
    there = kd.teachers.get(hugging_face).encode_both(texts)
    monkeypatch.setattr(folders, "_has_sentence_transformers", lambda: False)
    teacher = kd.teachers.get(hugging_face)
    assert type(teacher).__name__ == "EmbedderTeacher"
    here = teacher.encode_both(texts)
    np.testing.assert_allclose(teacher.encode(texts), here[0], atol=1e-5)
    # keras-hub has an approximate GELU.
    np.testing.assert_allclose(here[0], there[0], atol=0.02)
    for (features, spans), (others, same) in zip(here[1], there[1]):
        np.testing.assert_array_equal(spans, same)
        np.testing.assert_allclose(features, others, atol=0.05)


@pytest.mark.once
def test_a_folder_is_told_apart_by_what_decides_on_features(
    hugging_face, tmp_path
):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(hugging_face, folder)
    digest = folders.digest_of_folder(folder)
    assert digest == folders.digest_of_folder(hugging_face)
    (folder / "README.md").write_text("another text")
    assert digest == folders.digest_of_folder(folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert digest != folders.digest_of_folder(folder)


@pytest.mark.once
def test_plain_pieces_of_byte_pairs():
    import keras_hub

    vocabulary = {"a": 0, "Ġ": 1, "Ã": 2, "©": 3, "Ġa": 4, "Ã©": 5}
    tokenizer = keras_hub.tokenizers.BytePairTokenizer(
        vocabulary, ["Ġ a", "Ã ©"]
    )
    assert kd.teachers.plain_pieces(tokenizer) == ["a", "", "", "", "a", "é"]
