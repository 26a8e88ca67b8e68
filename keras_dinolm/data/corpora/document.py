"""`Document`: one text with its name and origin."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_dinolm.arguments import shorten


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One text with its name and origin.

    Args:
        text: str. The text.
        id: str. A name, unique within its corpus.
        label: str. What to call its kind, for evaluation only; may be empty.
        module: str. A finer label, e.g. the dotted Python module.
        alternates: sequence of str. Other texts of the same meaning, such as
            a translation, a paraphrase or a title, from which views may be
            drawn as well (`ViewGroup(alternate_probability=...)`).

    Raises:
        ValueError: if a text or name is not a string, or `alternates` is not
            a sequence of strings.
    """

    text: str
    id: str = ""
    label: str = ""
    module: str = ""
    alternates: Sequence[str] = ()

    def __post_init__(self):
        for name in ("text", "id", "label", "module"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise ValueError(
                    f"Argument `{name}` of a document must be a string. "
                    f"Received: {name}={shorten(value)} (of type "
                    f"{type(value).__name__})"
                )
        if self.alternates == ():
            return
        if not is_list_of_strings(self.alternates):
            raise ValueError(
                "`alternates` must be a list or tuple of strings; put a "
                "single one in brackets. Received: "
                f"alternates={shorten(self.alternates)} (of type "
                f"{type(self.alternates).__name__})"
            )
        object.__setattr__(self, "alternates", tuple(self.alternates))


def is_list_of_strings(value: Any) -> bool:
    """Whether a value is a list or tuple that holds only strings."""
    return isinstance(value, list | tuple) and all(
        isinstance(item, str) for item in value
    )
