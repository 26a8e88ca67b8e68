"""Attention as heat maps, one for each head."""

from matplotlib.figure import Figure

from keras_dinolm import arguments
from keras_dinolm.pictures.attention_maps import AttentionMaps
from keras_dinolm.pictures.figures import heat_map
from keras_dinolm.pictures.figures import new_figure
from keras_dinolm.pictures.figures import side

# How many maps a row has: the first of these that fills all rows.
_COLUMNS = (4, 3, 2)


def plot_attention_maps(maps: AttentionMaps, layer: int) -> Figure:
    """Draws the attention of a layer's heads side by side.

    A row shows what its token attends to. All heads share one scale of
    colors, which ends at the largest probability of the layer.

    Args:
        maps: `AttentionMaps`.
        layer: int, from 0.

    Returns:
        A `matplotlib.figure.Figure`; save it with `figure.savefig(path)`.

    Raises:
        ValueError: if there is no such layer.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    tokens = kd.pictures.Tokens("Fox", (2, 7), ("[CLS]", "fox"))
    maps = kd.pictures.AttentionMaps(
        np.full((1, 3, 2, 2), 0.5, "float32"), tokens.names, 0, tokens
    )
    figure = kd.pictures.plot_attention_maps(maps, layer=0)
    ```
    """
    arguments.instance("maps", maps, AttentionMaps, "`AttentionMaps`")
    num_layers, num_heads = maps.probabilities.shape[:2]
    layer = arguments.integer("layer", layer, 0, num_layers - 1)
    columns = next(
        (count for count in _COLUMNS if num_heads % count == 0),
        min(num_heads, _COLUMNS[0]),
    )
    rows = -(-num_heads // columns)
    # Names are left of the first and below the last maps, and all maps of
    # large layers stay small enough for a screen.
    size = min(side(len(maps.names)), 24.0 / columns)
    figure = new_figure(columns * size + 2.2, rows * (size + 0.3) + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False)
    attention = maps.probabilities[layer]
    for index, axes in enumerate(grid.flat):
        if index >= num_heads:
            axes.set_axis_off()
            continue
        image = heat_map(
            axes,
            attention[index],
            maps.names if index % columns == 0 else None,
            maps.names if index + columns >= num_heads else None,
            vmin=0.0,
            vmax=attention.max(),
            cmap="magma",
        )
        axes.set_title(f"head {index + 1}", fontsize=8)
    figure.suptitle(
        f"Attention of layer {layer + 1} of {num_layers} "
        f"({maps.tokens.count()})",
        fontsize=9,
    )
    figure.colorbar(image, ax=grid, label="probability", shrink=0.8)
    return figure
