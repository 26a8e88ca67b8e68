"""The report: sets of documents, and a table that adds up."""

import pytest

from keras_dinolm.curation.report import Report

pytestmark = pytest.mark.once


def make(**options):
    rules = {"long": [0, 3], "odd": [3, 4], "never": []}
    return Report("Mine", 6, rules, **options)


def test_a_document_under_several_rules_goes_once():
    report = make()
    assert report.removed.tolist() == [0, 3, 4]
    assert report.kept.tolist() == [1, 2, 5]
    assert report.counts == {"long": 2, "odd": 2, "never": 0}
    assert report.select("abcdef") == ["b", "c", "f"]
    assert report.select(iter("abcdef")) == ["b", "c", "f"]


def test_the_table_counts_each_rule_and_what_it_does_alone():
    report = make(columns={"limit": {"long": "≤ 9"}}, notes=("a remark",))
    lines = [line.split() for line in str(report).splitlines()]
    assert lines[0] == "Mine: 3 of 6 documents stay".split()
    assert lines[1] == ["rule", "limit", "documents", "alone"]
    assert lines[2] == ["long", "≤", "9", "2", "1"]
    assert lines[3] == ["odd", "2", "1"]
    assert lines[4] == ["never", "0", "0"]
    assert lines[5] == ["a", "remark"]
    assert repr(report) == "<Report Mine: 3 of 6>"


@pytest.mark.parametrize("items", ["abcde", "abcdefg", ""])
def test_another_corpus_is_refused(items):
    message = rf"`items`.*\(6\).*{len(items)} items"
    with pytest.raises(ValueError, match=message):
        make().select(items)


def test_nothing_at_all():
    report = Report("Mine", 0, {"rule": []})
    assert report.kept.tolist() == [] and report.select([]) == []
    assert "0 of 0" in str(report)
