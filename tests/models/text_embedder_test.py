"""`encode` as in sentence-transformers."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_dinolm.layers.encoder_block import EncoderBlock
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.presets.preset_files import is_of_keras_hub
from keras_dinolm.models.tasks.batches import padded_length
from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from tests.models import tiny

WORDS = tiny.VOCABULARY[5:-2]


@pytest.fixture(scope="module")
def embedder():
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=16)
    return DinoLMTextEmbedder(tiny.backbone(), preprocessor)


def texts(count, longest=15):
    rng = np.random.default_rng(count)
    lengths = rng.integers(0, longest + 1, size=count)
    return [" ".join(rng.choice(WORDS, size=n)) for n in lengths]


def test_a_string_gives_a_vector_and_a_list_a_matrix(embedder):
    vector = embedder.encode("the quick fox")
    assert vector.shape == (16,) and vector.dtype == "float32"
    matrix = embedder.encode(["the quick fox", ""])
    assert isinstance(matrix, np.ndarray) and matrix.shape == (2, 16)
    np.testing.assert_allclose(matrix[0], vector, atol=1e-5)
    assert np.isfinite(matrix).all()
    assert embedder.encode([]).shape == (0, 16)
    assert embedder.encode([], output_value="token_embeddings") == []


def test_features_are_those_of_the_backbone_in_the_order_given(embedder):
    inputs = texts(7)
    found = embedder.encode(inputs, batch_size=4)
    rows = embedder.preprocessor(inputs)
    expected = embedder.backbone.predict_on_batch(rows)["pooled_output"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        embedder.encode_text(inputs, verbose=0), expected, atol=1e-5
    )


def test_blocks_that_a_feature_does_not_read_are_not_run(monkeypatch):
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=16)
    backbone = tiny.backbone(pooled_layers=(0,))
    model = DinoLMTextEmbedder(backbone, preprocessor)
    rows = preprocessor(["the quick fox"])
    expected = backbone.predict_on_batch(rows)["pooled_output"]

    def refuse(*args, **kwargs):
        raise RuntimeError("a block runs")

    monkeypatch.setattr(EncoderBlock, "call", refuse)
    found = model.encode(["the quick fox"])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(RuntimeError, match="a block runs"):
        model.encode("the quick fox", output_value="token_embeddings")


def test_a_compiled_encoder_runs_no_layer_by_itself(embedder, monkeypatch):
    embedder.encode(["the quick fox"])
    calls = []
    call = EncoderBlock.call

    def count(self, *args, **kwargs):
        calls.append(self.name)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(EncoderBlock, "call", count)
    embedder.encode(["the lazy dog"])
    assert len(calls) == (keras.backend.backend() == "torch")


def test_normalized_embeddings_have_unit_length(embedder):
    inputs = texts(5)
    raw = embedder.encode(inputs, batch_size=4)
    found = embedder.encode(inputs, batch_size=4, normalize_embeddings=True)
    length = np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(found, raw / length, atol=1e-6)
    model = DinoLMTextEmbedder(
        embedder.backbone, embedder.preprocessor, normalize=True
    )
    assert model.get_config()["normalize"]
    np.testing.assert_allclose(
        model.encode(inputs, batch_size=4), found, atol=1e-5
    )


def test_token_embeddings_have_one_row_per_token_and_cls(embedder):
    inputs = ["the quick fox", "", "foxes"]
    found = embedder.encode(inputs, output_value="token_embeddings")
    assert [x.shape for x in found] == [(4, 16), (1, 16), (3, 16)]
    np.testing.assert_allclose(
        [x.mean(axis=0) for x in found], embedder.encode(inputs), atol=1e-5
    )
    single = embedder.encode("foxes", output_value="token_embeddings")
    np.testing.assert_allclose(single, found[2], atol=1e-5)


def test_truncated_texts_are_counted_in_one_warning(embedder):
    long = " ".join(WORDS * 4)
    with pytest.warns(UserWarning, match="2 of 3 texts.*15 tokens") as caught:
        found = embedder.encode([long, "fox", long + " cat"])
    assert sum("were cut" in str(w.message) for w in caught) == 1
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)


def test_progress_bar_counts_texts(embedder, capsys):
    embedder.encode(texts(5), batch_size=4, show_progress_bar=True)
    assert "5/5" in capsys.readouterr().out
    embedder.encode(texts(5), batch_size=4)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"inputs": 3}, TypeError, "int"),
        ({"inputs": ["a", None]}, TypeError, r"inputs\[1\]=None"),
        ({"inputs": "a", "output_value": "x"}, ValueError, "token_embeddings"),
        ({"inputs": "a", "batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_wrong_arguments_are_named(embedder, arguments, error, message):
    with pytest.raises(error, match=message):
        embedder.encode(**arguments)


def test_a_model_without_preprocessor_says_so():
    model = DinoLMTextEmbedder(tiny.backbone())
    with pytest.raises(ValueError, match="preprocessor"):
        model.encode("a")


def test_few_lengths_are_compiled_and_little_is_padded():
    lengths = np.arange(1, 2001)
    padded = np.array([padded_length(n, limit=2000) for n in lengths])
    assert (padded >= lengths).all()
    assert len(set(padded)) == 13 and padded[-1] == 2000
    assert (padded[32:] / lengths[32:]).max() < 2
    assert (padded[64:] / lengths[64:]).max() < 1.5


# === Encoders of keras-hub ===


@pytest.fixture(scope="module")
def stock_preset(tmp_path_factory):
    """What `export_preset` writes for a BERT with keras-hub's tokenizer."""
    folder = tmp_path_factory.mktemp("stock") / "preset"
    tokenizer = keras_hub.models.BertTokenizer(tiny.VOCABULARY, lowercase=True)
    export_preset(TextEncoder(tiny.stock("BertBackbone")), tokenizer, folder)
    return folder


def test_a_stock_encoder_reads_texts_as_it_was_trained(stock_preset):
    """[CLS] text [SEP], cut to fit, and the mean of what was read."""
    embedder = DinoLMTextEmbedder.from_preset(stock_preset)
    assert embedder.preprocessor.sequence_length == 16  # not BERT's 512
    embedder.preprocessor.sequence_length = 8
    ids = {token: index for index, token in enumerate(tiny.VOCABULARY)}
    rows = [
        [2, ids["the"], ids["quick"], ids["fox"], ids["##es"], 3],
        [2, 3],
        [2, *[ids["dog"]] * 6, 3],
    ]
    texts = ["The quick foxes", "", "dog " * 9]
    with pytest.warns(UserWarning, match="1 of 3 texts"):
        found = embedder.encode(texts)
    with pytest.warns(UserWarning, match="1 of 3 texts"):
        tokens = embedder.encode(texts, output_value="token_embeddings")
    padded = np.array([row + [0] * (8 - len(row)) for row in rows], "int32")
    expected = embedder.backbone.predict_on_batch(
        {
            "token_ids": padded,
            "segment_ids": np.zeros_like(padded),
            "padding_mask": padded != 0,
        }
    )["sequence_output"]
    for i, row in enumerate(rows):
        features = expected[i, : len(row)]
        np.testing.assert_allclose(tokens[i], features, atol=1e-5)
        np.testing.assert_allclose(found[i], features.mean(axis=0), atol=1e-5)


def test_a_stock_encoder_keeps_its_settings(stock_preset):
    embedder = DinoLMTextEmbedder.from_preset(
        str(stock_preset), pooling="cls", normalize=True
    )
    vector = embedder.encode("a lazy dog")
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    tokens = embedder.encode("a lazy dog", output_value="token_embeddings")
    cosine = vector @ tokens[0] / np.linalg.norm(tokens[0])
    assert cosine == pytest.approx(1.0, abs=1e-5)
    config = embedder.get_config()
    assert (config["pooling"], config["normalize"]) == ("cls", True)
    with pytest.raises(ValueError, match="pooling='attention'"):
        DinoLMTextEmbedder(embedder.backbone, pooling="attention")


def test_presets_of_keras_hub_are_told_from_ours(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert is_of_keras_hub(str(tmp_path))
    assert is_of_keras_hub("bert_tiny_en_uncased")
    assert not is_of_keras_hub("hf://somebody/something")
