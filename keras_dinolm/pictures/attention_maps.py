"""What the tokens of a text attend to."""

import dataclasses

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.pictures.text_reader import TextReader
from keras_dinolm.pictures.tokens import Tokens


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Attention within a text, by layer and head.

    Attributes:
        probabilities: float32 array `[layers, heads, L, L]`: how much the
            token of the row attends to that of the column. Rows sum to 1.
        names: tuple of L strings: registers, `[CLS]`, tokens.
        num_registers: int. How many of them are registers.
        tokens: `Tokens` of the text.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    tokens = kd.pictures.Tokens("Fox", (2, 7), ("[CLS]", "fox"))
    maps = kd.pictures.AttentionMaps(
        np.full((1, 1, 2, 2), 0.5, "float32"), tokens.names, 0, tokens
    )
    print(maps.describe(layer=0))
    ```
    """

    probabilities: np.ndarray
    names: tuple
    num_registers: int
    tokens: Tokens

    def describe(self, layer: int) -> str:
        """A layer's picture in words, for those who cannot see it.

        Args:
            layer: int, from 0.

        Returns:
            A string.
        """
        first = self.num_registers
        heads = []
        for head, map_ in enumerate(self.probabilities[layer]):
            rows = map_[first:].astype("float64")  # of [CLS] and the text
            shares = []
            if first:
                share = rows[:, :first].sum(axis=1).mean()
                shares.append(f"{share:.2f} to registers")
            shares.append(f"{rows[:, first].mean():.2f} to [CLS]")
            own = np.trace(rows[:, first:]) / len(rows)
            shares.append(f"{own:.2f} to themselves")
            heads.append(f"Head {head + 1}: {', '.join(shares)}.")
        return (
            f"Attention of layer {layer + 1}, one heat map a head, over "
            f"{self.tokens.count()}. What [CLS] and the tokens attend to, on "
            "average. " + " ".join(heads)
        )


def attention_maps(
    reader: TextReader, text: str, max_tokens: int = 64
) -> AttentionMaps:
    """What each token of a text attends to, by layer and head.

    Args:
        reader: `TextReader`.
        text: string.
        max_tokens: int. Where the text is cut, without counting `[CLS]`.

    Returns:
        `AttentionMaps`, with `probabilities` `[layers, heads, L, L]`: L is
        the registers, `[CLS]` and the tokens.

    Raises:
        ValueError: if an argument is of another type, or the backbone's
            attention cannot be read (DeBERTaV3).

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "fox", "##es", "."])
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16, num_registers=1,
    )
    reader = kd.pictures.TextReader(backbone, tokenizer)
    maps = kd.pictures.attention_maps(reader, "Foxes.")
    maps.names  # ("register 1", "[CLS]", "fox", "·es", ".")
    maps.probabilities.shape  # (1, 2, 5, 5)
    ```

    Reference:

    - [Darcet et al., 2024](https://arxiv.org/abs/2309.16588)
    """
    arguments.instance("reader", reader, TextReader, "a `TextReader`")
    max_tokens = arguments.count("max_tokens", max_tokens)
    tokens = reader.tokens(text, max_tokens)
    probabilities = reader.attention(tokens.ids)
    num_registers = probabilities.shape[-1] - len(tokens)
    registers = (f"register {i + 1}" for i in range(num_registers))
    return AttentionMaps(
        probabilities, (*registers, *tokens.names), num_registers, tokens
    )
