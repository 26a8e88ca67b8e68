"""Batches of texts that are not on disk."""

import inspect

import numpy as np
import pytest

import keras_dinolm as kd
from tests.data.stores import Windows
from tests.data.stores import assert_equal
from tests.data.stores import build_store
from tests.data.stores import take
from tests.data.stores import word_tokenizer

pytestmark = pytest.mark.once

WORDS = [f"w{i}" for i in range(50)]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(WORDS)


def make_texts(count=150):
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 50, count)
    return [" ".join(generator.choice(WORDS, n)) for n in lengths]


def stream(texts, tokenizer, **options):
    options = {"batch_size": 8, "tokenizer": tokenizer, **options}
    return kd.data.stream_dataset(texts, Windows(), **options)


def test_texts_that_are_not_on_disk(tokenizer):
    texts = make_texts()
    options = {"num_epochs": 1, "shuffle_buffer": 20}
    dataset = stream(iter(texts), tokenizer, **options)
    batches = take(dataset, 10_000)
    windows = sum(-(-len(t.split()) // 16) for t in texts)
    assert len(batches) == windows // 8
    again = stream(texts, tokenizer, start_step=4, **options)
    for one, other in zip(take(again, 3), batches[4:]):
        assert_equal(one, other)
    assert_equal(take([again[0]], 1)[0], batches[4])
    with pytest.raises(ValueError, match="forward.*index=9"):
        again[9]


def test_texts_end_or_begin_again(tokenizer):
    forever = stream(["w1 w2"] * 3, tokenizer)
    assert len(take(forever, 10)) == 10
    twice = stream(["w1 w2"] * 8, tokenizer, num_epochs=2)
    assert len(take(twice, 10)) == 2
    once = stream(iter(["w1 w2"] * 20), tokenizer)
    assert len(take(once, 10)) == 2
    with pytest.raises(IndexError, match="texts ended before batch 2"):
        once[2]


def test_the_buffer_is_as_large_as_it_says(tokenizer):
    def order(size):
        dataset = stream(WORDS, tokenizer, shuffle_buffer=size, num_epochs=1)
        return [
            int(row[0]) - 5 for b in take(dataset, 9) for row in b["token_ids"]
        ]

    assert order(1) == list(range(48))
    # A word can come at most two places before its turn.
    found = order(3)
    assert found != sorted(found)
    assert all(word - place <= 2 for place, word in enumerate(found))


def test_a_dataset_carries_its_views(tokenizer):
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    dataset = kd.data.stream_dataset(["w1 w2"] * 9, views, 8, tokenizer)
    assert dataset.views is views
    assert take(dataset, 1)[0].keys() == views.roles.keys()


def test_an_empty_corpus_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="The corpus is empty"):
        next(iter(stream(["", " "], tokenizer)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": "w1 w2"}, r"`texts`.*`\[text\]`.*texts='w1 w2'"),
        ({"texts": {"text": "w1"}}, r"`texts`.*`\[text\]`"),
        ({"texts": 3}, "`texts` must be an iterable.*texts=3"),
        ({"views": len}, "`views`.*`keras_dinolm.views.TextViews`"),
        ({"batch_size": 0}, "`batch_size`.*batch_size=0"),
        ({"tokenizer": None}, "`tokenizer` must be.*tokenizer=None"),
        ({"seed": 1.5}, "`seed`.*seed=1.5"),
        ({"start_step": "0"}, "`start_step`.*start_step='0'"),
        ({"num_epochs": 0}, "`num_epochs`.*num_epochs=0"),
        ({"texts": iter("ab"), "num_epochs": 2}, "can be read once only"),
        ({"shuffle_buffer": 0}, "`shuffle_buffer`.*shuffle_buffer=0"),
        ({"max_alternates": 2}, "`max_alternates` is for views"),
    ],
)
def test_wrong_arguments_are_named(tokenizer, options, message):
    arguments = {
        "texts": ["w1 w2"],
        "views": Windows(),
        "batch_size": 8,
        "tokenizer": tokenizer,
    }
    with pytest.raises(ValueError, match=message):
        kd.data.stream_dataset(**{**arguments, **options})


def test_a_store_is_sent_to_view_dataset(tokenizer, tmp_path):
    store = build_store(["w1 w2", "w3"], tokenizer, tmp_path)
    with pytest.raises(ValueError, match="`keras_dinolm.data.view_dataset`"):
        stream(store, tokenizer)


def test_a_stream_has_no_arguments_that_it_does_not_use():
    names = inspect.signature(kd.data.stream_dataset).parameters
    stores = {"drop_remainder", "buckets", "block_tokens", "homogeneous"}
    assert stores.isdisjoint(names) and "use_tf_data" not in names
    names = inspect.signature(kd.data.view_dataset).parameters
    assert "shuffle_buffer" not in names
