"""The prototype atlas against assignments in float64."""

import numpy as np
import pytest

from keras_dinolm.pictures import PrototypeAtlas
from keras_dinolm.pictures import TextReader
from keras_dinolm.pictures import prototype_atlas
from tests import tiny
from tests.pictures import pieces
from tests.pictures import reference

RNG = np.random.default_rng(0)
WORDS = ["the", "foxes", "dog", "ran", ".", "&", "猫"]
# One shape of all batches: little is compiled.
SIZE = 16
TEXTS = [" ".join(RNG.choice(WORDS, size=n)) for n in RNG.integers(1, 12, 20)]


@pytest.fixture(scope="module")
def reader():
    return pieces.reader()


def _rows(reader, texts, length):
    """Spans of at most that many ids, as even as can be."""
    for text in texts:
        ids = reader.ids(text)
        count = -(-len(ids) // length)
        size, larger = divmod(len(ids), count)
        begin = 0
        for i in range(count):
            end = begin + size + (i < larger)
            yield reader.row(ids[begin:end])
            begin = end


def _expected(reader, head, kind, texts=TEXTS, length=6):
    rows = list(_rows(reader, texts, length))
    features = [f[kind] for f in reader.features(rows, SIZE)]
    if kind == "tokens":
        features = [f[1:] for f in features]
    return reference.cosines(reader.tower, head, np.vstack(features))


@pytest.mark.parametrize("head", ["sequence", "token"])
def test_counts_cosines_and_order_are_those_of_float64(reader, head):
    kind = {"sequence": "sequence", "token": "tokens"}[head]
    cosines = _expected(reader, head, kind)
    best = cosines.argmax(axis=1)
    atlas = prototype_atlas(
        reader,
        TEXTS,
        head,
        num_prototypes=4,
        num_spans=2,
        span_length=6,
        batch_size=SIZE,
    )
    np.testing.assert_array_equal(atlas.counts, np.bincount(best, minlength=12))
    assert atlas.num_texts == 20 and atlas.unit == kind.replace(
        "sequence", "spans"
    )
    shown = [p.index for p in atlas.prototypes]
    most = sorted(range(12), key=lambda k: (-atlas.counts[k], k))
    assert shown == [k for k in most if atlas.counts[k]][:4]
    for prototype in atlas.prototypes:
        assert prototype.count == atlas.counts[prototype.index]
        members = np.sort(cosines[best == prototype.index, prototype.index])
        found = [span.cosine for span in prototype.spans]
        assert found == sorted(found, reverse=True)
        np.testing.assert_allclose(found[0], members[-1], atol=1e-5)
        # Each is that of a member, and no two are the same text.
        for cosine in found:
            assert np.abs(members - cosine).min() < 1e-5
        assert len(set(prototype.spans)) == len(found) <= 2


def test_tied_heads_assign_tokens_too(reader):
    cosines = _expected(reader, "sequence", "tokens")
    atlas = prototype_atlas(
        reader,
        TEXTS,
        "sequence",
        unit="tokens",
        span_length=6,
        batch_size=5,  # the size does not matter
    )
    expected = np.bincount(cosines.argmax(axis=1), minlength=12)
    np.testing.assert_array_equal(atlas.counts, expected)


def test_all_prototypes_together_list_every_span_once(reader):
    short = [text for text in TEXTS if len(reader.ids(text)) < 12][:6]
    texts = [*short, *short[:3], ""]
    atlas = prototype_atlas(
        reader, texts, num_prototypes=12, num_spans=99, batch_size=SIZE
    )
    found = {
        span.text: span.times for p in atlas.prototypes for span in p.spans
    }
    joined = [reader.pieces.join(reader.ids(t)).strip() for t in texts if t]
    assert found == {text: joined.count(text) for text in joined}
    assert atlas.counts.sum() == 9 and atlas.num_texts == 10


def test_words_stand_in_their_context(reader):
    texts = ["the foxes ran."] * 2 + ["dog " * 12]
    atlas = prototype_atlas(
        reader, texts, "token", num_prototypes=12, num_spans=99
    )
    spans = [span for p in atlas.prototypes for span in p.spans]
    dogs = [span for span in spans if span.text == "dog"]
    others = [span for span in spans if span.text != "dog"]
    assert sorted(span.text for span in others) == [
        ".", "es", "fox", "ran", "the",
    ]  # fmt: skip
    for span in others:
        assert span.before + span.text + span.after == "the foxes ran ."
        assert span.times == 2
    # Eight words to either side, if there are as many.
    found = sorted(len(s.before.split()) for s in dogs for _ in range(s.times))
    assert found == sorted(min(i, 8) for i in range(12))
    found = sorted(len(s.after.split()) for s in dogs for _ in range(s.times))
    assert found == sorted(min(11 - i, 8) for i in range(12))


def test_usage_is_counted_by_perplexity():
    even = PrototypeAtlas("sequence", "spans", np.full(8, 3), (), 1)
    assert even.perplexity == pytest.approx(8.0) and even.num_used == 8
    single = PrototypeAtlas("sequence", "spans", np.array([0, 5]), (), 1)
    assert single.perplexity == pytest.approx(1.0) and single.num_used == 1
    assert "1 of 2 prototypes" in single.describe()


def test_presets_bring_their_heads_or_the_way_to_them(reader, tmp_path):
    model = pieces.model()
    for variable in model.teacher.weights:
        variable.assign(variable + 0.1)
    model.export_preset(tmp_path / "preset", pieces.tokenizer(), heads=True)
    again = TextReader.from_preset(tmp_path / "preset")
    assert again.heads == ("sequence", "token")
    expected = tiny.values(model.teacher.weights)
    for a, b in zip(tiny.values(again.tower.weights), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    # As if it had been written without them.
    (tmp_path / "preset" / "heads.json").unlink()
    bare = TextReader.from_preset(tmp_path / "preset")
    assert bare.heads == ()
    with pytest.raises(ValueError, match="heads=True"):
        prototype_atlas(bare, TEXTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": TEXTS, "head": "tokens"}, r"\('sequence', 'token'\)"),
        ({"texts": TEXTS, "unit": "words"}, "one of 'spans', 'tokens'"),
        ({"texts": ["", " "]}, "at least one token.*2 texts"),
        ({"texts": []}, "at least one token.*0 texts"),
        ({"texts": "a text"}, "iterable of documents"),
        ({"texts": TEXTS, "span_length": 0}, "span_length"),
        ({"texts": TEXTS, "num_prototypes": 0}, "num_prototypes"),
        ({"texts": TEXTS, "num_spans": 0}, "num_spans"),
    ],
)
def test_wrong_arguments_are_named(reader, arguments, message):
    with pytest.raises(ValueError, match=message):
        prototype_atlas(reader, **arguments)
