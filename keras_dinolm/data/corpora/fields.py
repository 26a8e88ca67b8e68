"""Documents from records: which key holds the text, the id, the label."""

from collections.abc import Mapping
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.document import is_list_of_strings
from keras_dinolm.data.corpora.report import Report

_NOTHING = object()
_KINDS = {
    "bool": "a truth value",
    "bytes": "bytes",
    "dict": "an object",
    "float": "a number",
    "int": "a number",
    "list": "a list",
}


def find_value(record: Mapping, key: str, default: Any = None) -> Any:
    """The value of a key, where dots lead into nested records.

    Args:
        record: mapping.
        key: string. A key that has dots itself comes first.
        default: what to return if there is no such key.

    Returns:
        The value.

    Example:

    ```python
    from keras_dinolm.data.corpora.fields import find_value

    assert find_value({"a": {"b": 1}}, "a.b") == 1
    assert find_value({"a": {"b": 1}, "a.b": 2}, "a.b") == 2
    ```
    """
    if key in record:
        return record[key]
    for place, character in enumerate(key):
        inner = record.get(key[:place]) if character == "." else None
        if isinstance(inner, Mapping):
            value = find_value(inner, key[place + 1 :], _NOTHING)
            if value is not _NOTHING:
                return value
    return default


class Fields:
    """Makes documents of records, and reports what cannot be one.

    - The text must be a string. A record whose text is missing, `null`, a
      number, a list or an object is left out and counted.
    - An id or a label may be a string, a number or a truth value, and becomes
      a string. Of any other kind, or missing, it is left away and counted.
    - Alternates are a list of strings, or one string.

    Args:
        text_key: string. Dots lead into nested records, unless a key has the
            dots itself.
        id_key: string or `None`.
        label_key: string or `None`.
        alternates_key: string or `None`.
        records: string. What records are called in messages, a plural.
    """

    def __init__(
        self,
        text_key: str,
        id_key: str | None = None,
        label_key: str | None = None,
        alternates_key: str | None = None,
        records: str = "lines",
    ):
        self.text_key = arguments.string("text_key", text_key)
        for name, key in (
            ("id_key", id_key),
            ("label_key", label_key),
            ("alternates_key", alternates_key),
        ):
            if key is not None:
                arguments.string(name, key)
        self.id_key = id_key
        self.label_key = label_key
        self.alternates_key = alternates_key
        self.records = records

    def keys(self) -> list[str]:
        """All keys that are read.

        Returns:
            List of strings without repetitions.
        """
        keys = (
            self.text_key,
            self.id_key,
            self.label_key,
            self.alternates_key,
        )
        return list(dict.fromkeys(key for key in keys if key is not None))

    def document(
        self, record: Any, place: str, report: Report
    ) -> Document | None:
        """Makes a document of a record.

        Args:
            record: mapping, or a string, which is the text itself.
            place: string. Where the record is; the default id.
            report: `Report`, which counts what is left out.

        Returns:
            `Document`, or `None` if the record has no text.
        """
        if isinstance(record, str):
            return Document(record, place)
        if not isinstance(record, Mapping):
            kind = _KINDS.get(type(record).__name__, "null")
            reason = f"{self.records} that are not objects ({kind})"
            report.add(reason, place)
            return None
        text = find_value(record, self.text_key)
        if _is_missing(text):
            keys = ", ".join(map(repr, list(record)[:8]))
            report.add(
                f"{self.records} without {self.text_key!r}",
                place,
                f"The first one has {keys or 'no key'}. Choose with "
                "`text_key=`.",
            )
            return None
        if not isinstance(text, str):
            kind = _KINDS.get(type(text).__name__, type(text).__name__)
            report.add(
                f"{self.records} without a string under {self.text_key!r} "
                f"(but {kind})",
                place,
            )
            return None
        name = self._string(record, self.id_key, place, report)
        label = self._string(record, self.label_key, place, report)
        alternates = self._alternates(record, place, report)
        return Document(
            str(text), name or place, label or "", alternates=alternates
        )

    def _string(self, record, key, place, report):
        if key is None:
            return None
        value = find_value(record, key)
        instead = "named by place" if key == self.id_key else "label ''"
        if _is_missing(value):
            reason = f"{self.records} without {key!r} (kept, {instead})"
            report.add(reason, place)
            return None
        if isinstance(value, list | dict | bytes):
            kind = _KINDS[type(value).__name__]
            reason = f"{self.records} with {kind} under {key!r}"
            report.add(f"{reason} (kept, {instead})", place)
            return None
        return str(value)

    def _alternates(self, record, place, report):
        if self.alternates_key is None:
            return ()
        found = find_value(record, self.alternates_key)
        if _is_missing(found):
            return ()
        if hasattr(found, "tolist"):  # an array in a table
            found = found.tolist()
        if isinstance(found, str):
            found = (found,)
        if not is_list_of_strings(found):
            reason = (
                f"{self.records} whose {self.alternates_key!r} is no list of "
                "strings (kept, without it)"
            )
            report.add(reason, place)
            return ()
        return tuple(found)


def _is_missing(value):
    """Whether a value is `None`, or the NaN or NA of a table."""
    if value is None:
        return True
    if isinstance(value, str | list | dict | bytes | bool | int):
        return False
    return str(value) in ("nan", "<NA>", "NaT")
