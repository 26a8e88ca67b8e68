"""`read_csv`: quoting, delimiters, damaged rows."""

import csv
import io
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_dinolm.data import read_csv

pytestmark = pytest.mark.once

# Whatever a field may hold. A field of white space alone is no document.
FIELDS = st.text(
    st.sampled_from('ab,;|\t"\n\r é日\u2028'), min_size=1, max_size=12
).filter(str.strip)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6))
def test_what_a_library_writes_is_read(tmp_path_factory, delimiter, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter)
    writer.writerows([("label", "text"), *rows])
    path.write_bytes(sink.getvalue().encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        documents = list(read_csv(path, label_key="label"))
    assert [(d.label, d.text) for d in documents] == rows


def test_what_pandas_writes_is_read(tmp_path):
    import pandas

    texts = ['he said "hi"', "two\nlines", "a,b", "tab\there", "plain"]
    frame = pandas.DataFrame({"n": range(5), "text": texts})
    frame.to_csv(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "b.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "c.CSV.gz", sep=";", index=False)
    documents = list(read_csv(tmp_path, id_key="n"))
    assert [d.text for d in documents] == texts * 3
    assert [d.id for d in documents] == list("01234") * 3


def test_damaged_rows_cost_no_other_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        'id,text\n1,one\n2,"never closed\n3,three\n4,"four"x\n5,five,5\n6\n\n'
        '7,"se""ven"\n'
    )
    corpus = read_csv(path)
    with pytest.warns(UserWarning) as caught:
        documents = list(corpus)
    assert [d.text for d in documents] == ["one", "three", 'se"ven']
    assert [d.id for d in documents] == [f"{path}:{n}" for n in (2, 4, 9)]
    message = str(caught[0].message)
    assert f"2 damaged rows: {path}:3, {path}:5" in message
    assert "quoting=False" in message
    assert (
        f"2 rows with another number of fields than the header: {path}:6"
        in (message)
    )


def test_quotes_may_belong_to_the_texts(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\tn\n"Hello\t1\n"a" b\t2\n')
    documents = list(read_csv(path, quoting=False))
    assert [d.text for d in documents] == ['"Hello', '"a" b']


@pytest.mark.parametrize(
    "header, message",
    [
        ("a,b", "no column 'text'.*'a', 'b'.*`text_key=`"),
        ("text,text", "has twice 'text'"),
        ("text;label", "no column 'label2'"),
    ],
)
def test_missing_columns_are_an_error(tmp_path, header, message):
    (tmp_path / "a.csv").write_text(f"{header}\nx,y\n")
    label = "label2" if "label" in header else None
    with pytest.raises(ValueError, match=rf"a\.csv {message}|{message}"):
        list(read_csv(tmp_path, label_key=label))


def test_empty_files_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("\n\n")
    (tmp_path / "b.csv").write_text("text\nx\n")
    corpus = read_csv(tmp_path)
    with pytest.warns(UserWarning, match=r"1 empty files: .*a\.csv"):
        assert [d.text for d in corpus] == ["x"]


def test_the_field_limit_of_the_process_stays(tmp_path):
    long = "x" * 200_000  # above the default limit of the library
    (tmp_path / "a.csv").write_text(f"text\n{long}\nb\n")
    before = csv.field_size_limit()
    corpus = iter(read_csv(tmp_path))
    assert next(corpus).text == long
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("delimiter", ["", ",,", '"', 3, "\n"])
def test_delimiters_are_one_character(tmp_path, delimiter):
    (tmp_path / "a.csv").write_text("text\nx\n")
    with pytest.raises(ValueError, match="`delimiter`"):
        read_csv(tmp_path, delimiter=delimiter)


@pytest.mark.parametrize(
    "line", ['"a\n', '"""\n', '"\n', 'a,"b\n', '"a"b\n', '"a""\n', '""a"\n']
)
def test_hostile_quotes_take_no_quadratic_time(tmp_path, line):
    path = tmp_path / "a.csv"
    path.write_text("text\n" + line * 20_000)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(read_csv(path))
    assert time.perf_counter() - start < 8
