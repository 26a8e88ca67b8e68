"""JSON in every form that files have: lines, arrays, objects over lines."""

import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_dinolm.data import read_jsonl
from keras_dinolm.data.corpora.json_values import json_values

pytestmark = pytest.mark.once

RECORDS = st.lists(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


def _each(rows, how, joint, indent=None):
    return joint.join(json.dumps(row, indent=indent, **how) for row in rows)


FORMS = {
    "lines": lambda rows, **how: _each(rows, how, "\n"),
    "windows": lambda rows, **how: _each(rows, how, "\r\n\r\n") + "\r\n",
    "one line": lambda rows, **how: _each(rows, how, " "),
    "array": lambda rows, **how: json.dumps(rows, **how),
    "pretty array": lambda rows, **how: json.dumps(rows, indent=2, **how),
    "spaced array": lambda rows, **how: f"\n {json.dumps(rows, **how)} \n\n",
    "array of lines": lambda rows, **how: (
        "[\n" + _each(rows, how, ",\n") + "\n]\n\n"
    ),
    "pretty objects": lambda rows, **how: _each(rows, how, "\n\n", 1),
}


def values(text, longest=100_000):
    found = list(json_values(io.StringIO(text, newline="\n"), longest))
    return [item.value for item in found if not item.error and item.text], [
        (item.place, item.error) for item in found if item.error
    ]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(rows=RECORDS, ascii_only=st.booleans())
def test_every_form_gives_the_same_values(form, rows, ascii_only):
    # `"\u2028"` and the like end no line here.
    text = FORMS[form](rows, ensure_ascii=ascii_only)
    assert values(text) == (rows, [])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 50_000, 200_000])
def test_values_longer_than_what_is_read_at_a_time(form, size):
    rows = [{"text": 'ab\\"[{' * (size // 6 + 1)}, {"text": "b"}]
    assert values(FORMS[form](rows), 10 * size + 1_000) == (rows, [])


@pytest.mark.parametrize(
    "broken",
    [
        '{"text": "cut',
        '{"text":',
        "{",
        "[",
        '[{"text": 1} ',
        '{"text": "a"} extra',
        '{"text": "a"]',
        "}",
        '"',
        "[" * 5_000,
        '{"a":' * 5_000,
        "1" * 5_000,
        "nul",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_broken_line_costs_no_other_line(broken, place):
    lines = ['{"n": 0}', '{"n": 1}']
    lines.insert(place, broken)
    found, errors = values("\n".join(lines))
    assert found == [{"n": 0}, {"n": 1}]
    assert errors == [(f":{place + 1}", "lines that are not JSON")]


def test_a_line_that_is_a_list_is_one_value_among_others():
    assert values('["a"]\n{"n": 1}')[0] == [["a"], {"n": 1}]
    assert values('["a"]\n\n \n')[0] == ["a"]
    assert values("[]\n") == ([], [])
    assert values("") == ([], [])
    assert values("\n\n[\n]\n") == ([], [])


@pytest.mark.parametrize(
    "text",
    [
        '[{"n": 0}, {"n": 1}, {"n": ',
        '[{"n": 0}, {"n": 1} 2]',
        '[{"n": 0}, {"n": 1}, x]',
    ],
)
def test_a_damaged_array_is_read_up_to_the_damage(text):
    found, errors = values(text)
    assert found == [{"n": 0}, {"n": 1}]
    assert len(errors) == 1 and "damaged" in errors[0][1]


@pytest.mark.parametrize(
    "long",
    [
        "x" * 900_000,
        '"]}{[\\' * 150_000,
        {"a": [["]", {"b": '"'}]] * 60_000},
        list(range(200_000)),
        int("9" * 4_000),
    ],
    ids=["text", "marks", "object", "list", "short number"],
)
def test_a_long_element_of_an_array_costs_no_other(long):
    rows = [{"text": "ab"}, long, {"text": "cd"}, {"text": long}, {"text": ""}]
    for indent in (None, 1):
        text = json.dumps(rows, indent=indent)
        found = list(json_values(io.StringIO(text), 100_000))
        assert [value.error for value in found] == [""] * 5
        assert [value.place for value in found] == [f"[{i}]" for i in range(5)]
        for row, value in zip(rows, found, strict=True):
            if value.text is None or len(value.text) > 100_000:
                assert len(json.dumps(row, indent=indent)) > 100_000
            else:
                assert value.value == row


def test_every_value_has_a_place_of_its_own(tmp_path):
    rows = [{"text": str(i)} for i in range(50)]
    for form in FORMS.values():
        path = tmp_path / "a.json"
        path.write_text(form(rows))
        documents = list(read_jsonl(path))
        assert [d.text for d in documents] == [r["text"] for r in rows]
        assert len({d.id for d in documents}) == 50


@pytest.mark.parametrize(
    "text",
    [
        "{\n" * 100_000,
        '"' + '\\"' * 500_000,
        '{"a": ' + '\\"' * 500_000,
        "[" + '"a' * 300_000,
        '{"a":\n' * 50_000,
        "[" + "1," * 400_000,
        ("{" * 50 + "\n") * 5_000,
    ],
)
def test_hostile_text_takes_no_quadratic_time(text):
    start = time.perf_counter()
    for _ in json_values(io.StringIO(text, newline="\n"), 1_000_000):
        pass
    assert time.perf_counter() - start < 8  # 0.1 to 1.5 seconds
