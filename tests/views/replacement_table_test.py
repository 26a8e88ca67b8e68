"""Tables of synonyms and typos, against a plain edit distance."""

import itertools
import json

import keras
import numpy as np
import pytest

import keras_dinolm as kd

# Everything here is NumPy; `agreement_test.py` compares the backends with it.
pytestmark = pytest.mark.once

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class WordPiece:
    """What the tables ask of a tokenizer."""

    pad_token_id, cls_token_id, mask_token_id = 0, 2, 4
    suffix_indicator = "##"

    def __init__(self, words):
        self.words = words

    def get_vocabulary(self):
        return SPECIAL + self.words


def distance(a, b):
    """Optimal string alignment: edits and exchanges of neighbours."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0] = np.arange(len(a) + 1)
    table[0] = np.arange(len(b) + 1)
    for i, j in itertools.product(range(len(a)), range(len(b))):
        choices = [
            table[i, j + 1] + 1,
            table[i + 1, j] + 1,
            table[i, j] + (a[i] != b[j]),
        ]
        if i and j and a[i] == b[j - 1] and a[i - 1] == b[j]:
            choices.append(table[i - 1, j - 1] + 1)
        table[i + 1, j + 1] = min(choices)
    return table[-1, -1]


def test_typos_are_the_tokens_at_distance_one():
    rng = np.random.default_rng(0)
    words = {
        "".join(rng.choice(list("abc"), rng.integers(3, 7))) for _ in range(90)
    }
    words = sorted(words)
    words = words + ["##" + word for word in words[::2]] + ["abc1", "abc2"]
    table = kd.views.typo_table(WordPiece(words))
    found = 0
    for i, word in enumerate(words):
        letters = word.removeprefix("##")
        expected = [
            len(SPECIAL) + j
            for j, other in enumerate(words)
            if word.startswith("##") == other.startswith("##")
            and min(len(letters), len(other.removeprefix("##"))) > 3
            and letters.isalpha()
            and other.removeprefix("##").isalpha()
            and distance(letters, other.removeprefix("##")) == 1
        ]
        assert table[len(SPECIAL) + i] == expected, word
        found += bool(expected)
    assert found > 50
    assert [table[i] for i in range(5)] == [[]] * 5
    assert table.counts == {"tokens": 5 + len(words), "with_typo": found}


def test_synonyms_are_read_by_lines_and_counted(tmp_path):
    words = ["big", "large", "huge", "red", "##ing", "car", "paris"]
    path = tmp_path / "synonyms.tsv"
    path.write_text(
        "big\tlarge\tvery big\n\nhuge \tbig\nred\tscarlet\n[MASK]\tcar\n"
        "Paris\t##ing\n",
        encoding="utf-8",
    )
    table = kd.views.synonym_table(path, WordPiece(words))
    ids = {word: i for i, word in enumerate(SPECIAL + words)}
    assert table[ids["big"]] == [ids["large"], ids["huge"]]
    assert table[ids["large"]] == [ids["big"]]
    assert table[ids["huge"]] == [ids["big"]]
    for word in ("red", "car", "paris", "##ing", "[MASK]"):
        assert table[ids[word]] == []
    assert table.counts == {
        "words": 10,
        "not_one_token": 4,  # "very big", "scarlet", "[MASK]", "##ing"
        "without_synonym": 3,  # "red", "car", "Paris"
    }


def test_tables_survive_serialisation():
    table = kd.views.ReplacementTable.of({3: [1, 2], 7: [6]}, 8, {"words": 3})
    config = keras.saving.serialize_keras_object(table)
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(config))
    )
    assert [again[i] for i in range(8)] == [table[i] for i in range(8)]
    assert [table[i] for i in (0, 3, 7)] == [[], [1, 2], [6]]
    assert again.counts == {"words": 3}
    empty = kd.views.ReplacementTable.of({}, 4)
    assert [empty[i] for i in range(4)] == [[]] * 4


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="from 1 to 9 with vocabulary_size=9"):
        kd.views.ReplacementTable.of({1: [9]}, 9)
    for make in (
        kd.views.typo_table,
        lambda tokenizer: kd.views.synonym_table("none.tsv", tokenizer),
    ):
        with pytest.raises(ValueError, match="WordPiece tokenizer"):
            make(object())


def test_a_file_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "synonyms.tsv"
    path.write_bytes("café\tbar\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"synonyms\.tsv' is not UTF-8.*iconv"):
        kd.views.synonym_table(path, WordPiece(["bar"]))


def test_a_byte_order_mark_is_no_letter(tmp_path):
    path = tmp_path / "synonyms.tsv"
    path.write_text("big\tlarge\n", encoding="utf-8-sig")
    table = kd.views.synonym_table(path, WordPiece(["big", "large"]))
    assert table[5] == [6]
    assert table.counts["not_one_token"] == 0
