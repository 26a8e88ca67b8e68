"""Which tokens may take the place of a token.

A view's tokens keep their positions, so a replacement must have as many
tokens as what it replaces. Tables are about single tokens.
"""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence

import keras
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.views.compared_by_config import ComparedByConfig
from keras_dinolm.views.compared_by_config import from_hex


@keras.saving.register_keras_serializable(package="keras_dinolm")
@dataclasses.dataclass(frozen=True, eq=False)
class ReplacementTable(ComparedByConfig):
    """Replacements of each token; made by `synonym_table` and `typo_table`.

    Args:
        ends: int array `[vocabulary size]`. Where the replacements of each
            token end in `choices`; they begin where the token's before end.
        choices: int array, not empty. Ids of the replacements.
        counts: dictionary of int. What was read, and what could be used.

    Example:

    ```python
    import keras_dinolm as kd

    # Tokens 5 and 6 stand for each other.
    table = kd.views.ReplacementTable.of({5: [6], 6: [5]}, 10)
    table[5]  # [6]
    ```
    """

    ends: np.ndarray
    choices: np.ndarray
    counts: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("ends", "choices"):
            array = _as_ids(name, getattr(self, name))
            object.__setattr__(self, name, array)
        if (np.diff(self.ends) < 0).any() or self.ends[-1] > len(self.choices):
            arguments.refuse(
                "ends",
                self.ends,
                "ascending places in `choices`, of which there are "
                f"{len(self.choices)}",
            )
        if self.choices.max() >= len(self.ends):
            arguments.refuse(
                "choices",
                self.choices,
                f"ids of a vocabulary of {len(self.ends)} tokens, as `ends` "
                "has places",
            )
        object.__setattr__(self, "counts", _as_counts(self.counts))

    @classmethod
    def of(
        cls,
        replacements: Mapping[int, Sequence[int]],
        vocabulary_size: int,
        counts: dict[str, int] | None = None,
    ) -> "ReplacementTable":
        """Makes a table from a dictionary.

        Args:
            replacements: `{id: ids}`.
            vocabulary_size: int.
            counts: as for the class.

        Returns:
            `ReplacementTable`.

        Raises:
            ValueError: if an id is not in the vocabulary, or a token has 2^15
                replacements or more.
        """
        vocabulary_size = arguments.count("vocabulary_size", vocabulary_size)
        counts = _as_counts({} if counts is None else counts)
        arguments.instance(
            "replacements", replacements, Mapping, "a dict of id to ids"
        )
        replacements = {
            arguments.count("replacements", token, 0): _as_ids(
                "replacements", others
            ).tolist()
            if len(others)
            else []
            for token, others in _checked_items(replacements)
        }
        ids = [i for pair in replacements.items() for i in (pair[0], *pair[1])]
        if ids and not 0 <= min(ids) <= max(ids) < vocabulary_size:
            raise ValueError(
                "`replacements` must hold ids in [0, vocabulary_size). "
                f"Received: ids from {min(ids)} to {max(ids)} with "
                f"vocabulary_size={vocabulary_size}"
            )
        sizes = np.zeros(vocabulary_size, "int64")
        for token, others in replacements.items():
            sizes[token] = len(others)
        if sizes.max(initial=0) >= 1 << 15:
            raise ValueError(
                "`replacements` must hold fewer than 32768 for a token. "
                f"Received: {sizes.max()} for token {sizes.argmax()}"
            )
        choices = [
            i for token in sorted(replacements) for i in replacements[token]
        ]
        # Never empty, so that tokens without a choice have one to ignore.
        return cls(
            np.cumsum(sizes).astype("int32"),
            np.array(choices or [0], "int32"),
            counts,
        )

    def __getitem__(self, token: int) -> list[int]:
        """The list of a token's replacements."""
        begin = self.ends[token - 1] if token else 0
        return self.choices[begin : self.ends[token]].tolist()

    def get_config(self) -> dict:
        """A JSON-serialisable dictionary; the arrays as hexadecimal bytes."""
        return {
            "ends": self.ends.astype("<i4").tobytes().hex(),
            "choices": self.choices.astype("<i4").tobytes().hex(),
            "counts": dict(self.counts),
        }

    @classmethod
    def from_config(cls, config: dict) -> "ReplacementTable":
        """The inverse of `get_config`.

        Args:
            config: dict.

        Returns:
            `ReplacementTable`.
        """
        ends, choices = (
            from_hex(name, arguments.field(config, name, cls), "<i4")
            for name in ("ends", "choices")
        )
        return cls(**{**config, "ends": ends, "choices": choices})


def _checked_items(replacements):
    """The items, once each value is known to be a list."""
    for token, others in replacements.items():
        if not isinstance(others, Sequence | np.ndarray) or isinstance(
            others, str | bytes
        ):
            arguments.refuse("replacements", replacements, "a dict of lists")
        yield token, others


def _as_ids(name, value):
    """An int32 array `[N]` of at least one id, or an error."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        arguments.refuse(name, value, "integers, at least one")
    if array.min() < 0 or array.max() >= 2**31:
        arguments.refuse(name, value, "integers in [0, 2^31)")
    return array.astype("int32")


def _as_counts(counts):
    arguments.instance("counts", counts, Mapping, "a dict of string to int")
    for name in counts:
        if not isinstance(name, str):
            arguments.refuse("counts", counts, "a dict of string to int")
    return {
        name: arguments.integer("counts", count)
        for name, count in counts.items()
    }
