"""Which tokens may take the place of a token.

A view's tokens keep their positions, so a replacement must have as many
tokens as what it replaces. Tables are about single tokens.
"""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="keras_dinolm")
@dataclasses.dataclass(frozen=True, eq=False)
class ReplacementTable:
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
            dict(counts or {}),
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
            np.frombuffer(bytes.fromhex(config[name]), "<i4").astype("int32")
            for name in ("ends", "choices")
        )
        return cls(ends, choices, dict(config["counts"]))
