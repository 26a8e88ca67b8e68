"""Features of teachers beside views: the right ones, and nothing else moves."""

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.runs import fingerprint

pytestmark = pytest.mark.once

# Each word is its own number, and so is its feature.
NUMBERS = [str(n) for n in range(10, 90)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NUMBERS]
TEXTS = [
    " ".join(NUMBERS[(11 * i + j) % 80] for j in range(2 + i % 9))
    for i in range(200)
]


class Reads:
    """A teacher for whom a text is the number of its first and last word."""

    def encode(self, texts):
        words = [text.split() for text in texts]
        return np.array([[int(w[0]), int(w[-1])] for w in words])

    def encode_tokens(self, texts):
        found = []
        for text in texts:
            words = text.split()
            starts = np.arange(len(words)) * 3
            features = [[int(word), -int(word)] for word in words]
            found.append(
                (np.array(features), np.stack([starts, starts + 2], 1))
            )
        return found

    def fingerprint(self):
        return "reads"


class Lengths:
    def encode(self, texts):
        return np.array([[len(text)] for text in texts])

    def fingerprint(self):
        return "lengths"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    tokenizer = kd.models.DinoLMTokenizer(VOCABULARY)
    tokens = kd.data.tokenize(
        TEXTS,
        tokenizer,
        folder / "tokens",
        show_progress=False,
        # Several shards and blocks.
        shard_characters=1_000,
    )

    def features(teacher, name, **options):
        return kd.data.teacher_features(
            teacher, TEXTS, tokens, folder / name, **options
        )

    return {
        "tokens": tokens,
        "views": kd.views.TextViews(tokenizer, sequence_length=8),
        "all": features(Reads(), "all", tokenizer=tokenizer),
        "part": features(
            Reads(), "part", tokenizer=tokenizer, max_documents=120
        ),
        "lengths": features(Lengths(), "lengths", seed=3, max_documents=150),
    }


def _dataset(world, batch_size=16, **options):
    return kd.data.view_dataset(
        world["tokens"],
        world["views"],
        batch_size,
        **{"seed": 1, "block_tokens": 400, "use_tf_data": False, **options},
    )


def _documents(batch):
    """Which document each row is of: its positions tell numbers of words."""
    group = batch["global"]
    found = []
    for ids, positions in zip(group["token_ids"], group["positions"]):
        place = np.flatnonzero(positions[0] >= 0)[0]
        number = ids[0, place] - 5
        first = (number - positions[0, place]) % 80
        found.append({i for i in range(200) if (11 * i) % 80 == first})
    return found


def _check(batch, there=lambda document: True):
    """Compares features with the words that the views hold."""
    zeros = 0
    for group in ("global", "local"):
        arrays = batch[group]
        tokens = arrays["teacher_tokens"]
        assert tokens.dtype == "float16"
        words = arrays["token_ids"] - 5 + 10
        expected = np.stack([words, -words], -1)
        expected = np.where(arrays["positions"][..., None] < 0, 0, expected)
        missing = ~tokens.any((1, 2, 3))
        zeros += missing.sum()
        np.testing.assert_array_equal(tokens[~missing], expected[~missing])
        np.testing.assert_array_equal(
            missing, ~arrays["teacher_sequence"].any(1)
        )
    for row, documents in zip(
        batch["global"]["teacher_sequence"], _documents(batch)
    ):
        if row.any():
            known = [Reads().encode([TEXTS[i]])[0].tolist() for i in documents]
            assert row.tolist() in known
    return zeros


def test_each_view_gets_the_features_of_its_words(world):
    plain = _dataset(world)
    dataset = _dataset(world, features={"teacher": world["all"]})
    for step in (0, 3, 40):
        batch = dataset[step]
        assert not _check(batch)
        # The other arrays are the same to the bit.
        for group, arrays in plain[step].items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(batch[group][name], array)
    later = _dataset(world, features={"teacher": world["all"]}, start_step=40)
    np.testing.assert_array_equal(
        later[0]["local"]["teacher_tokens"],
        dataset[40]["local"]["teacher_tokens"],
    )
    assert dataset.documents(2).shape == (16,)


def test_documents_without_features_have_zeros_or_are_left_out(world):
    features = {"teacher": world["part"]}
    kept = _dataset(world, features=features)
    assert sum(_check(kept[step]) for step in range(10)) > 0
    dataset = _dataset(world, features=features, only_with_features=True)
    assert dataset.steps_per_epoch < kept.steps_per_epoch
    seen = set()
    for step in range(2 * dataset.steps_per_epoch):
        assert not _check(dataset[step])
        seen |= set(dataset.documents(step).tolist())
    assert seen <= set(world["part"].documents.tolist())
    assert len(seen) > 100


def test_left_out_documents_are_as_empty_ones(world, tmp_path):
    """The same batches as from a store in which they have no text."""
    store = world["part"]
    texts = [text if store.has(i) else "" for i, text in enumerate(TEXTS)]
    empty = kd.data.tokenize(
        texts,
        kd.models.DinoLMTokenizer(VOCABULARY),
        tmp_path / "empty",
        show_progress=False,
    )
    options = {"block_tokens": 10_000, "drop_remainder": False}
    restricted = _dataset(
        world, features={"t": store}, only_with_features=True, **options
    )
    expected = _dataset({**world, "tokens": empty}, **options)
    assert restricted.steps_per_epoch == expected.steps_per_epoch
    for step in range(5):
        batch = restricted[step]
        for group, arrays in expected[step].items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(batch[group][name], array)


def test_several_teachers(world):
    features = {"teacher": world["part"], "lengths": world["lengths"]}
    dataset = _dataset(world, features=features, only_with_features=True)
    both = set(world["part"].documents) & set(world["lengths"].documents)
    for step in range(5):
        batch = dataset[step]["local"]
        documents = dataset.documents(step)
        assert set(documents.tolist()) <= both
        assert "lengths_tokens" not in batch
        np.testing.assert_array_equal(
            batch["lengths_sequence"][:, 0], [len(TEXTS[i]) for i in documents]
        )
    joined = kd.data.JoinedFeatures([world["part"], world["lengths"]])
    assert joined.dim == 3 and not joined.has_tokens
    assert set(joined.documents) == both and joined.num_done == len(both)
    alone = _dataset(world, features={"j": joined}, only_with_features=True)
    batch = alone[2]["local"]
    np.testing.assert_array_equal(
        batch["j_sequence"],
        np.concatenate(
            [
                dataset[2]["local"][name]
                for name in ("teacher_sequence", "lengths_sequence")
            ],
            -1,
        ),
    )
    twice = kd.data.JoinedFeatures([world["all"], world["part"]])
    found = twice.tokens_of(np.arange(200), np.zeros((200, 1), int))
    assert found.shape == (200, 1, 4)
    assert (found[..., :2] == found[..., 2:]).all()
    np.testing.assert_array_equal(
        found.any((1, 2)), world["part"].has(range(200))
    )


def test_a_run_knows_its_features(world):
    def origin(**options):
        return fingerprint.of_data(_dataset(world, **options))

    plain = origin()
    assert "features" not in plain
    one = origin(features={"teacher": world["all"]})
    assert one["features"]["teacher"]["teacher"] == world["all"].fingerprint
    other = origin(features={"teacher": world["part"]})
    assert one["features"] != other["features"]


def test_what_does_not_go_together_is_refused(world, tmp_path):
    features = {"teacher": world["all"]}
    with pytest.raises(ValueError, match="use_tf_data=True"):
        _dataset(world, features=features, use_tf_data=True)
    assert isinstance(
        _dataset(world, features=features, use_tf_data=None).views,
        kd.views.TextViews,
    )
    with pytest.raises(ValueError, match="`only_with_features` needs"):
        _dataset(world, only_with_features=True)
    for wrong in ({}, world["all"], {"a b": world["all"]}, {"a": 3}):
        with pytest.raises(ValueError, match="features"):
            _dataset(world, features=wrong)
    other = kd.data.tokenize(
        TEXTS[:99],
        kd.models.DinoLMTokenizer(VOCABULARY),
        tmp_path / "other",
        show_progress=False,
    )
    with pytest.raises(ValueError, match="of those of another one"):
        _dataset({**world, "tokens": other}, features=features)
    with pytest.raises(ValueError, match="same token store"):
        kd.data.JoinedFeatures([])
