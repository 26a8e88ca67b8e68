"""`piece_spans` against the offsets that other libraries report."""

import hypothesis
import pytest
import tokenizers
from hypothesis import strategies

from keras_dinolm.teachers import pieces
from keras_dinolm.text.piece_spans import piece_spans

pytestmark = pytest.mark.once

TEXTS = [
    "The Fibonacci café is closed; tokenization!",
    "Zürich, 東京 and São Paulo",
    "naïve ﬁles… cost 12.50 €",
    "  many   spaces\n\nand lines\t.",
    "an emoji 😀 in between",
    "НЕЛЬЗЯ is Russian, नमस्ते is not",
    "",
]
LETTERS = strategies.text("ab Éé,.😀東न्\n", max_size=30)


def _word_piece():
    """A BERT tokenizer without case that knows some words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789;!,.東a"))
    words = ["the", "cafe", "token", "##ization", "paulo", "and", "lines"]
    vocabulary = special + words + letters + ["##" + x for x in letters]
    return tokenizers.BertWordPieceTokenizer(
        {token: index for index, token in enumerate(dict.fromkeys(vocabulary))}
    )


@pytest.mark.parametrize("text", TEXTS)
def test_word_pieces_lie_where_bert_says(text):
    found = _word_piece().encode(text, add_special_tokens=False)
    spelled = [
        None if token == "[UNK]" else pieces.bytes_of(token, pieces.WORD_PIECE)
        for token in found.tokens
    ]
    spans = piece_spans(text, spelled)
    assert [tuple(span) for span in spans.tolist()] == found.offsets


@hypothesis.given(LETTERS)
def test_spans_of_any_text_are_in_order_and_cover_known_words(text):
    found = _word_piece().encode(text, add_special_tokens=False)
    spelled = [
        None if token == "[UNK]" else pieces.bytes_of(token, pieces.WORD_PIECE)
        for token in found.tokens
    ]
    spans = piece_spans(text, spelled)
    assert (spans[1:, 0] >= spans[:-1, 0]).all()
    assert (spans[:, 1] >= spans[:, 0]).all()
    if "[UNK]" not in found.tokens:
        assert [tuple(span) for span in spans.tolist()] == found.offsets


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("space", [False, True])
def test_bytes_lie_where_the_byte_level_tokenizer_says(text, space):
    """Also those that are a part of a character."""
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {c: i for i, c in enumerate(sorted(alphabet))}, []
        )
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=space
    )
    found = tokenizer.encode(text)
    spelled = [pieces.bytes_of(token, pieces.BYTES) for token in found.tokens]
    spans = piece_spans(text, spelled).tolist()
    # The space that was put before the text has no place in it.
    first = 1 if space and text and not text[0].isspace() else 0
    assert [tuple(s) for s in spans][first:] == found.offsets[first:]


@pytest.mark.parametrize("text", TEXTS)
def test_unigram_pieces_lie_where_sentencepiece_says(text, tmp_path):
    import sentencepiece

    model = _unigram(tmp_path)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    spelled, texts = [], []
    for piece in processor.encode(text, return_type="proto").pieces:
        known = piece.id != processor.unk_id()
        spelled.append(
            pieces.bytes_of(piece.piece, pieces.WORDS_WITH_SPACES)
            if known
            else None
        )
        texts.append(piece.surface)
    spans = piece_spans(text, spelled)
    found = [text[a:b] for a, b in spans]
    # Whether the space belongs to the word before or after is a matter of
    # taste, and no alignment depends on it.
    for ours, theirs in zip(found, texts, strict=True):
        # Of two pieces of one ligature, the library gives it to the second.
        assert ours.strip() == theirs.strip() or not theirs


def _unigram(folder, _made={}):  # noqa: B006
    import sentencepiece

    if not _made:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([t for t in TEXTS if t] * 20),
            model_prefix=str(folder / "m"),
            vocab_size=70,
            character_coverage=0.98,
            minloglevel=2,
        )
        _made["model"] = (folder / "m.model").read_bytes()
    return _made["model"]


def test_unknown_tokens_take_what_lies_between():
    spans = piece_spans("xyzabc a dog", [None, b"a", b"dog"])
    assert spans.tolist() == [[0, 6], [7, 8], [9, 12]]
    spans = piece_spans("Unknown words here", [None, None, b"here"])
    assert spans.tolist() == [[0, 7], [8, 13], [14, 18]]


def test_pieces_may_end_before_the_text():
    spans = piece_spans("one two three", [b"one", b"two"])
    assert spans.tolist() == [[0, 3], [4, 7]]
