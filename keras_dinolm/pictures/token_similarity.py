"""Cosines between the tokens of two texts."""

import dataclasses

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.arguments import unit
from keras_dinolm.pictures.text_reader import TextReader
from keras_dinolm.pictures.tokens import Tokens


@dataclasses.dataclass(frozen=True, eq=False)
class TokenSimilarity:
    """Cosines between the token features of two texts, or within one.

    Attributes:
        cosines: float64 array `[rows, columns]`.
        rows: `Tokens` of the first text.
        columns: `Tokens` of the second, the same object for one text.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    tokens = kd.pictures.Tokens("Foxes", (2, 7, 8), ("[CLS]", "fox", "·es"))
    similarity = kd.pictures.TokenSimilarity(np.eye(3), tokens, tokens)
    print(similarity.describe())
    ```
    """

    cosines: np.ndarray
    rows: Tokens
    columns: Tokens

    @property
    def within(self) -> bool:
        """Whether this is one text compared with itself."""
        return self.rows is self.columns

    def describe(self) -> str:
        """The picture in words, for those who cannot see it."""
        what = (
            f"{self.rows.count()} of one text and [CLS]"
            if self.within
            else f"{self.rows.count()} of text A (rows) and "
            f"{self.columns.count()} of text B (columns), each with [CLS]"
        )
        parts = [f"Heat map of cosines between the features of {what}."]
        # [CLS] is no word, a token is like itself, and this is symmetric.
        cosines = self.cosines[1:, 1:]
        if self.within:
            cosines = cosines[np.triu_indices(len(cosines), 1)]
        if cosines.size:
            parts.append(
                f"They lie between {cosines.min():.2f} and "
                f"{cosines.max():.2f}, {cosines.mean():.2f} on average."
            )
            row, column = self._most_similar()
            parts.append(
                f"The highest is that of '{self.rows.names[row]}' and "
                f"'{self.columns.names[column]}'."
            )
        return " ".join(parts)

    def _most_similar(self):
        cosines = self.cosines[1:, 1:]
        if self.within:
            above = np.triu(np.ones_like(cosines, bool), 1)
            cosines = np.where(above, cosines, -np.inf)
        row, column = np.unravel_index(np.argmax(cosines), cosines.shape)
        return row + 1, column + 1


def token_similarity(
    reader: TextReader, a: str, b: str | None = None, max_tokens: int = 64
) -> TokenSimilarity:
    """Compares each token of a text with each token of another text.

    It compares the features after the last layer, which frozen heads on tokens
    get. Within one text this is the Gram matrix that `GramAnchoring` keeps:
    good token features show blocks of related words, and spoilt ones are all
    alike.

    Args:
        reader: `TextReader`.
        a: string.
        b: string, or `None` to compare `a` with itself.
        max_tokens: int. Where texts are cut, without counting `[CLS]`.

    Returns:
        A `TokenSimilarity`; `cosines` has shape `[tokens of a, tokens of b]`,
        `[CLS]` first. A feature of length 0 has cosine 0 with all.

    Raises:
        ValueError: if a text is no string, or features are not finite.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "fox", "##es", "."])
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16,
    )
    reader = kd.pictures.TextReader(backbone, tokenizer)
    similarity = kd.pictures.token_similarity(reader, "Foxes.", "A fox")
    similarity.cosines.shape  # (4, 3)
    ```

    Reference:

    - [Siméoni et al., 2025](https://arxiv.org/abs/2508.10104), section 4
    """
    arguments.instance("reader", reader, TextReader, "a `TextReader`")
    max_tokens = arguments.count("max_tokens", max_tokens)
    rows = reader.tokens(a, max_tokens, "a")
    columns = rows if b is None else reader.tokens(b, max_tokens, "b")
    texts = [rows] if b is None else [rows, columns]
    features = [
        unit(as_features("token features", row["tokens"]))
        for row in reader.features([tokens.ids for tokens in texts])
    ]
    return TokenSimilarity(features[0] @ features[-1].T, rows, columns)
