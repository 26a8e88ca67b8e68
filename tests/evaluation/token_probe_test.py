import numpy as np
import pytest
from keras import ops

from keras_dinolm.evaluation import entity_f1
from keras_dinolm.evaluation import token_probe


@pytest.mark.once
@pytest.mark.parametrize(
    "true, predicted, f1",
    [
        # All of it; none of it; nothing predicted.
        ("B-P I-P O B-L", "B-P I-P O B-L", 1.0),
        ("B-P O", "O B-P", 0.0),
        ("B-P O", "O O", 0.0),
        # An end too early, a start too early, a wrong type: not found.
        ("B-P I-P O B-L", "B-P O O B-L", 2 * 1 / (2 + 2)),
        ("O B-P I-P B-L", "B-P I-P I-P B-L", 2 * 1 / (2 + 2)),
        ("B-P I-P B-L", "B-L I-L B-L", 2 * 1 / (2 + 2)),
        # One entity cut in two: one true, two predicted, none right.
        ("B-P I-P", "B-P B-P", 0.0),
        # Two side by side, joined by mistake.
        ("B-P B-P O B-P", "B-P I-P O B-P", 2 * 1 / (3 + 2)),
        # Precision 1/3, recall 1/1: F1 = 1/2.
        ("B-P O O O O", "B-P O B-P O B-L", 0.5),
        # CoNLL: an I- after O, or after another type, begins an entity.
        ("B-P I-P O", "I-P I-P O", 1.0),
        ("B-P B-L", "B-P I-L", 1.0),
        ("B-P B-L I-L", "B-P I-L B-L", 2 * 1 / (2 + 3)),
        # The last token belongs to the entity.
        ("O B-P I-P", "O B-P I-P", 1.0),
        # A type with a dash in its name.
        ("B-A-B I-A-B", "B-A-B I-A-B", 1.0),
    ],
)
def test_entity_f1_by_hand(true, predicted, f1):
    assert entity_f1([true.split()], [predicted.split()]) == pytest.approx(f1)


@pytest.mark.once
def test_entities_are_counted_over_all_sentences():
    true = [["B-P", "O"], ["B-P", "I-P", "I-P"], [], ["O"]]
    predicted = [["B-P", "O"], ["B-P", "I-P", "O"], [], ["B-L"]]
    # 1 right of 2 true and 3 predicted; entities end with their sentence.
    assert entity_f1(true, predicted) == pytest.approx(2 / 5)
    assert entity_f1([["B-P"], ["I-P"]], [["B-P"], ["B-P"]]) == 1.0


@pytest.mark.once
@pytest.mark.parametrize(
    "true, predicted, message",
    [
        ([["O", "O"]], [["O", "B-P"]], "at least one entity"),
        ([["B-P", "O"]], [["O"]], "as many tags"),
        ([["B-P"]], [["X-P"]], "`predicted_tags`.*'X-P'"),
        ([["B"]], [["O"]], "`true_tags`.*'B'"),
        ([["B-"]], [["O"]], "'B-'"),
        ([[1]], [["O"]], "Received: 1"),
    ],
)
def test_wrong_tags_are_named(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        entity_f1(true, predicted)


KINDS = {"O": 0, "B-P": 1, "I-P": 2, "B-L": 3, None: 4}


def sentences(seed, num_sentences, noise):
    """Features that tell the tag of their token, more or less."""
    rng = np.random.default_rng(seed)
    tags, features = [], []
    for _ in range(num_sentences):
        row = ["O", "B-P", "I-P", None, "O", "B-L"][rng.integers(3) :]
        x = np.eye(5)[[KINDS[tag] for tag in row]]
        tags.append(row)
        features.append(x + noise * rng.normal(size=x.shape))
    return features, tags


@pytest.mark.once
def test_separable_features_find_all_entities():
    assert token_probe(*sentences(0, 20, 0.01), *sentences(1, 10, 0.01)) == 1.0


@pytest.mark.once
def test_noise_costs_entities():
    train, dev, test = (sentences(seed, 40, 0.5) for seed in (2, 3, 4))
    value = token_probe(*train, *test)
    assert isinstance(value, float) and 0.2 < value < 0.95
    assert 0.2 < token_probe(*train, *test, *dev) < 0.95


@pytest.mark.once
def test_tokens_without_tag_take_no_part():
    train, (features, tags) = sentences(5, 20, 0.01), sentences(6, 10, 0.01)
    # Of the right tag's feature, were it scored.
    for x, row in zip(features, tags, strict=True):
        for j, tag in enumerate(row):
            if tag is None:
                x[j] = 100 * np.eye(5)[KINDS["B-P"]]
    assert token_probe(*train, features, tags) == 1.0


def test_padded_tensors_of_half_precision():
    tags = [["O", "B-P", "I-P", None], ["B-P", "O", None, None]] * 8
    features = np.eye(5)[[[KINDS[tag] for tag in row] for row in tags]]
    features = ops.cast(features, "bfloat16")
    assert token_probe(features, tags, features[:4], tags[:4]) == 1.0


@pytest.mark.once
@pytest.mark.parametrize(
    "change, message",
    [
        ({"test_tags": [["B-P", "O"]]}, "2 tags for the 3 tokens"),
        ({"test_tags": []}, "0 and 1"),
        ({"test_tags": [[None] * 3]}, "at least one token"),
        ({"test_tags": [["O", "O", "NOUN"]]}, "`test_tags`.*'NOUN'"),
        ({"test_features": [np.ones((3, 5))]}, r"`test_features\[0\]`.*4 col"),
        ({"dev_tags": [["O"]]}, "go together"),
        ({"strengths": (1, 2)}, "give `dev_features`"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "train_features": [np.ones((3, 4))],
        "train_tags": [["B-P", "I-P", "O"]],
        "test_features": [np.ones((3, 4))],
        "test_tags": [["B-P", "I-P", "O"]],
    }
    with pytest.raises(ValueError, match=message):
        token_probe(**(arguments | change))
