"""`keras_dinolm.arguments`: each check takes what fits and names what not."""

import fractions
import math
import pathlib

import numpy as np
import pandas as pd
import pytest

from keras_dinolm import arguments

pytestmark = pytest.mark.once

NO_NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    np.float32("nan"),
    True,
    "1",
    None,
    1j,
    [1],
    np.ones(1),
    object(),
    10**400,
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match="`rate` must be a finite.*: rate="):
        arguments.number("rate", value)


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS[:-1], 1.0, np.float64(1)], ids=repr
)
def test_what_is_no_integer_is_refused_by_name(value):
    with pytest.raises(ValueError, match="`steps` must be an integer.*steps="):
        arguments.integer("steps", value)


def test_numbers_of_every_kind_pass():
    for value in (1, 1.0, np.float32(1), np.int8(1), fractions.Fraction(1)):
        result = arguments.number("rate", value, 1, 1)
        assert type(result) is float and result == 1.0
    result = arguments.integer("steps", np.uint8(255), 255, 255)
    assert type(result) is int and result == 255


@pytest.mark.parametrize(
    "limits, bad, good",
    [
        ({"low": 0}, -1, 0),
        ({"high": 2}, 3, 2),
        ({"above": 0}, 0, 1),
        ({"below": 1}, 1, 0),
        ({"low": 0, "below": 1}, 1, 0),
        ({"low": 0, "high": 1}, 2, 1),
    ],
)
def test_ranges(limits, bad, good):
    assert arguments.number("x", good, **limits) == good
    with pytest.raises(ValueError, match=f"x={bad}"):
        arguments.number("x", bad, **limits)


def test_flags_and_choices_are_not_numbers():
    assert arguments.flag("on", np.True_) is True
    for value in (1, 0, "True", None, np.ones(1, bool)):
        with pytest.raises(ValueError, match="`on` must be `True` or `False`"):
            arguments.flag("on", value)
    assert arguments.choice("mode", np.str_("min"), ("min", "max")) == "min"
    for value in ("mean", None, np.array(["min"]), ["min"], 1):
        with pytest.raises(ValueError, match="one of 'min', 'max'.*mode="):
            arguments.choice("mode", value, ("min", "max"))
    with pytest.raises(ValueError, match="one of 1, 2"):
        arguments.choice("order", True, (1, 2))


def test_paths_and_strings():
    assert arguments.path("path", "~/a") == pathlib.Path.home() / "a"
    for value in ("", 3, None, b"a", "a\0b"):
        with pytest.raises(ValueError, match="`path` must be a path"):
            arguments.path("path", value)
        if value != "a\0b":
            with pytest.raises(ValueError, match="`name` must be a string"):
                arguments.string("name", value)


COLUMNS = {
    "a list": ["a", "b"],
    "a tuple": ("a", "b"),
    "a generator": (text for text in "ab"),
    "NumPy": np.array(["a", "b"]),
    "NumPy, objects": np.array(["a", "b"], object),
    "pandas": pd.Series(["a", "b"], index=[7, 7]),
    "pandas, categories": pd.Series(["a", "b"], dtype="category"),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_texts(kind):
    found = arguments.strings("texts", COLUMNS[kind])
    assert found == ["a", "b"]
    assert {type(text) for text in found} == {str}


@pytest.mark.parametrize(
    "value, cure",
    [
        ("one text", r"write `texts=\[...\]`"),
        (b"bytes", "a list of strings"),
        (pathlib.Path("a.txt"), "a list of strings"),
        ({"text": ["a"]}, r"`texts=table\['text'\]`"),
        (pd.DataFrame({"text": ["a"], "label": [1]}), "'text', 'label'"),
        (np.array("a"), "a list of strings"),
        (np.array([["a"]]), "a list of strings"),
        (None, "a list of strings"),
        (3, "a list of strings"),
        (["a", None], r"texts\[1\]=None, a missing value"),
        (pd.Series(["a", math.nan]), r"texts\[1\]=nan, a missing value"),
        (pd.Series(["a", pd.NA], dtype="string"), r"\[1\]=<NA>, a missing"),
        (["a", b"b"], r"texts\[1\]=b'b', of type bytes"),
        ([["a"]], r"texts\[0\]=\['a'\], of type list"),
    ],
)
def test_what_is_no_list_of_texts_is_refused_with_the_cure(value, cure):
    with pytest.raises(ValueError, match=cure):
        arguments.strings("texts", value)


@pytest.mark.filterwarnings("ignore:Determining the column names")
def test_other_tables_of_texts():
    arrow = pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    column = arrow.chunked_array([["a"], ["b"]])
    assert arguments.strings("texts", column) == ["a", "b"]
    assert arguments.strings("texts", polars.Series(["a", "b"])) == ["a", "b"]
    for table in (
        arrow.table({"words": ["a"]}),
        polars.DataFrame({"words": ["a"]}),
        polars.DataFrame({"words": ["a"]}).lazy(),
    ):
        with pytest.raises(ValueError, match=r"table\['words'\]"):
            arguments.strings("texts", table)


def test_texts_are_read_as_they_are_asked_for():
    def endless():
        while True:
            yield "a"

    assert next(arguments.texts("texts", endless())) == "a"


def test_values_without_a_repr_do_not_hide_the_error():
    class Bad:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(ValueError, match="rate=<Bad>"):
        arguments.number("rate", Bad())
