"""Token similarities as a heat map."""

from matplotlib.figure import Figure

from keras_dinolm import arguments
from keras_dinolm.pictures.figures import heat_map
from keras_dinolm.pictures.figures import new_figure
from keras_dinolm.pictures.figures import side
from keras_dinolm.pictures.token_similarity import TokenSimilarity


def plot_token_similarity(similarity: TokenSimilarity) -> Figure:
    """Draws the cosines between tokens, bright where they are alike.

    Colors go from the lowest cosine to 1: token features of most encoders
    share a large part, and on a scale from -1 all would look the same.

    Args:
        similarity: `TokenSimilarity`.

    Returns:
        A `matplotlib.figure.Figure`; save it with `figure.savefig(path)`.

    Raises:
        ValueError: if it is none.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    tokens = kd.pictures.Tokens("Foxes", (2, 7, 8), ("[CLS]", "fox", "·es"))
    similarity = kd.pictures.TokenSimilarity(np.eye(3), tokens, tokens)
    figure = kd.pictures.plot_token_similarity(similarity)
    ```
    """
    arguments.instance(
        "similarity", similarity, TokenSimilarity, "a `TokenSimilarity`"
    )
    rows, columns = similarity.rows, similarity.columns
    figure = new_figure(side(len(columns)) + 2.2, side(len(rows)) + 1.2)
    axes = figure.add_subplot()
    image = heat_map(
        axes,
        similarity.cosines,
        rows.names,
        columns.names,
        vmin=min(similarity.cosines.min(), 0.99),
        vmax=1.0,
        cmap="viridis",
    )
    if similarity.within:
        axes.set_title(f"Within one text ({rows.count()})", fontsize=9)
    else:
        axes.set_title("Between two texts", fontsize=9)
        axes.set_ylabel(f"text A ({rows.count()})", fontsize=8)
        axes.set_xlabel(f"text B ({columns.count()})", fontsize=8)
    figure.colorbar(image, ax=axes, label="cosine", shrink=0.8)
    return figure
