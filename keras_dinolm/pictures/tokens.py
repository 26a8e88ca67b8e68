"""The tokens of a text, with names that people can read."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A text as an encoder reads it, `[CLS]` first.

    Attributes:
        text: string. The whole text, as it was given.
        ids: tuple of ints.
        names: tuple of strings, one a token. A piece that continues a word
            begins with a middle dot: `fox`, `·es`.
        num_left_out: int. Tokens at the end of the text that are not here.

    Example:

    ```python
    import keras_dinolm as kd

    tokens = kd.pictures.Tokens("Foxes", (2, 7, 8), ("[CLS]", "fox", "·es"))
    len(tokens)  # 3
    ```
    """

    text: str
    ids: tuple
    names: tuple
    num_left_out: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def count(self) -> str:
        """How many tokens there are, and how many are left out, in words."""
        # [CLS] is no part of the text.
        shown = len(self) - 1
        if not self.num_left_out:
            return f"{shown:,} {'token' if shown == 1 else 'tokens'}"
        return f"the first {shown:,} of {shown + self.num_left_out:,} tokens"
