"""The prototype atlas as one picture."""

from matplotlib.figure import Figure

from keras_dinolm import arguments
from keras_dinolm.pictures.figures import LABEL_SIZE
from keras_dinolm.pictures.figures import new_figure
from keras_dinolm.pictures.figures import words
from keras_dinolm.pictures.prototype_atlas import PrototypeAtlas

_LINE = 0.155  # inches
_CHARACTERS = 135


def plot_prototype_atlas(atlas: PrototypeAtlas) -> Figure:
    """Draws how prototypes are used, and lists the spans of the first ones.

    Args:
        atlas: `PrototypeAtlas`.

    Returns:
        A `matplotlib.figure.Figure`; save it with `figure.savefig(path)`.

    Raises:
        ValueError: if it is none.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    span = kd.pictures.Span("", "the quick fox", "", cosine=0.9, times=2)
    atlas = kd.pictures.PrototypeAtlas(
        "sequence",
        "spans",
        np.array([0, 2]),
        (kd.pictures.Prototype(1, 2, (span,)),),
        num_texts=1,
    )
    figure = kd.pictures.plot_prototype_atlas(atlas)
    ```
    """
    arguments.instance("atlas", atlas, PrototypeAtlas, "a `PrototypeAtlas`")
    lines = []
    for prototype in atlas.prototypes:
        head = f"prototype {prototype.index}: {prototype.count:,} {atlas.unit}"
        lines.append((head, {"fontweight": "bold"}))
        lines += [(_line(span), {}) for span in prototype.spans]
    usage, listed = 1.6, _LINE * (len(lines) + 1)
    figure = new_figure(9.0, usage + listed + 0.5)
    bars, text = figure.subplots(2, 1, height_ratios=[usage, listed])
    counts = sorted(atlas.counts, reverse=True)
    bars.bar(range(1, len(counts) + 1), counts, width=1.0)
    bars.set_title(
        f"{atlas.head} head: {atlas.num_used:,} of {len(counts):,} prototypes "
        f"used, perplexity {atlas.perplexity:.1f}",
        fontsize=9,
    )
    bars.set_xlabel("prototypes, most used first", fontsize=8)
    bars.set_ylabel(atlas.unit, fontsize=8)
    text.set_axis_off()
    text.set_ylim(len(lines), -1)
    for place, (line, style) in enumerate(lines):
        text.text(
            0.0,
            place,
            **words(line),
            **style,
            fontsize=LABEL_SIZE,
            va="center",
        )
    return figure


def _line(span):
    times = f" \u00d7{span.times}" if span.times > 1 else ""
    text = span.text
    if span.before or span.after:
        text = f"[{text}]"
    room = max(_CHARACTERS - len(text), 0) // 2
    before = span.before
    if len(before) > room:
        before = "\u2026" + before[len(before) - room :]
    text = _start(before + text + span.after, _CHARACTERS)
    return f"   {span.cosine:.2f}  {text}{times}"


def _start(text, length):
    return text if len(text) <= length else text[: length - 1] + "\u2026"
