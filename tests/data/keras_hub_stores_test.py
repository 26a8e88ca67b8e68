"""Token stores, views, encoders and presets with tokenizers of keras-hub."""

import io

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.data import store_encoder

SENTENCES = [
    "The quick brown fox jumps over the lazy dog. A fox is no dog! It barks?",
    "Zürich is a city.  São Paulo, too.\n\nNew paragraphs are new sentences.",
    "12.50 € is a price, isn't it? 東京 is where? 😀",
    "   ",
    "No end of a sentence here",
]


def _bert():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(i) for i in range(97, 123)]
    words = ["the", "quick", "fox", "is", "dog", "sentence", ".", "!", "?"]
    return keras_hub.models.BertTokenizer(
        [*special, *words, *letters, *("##" + x for x in letters)],
        lowercase=True,
    )


def _roberta():
    from tokenizers.pre_tokenizers import ByteLevel

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted(ByteLevel.alphabet())
    merges = ["Ġ t", "h e", "Ġt he", "o x", "f ox", "Ġ fox", "i s", "Ġ is"]
    words = [merge.replace(" ", "") for merge in merges]
    vocabulary = {t: i for i, t in enumerate([*special, *letters, *words])}
    return keras_hub.models.RobertaTokenizer(vocabulary, merges)


def _xlm_roberta():
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([s for s in SENTENCES if s.strip()] * 20),
        model_writer=model,
        vocab_size=64,
        character_coverage=0.98,
        minloglevel=2,
    )
    return keras_hub.models.XLMRobertaTokenizer(model.getvalue())


MAKERS = {"bert": _bert, "roberta": _roberta, "xlm_roberta": _xlm_roberta}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def tokenizer(request):
    return MAKERS[request.param]()


def _store(tokenizer, folder, **options):
    options = {"num_workers": 0, "show_progress": False, **options}
    return kd.data.tokenize(SENTENCES, tokenizer, folder, **options)


@pytest.mark.once
def test_a_store_has_the_ids_that_the_tokenizer_gives(tokenizer, tmp_path):
    store = _store(tokenizer, tmp_path / "store")
    for index, text in enumerate(SENTENCES):
        expected = [int(i) for i in tokenizer.tokenize(text)]
        if text.strip():
            assert store[index].tolist() == expected
    assert store.header["vocabulary_size"] == tokenizer.vocabulary_size()
    special = store.header["special_token_ids"]
    assert special["pad"] == tokenizer.pad_token_id
    assert special["cls"] == tokenizer.start_token_id
    assert special["mask"] == tokenizer.mask_token_id
    # The same call finds it; another tokenizer is refused.
    again = _store(tokenizer, tmp_path / "store")
    assert again.fingerprint == store.fingerprint
    with pytest.raises(ValueError, match="another tokenizer"):
        kd.data.TokenStore.open(
            tmp_path / "store",
            kd.models.DinoLMTokenizer(
                ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
            ),
        )


@pytest.mark.once
def test_sentences_begin_where_their_first_token_does(tokenizer, tmp_path):
    store = _store(tokenizer, tmp_path / "store")
    spans = kd.teachers.pieces.TokenSpans(tokenizer)
    text = SENTENCES[0]
    starts = store.sentence_starts(0)
    found = spans(text, store[0])[starts]
    words = [text[a:].split()[0] for a, _ in found]
    assert words == ["The", "A", "It"]
    assert len(store.sentence_starts(1)) == 3
    assert len(store.sentence_starts(4)) == 1


@pytest.mark.slow  # each process imports keras-hub
def test_worker_processes_write_the_same_store(tmp_path):
    """With the tokenizer that has most to carry over."""
    tokenizer = _xlm_roberta()
    options = {"shard_characters": 300}
    texts = SENTENCES * 4
    here, there = (
        kd.data.tokenize(
            texts,
            tokenizer,
            tmp_path / str(workers),
            num_workers=workers,
            show_progress=False,
            **options,
        )
        for workers in (0, 1)
    )
    assert len(here.shards) > 2
    assert here.shards == there.shards


@pytest.mark.once
def test_fingerprints_follow_what_decides_on_ids(tokenizer):
    fingerprint = store_encoder.tokenizer_fingerprint
    first = fingerprint(tokenizer)
    copy = store_encoder.make_encoder(store_encoder.encoder_config(tokenizer))
    assert fingerprint(copy.tokenizer) == first
    prints = {fingerprint(make()) for make in MAKERS.values()}
    assert len(prints) == 3
    other = keras_hub.models.BertTokenizer(
        _bert().get_vocabulary(), lowercase=False
    )
    assert fingerprint(other) not in prints


@pytest.mark.once
@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: keras_hub.tokenizers.ByteTokenizer(), "WordPiece"),
        (
            lambda: keras_hub.tokenizers.WordPieceTokenizer(["[UNK]", "a"]),
            "no padding token",
        ),
        (
            lambda: keras_hub.models.BertTokenizer(
                _bert().get_vocabulary(), sequence_length=8
            ),
            "sequence_length=None",
        ),
    ],
)
def test_tokenizers_that_make_no_store_are_refused(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        _store(wrong(), tmp_path)


@pytest.mark.once
def test_an_encoder_with_their_tokenizer_is_kept_and_served(
    tokenizer, tmp_path
):
    """Views, a preset, features of tokens, and as a teacher."""
    store = _store(tokenizer, tmp_path / "store")
    groups = (kd.views.ViewGroup("global", 2, mask_probability=1.0),)
    views = kd.views.TextViews(tokenizer, sequence_length=12, groups=groups)
    batch = kd.data.view_dataset(
        store, views, 4, tokenizer=tokenizer, use_tf_data=False
    )[0]
    ids = batch["global"]["token_ids"]
    assert (ids[:, :, 0] == tokenizer.start_token_id).all()
    masked = batch["global"]["masked_token_ids"][batch["global"]["masked"]]
    assert len(masked) and (masked == tokenizer.mask_token_id).all()
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    encoder = kd.models.TextEncoder(backbone)
    kd.models.export_preset(
        encoder, tokenizer, tmp_path / "preset", sequence_length=16
    )
    embedder = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / "preset")
    found = embedder.encode(SENTENCES[4:], output_value="token_embeddings")[0]
    row = [tokenizer.start_token_id, *store[4]][:16]
    rows = {
        "token_ids": np.array([row], "int32"),
        "padding_mask": np.ones((1, len(row)), "bool"),
    }
    expected = keras.ops.convert_to_numpy(encoder(rows)["tokens"])
    np.testing.assert_allclose(found, expected[0], atol=1e-5)
    # As keras-hub serves it, padded to the whole length.
    packed = embedder.preprocessor(SENTENCES[4:])
    assert np.asarray(packed["token_ids"])[0, : len(row)].tolist() == row
    # And as a teacher, with tokens.
    teacher = kd.teachers.get(tmp_path / "preset")
    _, spans = teacher.encode_tokens(SENTENCES[4:])[0]
    assert SENTENCES[4][spans[0][0] :].startswith("N")
