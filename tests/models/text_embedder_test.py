"""`encode` as in sentence-transformers."""

import keras
import keras_hub
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from keras_dinolm.layers.encoder_block import EncoderBlock
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.presets.preset_files import is_of_keras_hub
from keras_dinolm.models.tasks.batches import padded_length
from keras_dinolm.models.tasks.text_classifier import DinoLMTextClassifier
from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from keras_dinolm.models.tasks.token_rows import token_rows
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
    ("arguments", "message"),
    [
        ({"inputs": 3}, "inputs=3"),
        ({"inputs": None}, "inputs=None"),
        ({"inputs": ["a", None]}, r"inputs\[1\]=None"),
        ({"inputs": pd.Series(["a", None])}, r"inputs\[1\]"),
        ({"inputs": [b"a"]}, r"inputs\[0\]=b'a'"),
        ({"inputs": b"a"}, "inputs"),
        ({"inputs": {"a", "b"}}, "no order"),
        ({"inputs": pd.DataFrame({"text": ["a"]})}, r"table\['text'\]"),
        ({"inputs": np.array([["a"]])}, "inputs"),
        ({"inputs": np.array(3)}, "inputs"),
        ({"output_value": "x"}, "token_embeddings"),
        ({"output_value": None}, "token_embeddings"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": True}, "batch_size=True"),
        ({"batch_size": 2.0}, "batch_size=2.0"),
        ({"precision": "int4"}, "ubinary"),
        ({"precision": "int8"}, "two texts"),
        ({"truncate_dim": 17}, "truncate_dim=17"),
        ({"truncate_dim": 0}, "truncate_dim=0"),
        ({"device": "cpu"}, "keras.device"),
        ({"normalize_embeddings": 1}, "normalize_embeddings=1"),
        ({"convert_to_tensor": "yes"}, "convert_to_tensor='yes'"),
        ({"show_progress_bar": "no"}, "show_progress_bar='no'"),
        ({"prompt": 3}, "prompt=3"),
        ({"prompt_name": "query"}, "prompt_name='query'"),
        ({"prompt_name": 64}, "prompt_name=64"),
        ({"prompt": "", "prompt_name": "a"}, "not both"),
        (
            {"output_value": "token_embeddings", "precision": "binary"},
            "sentence embeddings",
        ),
        (
            {"output_value": "token_embeddings", "truncate_dim": 4},
            "sentence embeddings",
        ),
    ],
)
@pytest.mark.once
def test_wrong_arguments_are_named(embedder, arguments, message):
    with pytest.raises(ValueError, match=message):
        embedder.encode(**{"inputs": "a", **arguments})


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


# === As sentence-transformers ===


@pytest.mark.once
@pytest.mark.parametrize(
    "inputs",
    [
        ("the quick fox", "good"),
        np.array(["the quick fox", "good"]),
        np.array(["the quick fox", "good"], dtype=object),
        np.array(["the quick fox", "good"], np.dtypes.StringDType()),
        pd.Series(["the quick fox", "good"], index=[7, 3]),
        pl.Series(["the quick fox", "good"]),
        pa.chunked_array([["the quick fox"], ["good"]]),
        pa.array(["the quick fox", "good"]),
    ],
    ids=lambda inputs: type(inputs).__name__,
)
def test_strings_come_in_many_shapes(embedder, inputs):
    expected = embedder.encode(["the quick fox", "good"])
    np.testing.assert_array_equal(embedder.encode(inputs), expected)
    found = (
        embedder.encode(text for text in inputs.tolist())
        if isinstance(inputs, np.ndarray)
        else expected
    )
    np.testing.assert_array_equal(found, expected)
    for single in (np.array("good"), np.str_("good")):
        assert embedder.encode(single).shape == (16,)


def test_embeddings_are_those_of_sentence_transformers(embedder):
    """The same features, cut, scaled and quantized by its functions."""
    from sentence_transformers import util
    from sentence_transformers.util import quantization

    inputs = texts(9)
    raw = embedder.encode(inputs)
    for dim in (None, 7):
        cut = util.truncate_embeddings(raw, dim)
        unit = cut / np.linalg.norm(cut, axis=1, keepdims=True)
        for precision in ("float32", "int8", "uint8", "binary", "ubinary"):
            found = embedder.encode(
                inputs,
                precision=precision,
                truncate_dim=dim,
                normalize_embeddings=True,
            )
            expected = quantization.quantize_embeddings(unit, precision)
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            # A feature that lies on a step may fall to either side.
            np.testing.assert_allclose(
                found.astype("float64"),
                expected.astype("float64"),
                atol=1e-6 if precision == "float32" else 1,
            )
            if "binary" in precision:
                np.testing.assert_array_equal(found, expected)
    for precision in ("int8", "ubinary"):
        assert len(embedder.encode([], precision=precision)) == 0
    a, b = raw[:4], raw[2:6]
    for name in ("cosine", "dot", "euclidean", "manhattan"):
        model = DinoLMTextEmbedder(
            embedder.backbone,
            embedder.preprocessor,
            similarity_fn_name=name,
        )
        short = {"cosine": "cos_sim", "dot": "dot_score"}
        theirs = short.get(name, f"{name}_sim")
        for found, other in (
            (model.similarity(a, b), theirs),
            (model.similarity_pairwise(a, b), f"pairwise_{theirs}"),
        ):
            expected = getattr(util, other)(a, b).numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        assert model.similarity(a[0], list(b)).shape == (1, 4)
    with pytest.raises(ValueError, match="embeddings1.*int8"):
        model.similarity(a.astype("int8"), b)
    with pytest.raises(ValueError, match="16 and 3"):
        model.similarity(a, b[:, :3])


def test_tensors_are_those_of_the_backend(embedder):
    inputs = texts(3)
    raw = embedder.encode(inputs)
    found = embedder.encode(inputs, convert_to_tensor=True)
    rows = embedder.encode(inputs, convert_to_numpy=False)
    assert keras.ops.is_tensor(found) and isinstance(rows, list)
    assert all(keras.ops.is_tensor(row) for row in rows)
    for tensors in (found, keras.ops.stack(rows)):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(tensors), raw)
    one = embedder.encode("good", convert_to_tensor=True)
    assert keras.ops.is_tensor(one) and tuple(one.shape) == (16,)
    tokens = embedder.encode(
        inputs, output_value="token_embeddings", convert_to_tensor=True
    )
    assert all(keras.ops.is_tensor(x) and len(x.shape) == 2 for x in tokens)


@pytest.mark.once
def test_prompts_come_before_texts_and_are_saved(embedder):
    model = DinoLMTextEmbedder(
        embedder.backbone,
        embedder.preprocessor,
        prompts={"query": "the quick ", "passage": "a lazy ", "x": "bad "},
        default_prompt_name="x",
    )
    plain = embedder.encode
    for found, text in (
        (model.encode("fox"), "bad fox"),
        (model.encode("fox", "passage"), "a lazy fox"),
        (model.encode("fox", prompt="good "), "good fox"),
        (model.encode("fox", prompt=""), "fox"),
        (model.encode_query("fox"), "the quick fox"),
        (model.encode_query("fox", prompt_name="x"), "bad fox"),
        (model.encode_document("fox"), "a lazy fox"),
        (embedder.encode_query("fox"), "fox"),
    ):
        np.testing.assert_allclose(found, plain(text), atol=1e-6)
    del model.prompts["query"]
    # `default_prompt_name` is for `encode` alone.
    np.testing.assert_allclose(
        model.encode_query("fox"), plain("fox"), atol=1e-6
    )
    copy = DinoLMTextEmbedder.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    with pytest.raises(ValueError, match="vocabulary"):
        copy.encode("fox")  # no part of a configuration
    copy.preprocessor = embedder.preprocessor
    assert copy.prompts == {"passage": "a lazy ", "x": "bad "}
    np.testing.assert_allclose(copy.encode("fox"), plain("bad fox"), atol=1e-6)
    for wrong, message in (
        ({"prompts": ["a"]}, "prompts"),
        ({"prompts": {"a": 1}}, "prompts"),
        ({"default_prompt_name": "a"}, "default_prompt_name='a'"),
        ({"similarity_fn_name": "maxsim"}, "manhattan"),
        ({"normalize": "yes"}, "normalize='yes'"),
    ):
        with pytest.raises(ValueError, match=message):
            DinoLMTextEmbedder(
                embedder.backbone, embedder.preprocessor, **wrong
            )


@pytest.mark.once
def test_long_texts_are_read_as_far_as_they_are_used():
    tokenizer = tiny.tokenizer()
    read = []

    class Reader:
        def tokenize(self, inputs):
            read.extend(map(len, inputs))
            return tokenizer.tokenize(inputs)

    rng = np.random.default_rng(0)
    inputs = [
        "".join(
            rng.choice([*WORDS, " ", " \n", "\u0301", ".", "x" * 30, "\ud800"])
            + rng.choice(["", " ", "  "])
            for _ in range(rng.integers(400))
        )
        for _ in range(200)
    ]
    for limit in (1, 7):
        rows, too_long = token_rows(Reader(), inputs, limit)
        whole = tokenizer.tokenize(inputs)
        assert rows == [row[:limit] for row in whole]
        assert too_long == sum(len(row) > limit for row in whole)
    read.clear()
    long = " " * 5_000 + "the quick fox " * 10_000_000
    rows, too_long = token_rows(Reader(), [long, "fox"], 5)
    assert too_long == 1 and sum(read) < 100_000
    assert rows == [
        row[:5] for row in tokenizer.tokenize([long[:9_000], "fox"])
    ]


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


@pytest.mark.once
@pytest.mark.parametrize(
    "task",
    [
        DinoLMTextEmbedder,
        lambda backbone, part: DinoLMTextClassifier(backbone, 2, part),
    ],
)
def test_a_vocabulary_larger_than_the_embedding_is_refused(task):
    """On jax, ids beyond the table would give features of NaN."""
    backbone = tiny.backbone(vocabulary_size=len(tiny.VOCABULARY) - 1)
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer(), 16)
    with pytest.raises(ValueError, match="19 tokens.*18 rows"):
        task(backbone, preprocessor)
