"""Alternates: other texts of the same meaning, from a file to the views."""

import json

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.data.alternates import proportional
from keras_dinolm.views.namespace import NUMPY
from tests.data.stores import Windows
from tests.data.stores import assert_equal
from tests.data.stores import build_store
from tests.data.stores import take
from tests.data.stores import word_tokenizer

WIDTH = 16
COUNT = 80
SHARDS = {"shard_characters": 600}
OPTIONS = {"batch_size": 8, "seed": 3, "block_tokens": 2_500}


def make_documents():
    """Documents in which no word occurs twice, in any of their texts.

    Of their lengths, some are below a window and some several windows; some
    documents have no alternate, some have more than there are slots.
    """
    rng = np.random.default_rng(0)
    words = iter(range(10**6))
    documents = []
    for index in range(COUNT):
        lengths = rng.integers(1, 50, 1 + rng.integers(0, 5))
        if index % 2:
            lengths[0] = rng.integers(1, 9)  # for the smaller bucket
        text, *others = (
            " ".join(f"w{next(words)}" for _ in range(n)) for n in lengths
        )
        if index == 7:
            others = [" ", *others, ""]
        documents.append(kd.data.Document(text, str(index), alternates=others))
    return documents


DOCUMENTS = make_documents()


def texts_of(document):
    """The document and its alternates, as lists of words."""
    texts = (document.text, *document.alternates)
    return [text.split() for text in texts if text.split()]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(sum((sum(texts_of(d), []) for d in DOCUMENTS), []))


@pytest.fixture(scope="module")
def store(tokenizer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("store")
    return build_store(DOCUMENTS, tokenizer, directory, **SHARDS)


@pytest.fixture(scope="module")
def origin(tokenizer):
    """For each id: document, number of the text, place, position."""
    found = {}
    for index, document in enumerate(DOCUMENTS):
        position = 0
        for number, words in enumerate(texts_of(document)):
            for place, word in enumerate(words):
                (token,) = tokenizer.tokenize(word)
                found[int(token)] = (index, number, place, position)
                position += 1
    return found


class Drawing(Windows):
    draws_alternates = True


# === Reading and storing ===


@pytest.mark.once
def test_json_lines_bring_alternates(tmp_path):
    values = [["b", "c"], "d", None, [], 3, ["e", 4]]
    records = [{"text": "a", "others": value} for value in values]
    records.append({"text": "a"})
    path = tmp_path / "docs.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    corpus = kd.data.read_jsonl(path, alternates_key="others")
    with pytest.warns(UserWarning, match="2 lines whose 'others' is no list"):
        found = [document.alternates for document in corpus]
    assert found == [("b", "c"), ("d",), (), (), (), (), ()]
    assert not any(d.alternates for d in kd.data.read_jsonl(path))


@pytest.mark.once
def test_a_single_string_is_no_list_of_alternates():
    with pytest.raises(ValueError, match="alternates='abc'"):
        kd.data.Document("a", alternates="abc")
    with pytest.raises(ValueError, match="alternates"):
        kd.data.train_tokenizer([{"text": "a", "alternates": [1]}])


@pytest.mark.once
def test_the_tokenizer_learns_the_words_of_alternates():
    documents = [{"text": "one two", "alternates": ["drei vier"]}] * 9
    tokenizer = kd.data.train_tokenizer(documents, vocabulary_size=60)
    assert tokenizer.tokenize("drei").shape == (1,)


@pytest.mark.once
def test_a_store_holds_the_alternates_of_each_document(store, tokenizer):
    assert len(store.shards) > 5
    for index, document in enumerate(DOCUMENTS):
        expected = [tokenizer.tokenize(t) for t in document.alternates]
        expected = [list(row) for row in expected if len(row)]
        found = [row.tolist() for row in store.alternates(index)]
        assert found == expected
        assert store[index].tolist() == list(tokenizer.tokenize(document.text))
    counts = [len(texts_of(d)) - 1 for d in DOCUMENTS]
    assert store.num_alternates == sum(counts)
    assert store.most_alternates == max(counts) == 4
    assert store.num_alternate_tokens == sum(
        len(words) for d in DOCUMENTS for words in texts_of(d)[1:]
    )
    again = kd.data.TokenStore.open(store.directory, tokenizer)
    assert again.alternates(0)[0].dtype == "int32"


@pytest.mark.once
def test_a_shard_without_alternates_among_others(tokenizer, tmp_path):
    plain = [kd.data.Document(d.text) for d in DOCUMENTS]
    documents = [*plain[:30], *DOCUMENTS[30:]]
    store = build_store(documents, tokenizer, tmp_path, **SHARDS)
    assert store.shards[0]["alternates"] == 0
    assert store.alternates(3) == [] and store.alternates(-1)
    # Interrupted before the end, it goes on and ends the same.
    files = {p: p.read_bytes() for p in tmp_path.iterdir()}
    for name in ("header.json", "shard-00000.alternate_counts"):
        (tmp_path / name).unlink()
    with pytest.warns(UserWarning, match="alternate_counts is missing"):
        build_store(documents, tokenizer, tmp_path, **SHARDS)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == files
    (tmp_path / "shard-00001.alternates").unlink()
    with pytest.raises(FileNotFoundError, match="shard-00001.alternates is"):
        kd.data.TokenStore.open(tmp_path, tokenizer)


@pytest.mark.once
def test_other_alternates_are_another_corpus(store, tokenizer):
    changed = list(DOCUMENTS)
    last = next(i for i in range(COUNT) if DOCUMENTS[i].alternates)
    texts = (*changed[last].alternates[:-1], "w1 w2")
    changed[last] = kd.data.Document(changed[last].text, alternates=texts)
    with pytest.raises(ValueError, match="another corpus"):
        build_store(changed, tokenizer, store.directory, **SHARDS)


# === Windows ===


@pytest.mark.once
@pytest.mark.parametrize("value", [0, 1, 6, 12345, 2**31 - 1])
def test_proportions_of_any_size(value):
    rng = np.random.default_rng(value)
    below = rng.integers(1, 2**31, 200)
    below[:4] = (1, 2, 2**31 - 1, 2**30)
    above = (below * rng.random(200)).astype(int)
    above[4:50] = below[4:50]
    found = proportional(*(np.int32(x) for x in ([value], above, below)), NUMPY)
    expected = [value * int(a) // int(b) for a, b in zip(above, below)]
    assert found.tolist() == expected and found.dtype == "int32"


@pytest.mark.once
@pytest.mark.parametrize("slots", [2, 4])
def test_windows_come_with_parts_of_alternates(store, origin, slots):
    dataset = kd.data.view_dataset(
        store, Drawing(), max_alternates=slots, use_tf_data=False, **OPTIONS
    )
    seen, widths = set(), set()
    for batch in take(dataset, 6 * dataset.steps_per_epoch):
        width = batch["token_ids"].shape[1]
        widths.add(width)
        assert batch["alternate_ids"].shape == (8, slots, width)
        for row in range(8):
            index, _, _, start = origin[int(batch["token_ids"][row, 0])]
            texts = texts_of(DOCUMENTS[index])
            assert start == batch["starts"][row]
            rest = len(texts[0]) - batch["lengths"][row]
            numbers = []
            for slot in range(slots):
                ids = batch["alternate_ids"][row, slot]
                length = int(batch["alternate_lengths"][row, slot])
                assert not ids[length:].any()
                if not length:
                    continue
                found = [origin[int(i)] for i in ids[:length]]
                owner, number, place, position = found[0]
                assert owner == index and number > 0
                assert found == [
                    (owner, number, place + i, position + i)
                    for i in range(length)
                ]
                assert batch["alternate_starts"][row, slot] == position
                whole = len(texts[number])
                assert length == min(whole, width)
                if rest:
                    room = whole - length
                    assert place == room * start // rest
                numbers.append(number)
                seen.add((index, number))
            assert len(set(numbers)) == len(numbers)
            assert len(numbers) == min(len(texts) - 1, slots)
            # Unused slots come last.
            used = batch["alternate_lengths"][row] > 0
            assert used.tolist() == sorted(used, reverse=True)
    assert len(widths) == 2
    # In six epochs nearly all of a document's alternates had their turn.
    assert len(seen) > 0.9 * store.num_alternates


@pytest.mark.once
def test_short_documents_see_all_of_a_long_alternate(tokenizer, tmp_path):
    long = max(DOCUMENTS, key=lambda d: len(d.text)).text
    documents = [kd.data.Document("w0", alternates=[long])] * 8
    with pytest.warns(UserWarning, match="distinct"):
        store = build_store(documents, tokenizer, tmp_path, **SHARDS)
    dataset = kd.data.view_dataset(store, Drawing(), 8, use_tf_data=False)
    ids = [batch["alternate_ids"] for batch in take(dataset, 40)]
    assert set(np.unique(ids)) == set(tokenizer.tokenize(long).tolist())


# === Views ===


def make_views(tokenizer, probability=0.5, **kwargs):
    group = kd.views.ViewGroup
    return kd.views.TextViews(
        tokenizer,
        WIDTH + 1,
        [
            group("plain", 2, span=(0.5, 1.0)),
            group("mixed", 3, alternate_probability=probability, **kwargs),
        ],
    )


def check_views(batches, origin):
    """Every token is where its position says; the share of alternates."""
    drawn = []
    for batch in batches:
        for name, group in batch.items():
            for ids, positions in zip(
                group["token_ids"].reshape(-1, group["token_ids"].shape[-1]),
                group["positions"].reshape(-1, group["positions"].shape[-1]),
            ):
                real = positions >= 0
                found = [origin[int(i)] for i in ids[real]]
                assert [f[3] for f in found] == positions[real].tolist()
                assert len({f[:2] for f in found}) == 1  # one text
                index, number, *_ = found[0]
                assert name == "mixed" or number == 0
                if name == "mixed" and len(texts_of(DOCUMENTS[index])) > 1:
                    drawn.append(number > 0)
    return np.mean(drawn)


def test_views_are_cut_from_any_text_and_positions_stay_true(
    store, tokenizer, origin
):
    views = make_views(tokenizer, span=(0.3, 0.9))
    plain = kd.data.view_dataset(store, views, use_tf_data=False, **OPTIONS)
    batches = take(plain, 2 * plain.steps_per_epoch + 3)
    share = check_views(batches, origin)
    assert 0.4 < share < 0.6
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        return
    start = plain.steps_per_epoch - 3
    options = {"start_step": start, "use_tf_data": True, **OPTIONS}
    graph = kd.data.view_dataset(store, views, **options)
    batches = batches[start:]
    for one, other in zip(take(graph, len(batches)), batches, strict=True):
        assert_equal(one, other)
    assert len({b["mixed"]["token_ids"].shape for b in batches}) == 2


@pytest.mark.once
def test_texts_that_are_not_on_disk(tokenizer, origin):
    views = make_views(tokenizer, 1.0, span=(0.3, 0.9))
    options = {"tokenizer": tokenizer, "num_epochs": 2, "max_alternates": 3}
    stream = kd.data.stream_dataset(DOCUMENTS, views, 8, **options)
    assert check_views(take(stream, 100), origin) == 1.0
    again = kd.data.stream_dataset(DOCUMENTS, views, 8, **options)
    once = kd.data.stream_dataset(DOCUMENTS, views, 8, start_step=3, **options)
    assert_equal(take(again, 4)[3], take(once, 1)[0])


@pytest.mark.once
def test_views_that_draw_none_have_the_bits_of_a_plain_corpus(
    tokenizer, tmp_path
):
    # In one shard: where shards are cut, alternates count.
    options = {**SHARDS, "shard_characters": 10**6}
    plain = [document.text for document in DOCUMENTS]
    one = build_store(plain, tokenizer, tmp_path / "plain", **options)
    assert not list((tmp_path / "plain").glob("*alternate*"))
    assert not any("alternate" in key for key in one.shards[0]["checksums"])
    two = build_store(DOCUMENTS, tokenizer, tmp_path / "with", **options)
    never = make_views(tokenizer, 0.0)
    half = make_views(tokenizer, 0.5)
    without, drawing_none, drawing = (
        take(kd.data.view_dataset(s, v, use_tf_data=False, **OPTIONS), 9)
        for s, v in ((one, never), (two, never), (two, half))
    )
    for expected, found, mixed in zip(without, drawing_none, drawing):
        assert_equal(found, expected)
        # Nor does a group that draws change one that does not.
        assert_equal(mixed["plain"], expected["plain"])


def test_refuses(tokenizer, tmp_path):
    texts = [f"w{i} w{i + 1}" for i in range(8)]
    store = build_store(texts, tokenizer, tmp_path, **SHARDS)
    views = make_views(tokenizer)
    with pytest.raises(ValueError, match="no document of the store .* has any"):
        kd.data.view_dataset(store, views, 8)
    windows = {"token_ids": np.ones((2, 4), int), "lengths": np.array([4, 4])}
    with pytest.raises(ValueError, match="alternate_ids.*`view_dataset`"):
        views(windows)
    windows["alternate_ids"] = np.ones((2, 1, 3), int)
    windows["alternate_lengths"] = windows["alternate_starts"] = np.ones((2, 1))
    with pytest.raises(ValueError, match=r"static shapes \[B, S, W\]"):
        views(windows)
    with pytest.raises(ValueError, match="alternate_probability=1.5"):
        kd.views.ViewGroup("a", 1, alternate_probability=1.5)
    with pytest.raises(ValueError, match="max_alternates=0"):
        kd.data.view_dataset(store, views, 8, max_alternates=0)
