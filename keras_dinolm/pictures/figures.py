"""What all figures have in common."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_dinolm.pictures.fonts import drawable
from keras_dinolm.pictures.fonts import families

LABEL_SIZE = 7
# Inches that a row of labels needs.
_CELL = 0.14
_SMALLEST, _LARGEST = 1.8, 12.0


def new_figure(width: float, height: float) -> Figure:
    """A figure without a window and without global state."""
    return Figure(figsize=(width, height), layout="constrained")


def side(count: int) -> float:
    """The length in inches of an axis with that many labels."""
    return min(max(_CELL * count, _SMALLEST), _LARGEST)


def words(text: str | None = None) -> dict[str, Any]:
    """Arguments that draw a text as it is: no formula, no missing glyph."""
    style = {"fontfamily": families(), "parse_math": False}
    return style if text is None else {**style, "s": drawable(text)}


def heat_map(
    axes: Axes,
    values: np.ndarray,
    row_names: Sequence[str] | None,
    column_names: Sequence[str] | None,
    **kwargs: Any,
) -> Any:
    """An image with a name for each row and each column.

    Args:
        axes: matplotlib axes.
        values: array `[rows, columns]`.
        row_names: sequence of strings, or `None` for no labels.
        column_names: as `row_names`.
        **kwargs: for `imshow`, such as `vmin` and `vmax`.

    Returns:
        The image, for a color bar.
    """
    image = axes.imshow(
        values, aspect="auto", interpolation="nearest", **kwargs
    )
    for set_ticks, names, rotation in (
        (axes.set_yticks, row_names, 0),
        (axes.set_xticks, column_names, 90),
    ):
        names = () if names is None else [_short(name) for name in names]
        set_ticks(
            range(len(names)),
            [drawable(name) for name in names],
            rotation=rotation,
            fontsize=LABEL_SIZE,
            **words(),
        )
    axes.tick_params(length=0)
    return image


def _short(name, length=18):
    return name if len(name) <= length else name[: length - 1] + "\u2026"
