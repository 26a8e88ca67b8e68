"""The curves of a run as a picture."""

import math
import pathlib

from keras_dinolm import files
from keras_dinolm.recipes.phase_history import PhaseHistory

# What the picture shows beside the losses, and how to read it.
MONITORS = {
    "feature_std": "feature_std: 1 is spread evenly, 0 collapsed",
    "mean_cosine": "mean_cosine of two texts: 1 is collapsed",
    "rankme": "rankme: dimensions in use, of {dim}",
}


def write_curves(
    path: pathlib.Path, histories: list[PhaseHistory], dim: int
) -> None:
    """Draws losses and monitors of all phases over the steps of the run.

    Args:
        path: path of the PNG file.
        histories: list of `PhaseHistory`.
        dim: int. Width of the features.
    """
    # Large, and needed for this alone. Not `pyplot`, which would choose a
    # window system and keep the figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    losses = dict.fromkeys(n for h in histories for n in h.objectives)
    titles = {name: f"loss: {name} (lower is better)" for name in losses}
    titles |= {
        name: text.format(dim=dim)
        for name, text in MONITORS.items()
        if any(not math.isnan(h.last(name)) for h in histories)
    }
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(
        figsize=(max(4.6 * columns, 6.0), 3.2 * rows), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (name, title) in zip(axes, titles.items()):
        color = "C0" if name in losses else "C2"
        for history in histories:
            values = history.logs.get(name)
            if values:
                axis.plot(history.ends(), values, ".-", color=color)
        _mark_phases(axis, histories)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    for axis in axes[len(titles) :]:
        axis.set_visible(False)
    if len(histories) > 1:
        figure.supxlabel(
            "Each phase learns from other tasks: compare within a phase.",
            fontsize=10,
            color="gray",
        )
    with files.write_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _mark_phases(axis, histories):
    """Where each phase is, above the curves, if there are several."""
    last = histories[-1]
    total = last.first_step + last.steps
    axis.set_xlim(0, total)
    if len(histories) == 1:
        return
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.2 * (high - low))  # room for the names
    for index, history in enumerate(histories):
        if index:
            axis.axvline(history.first_step, color="gray", linewidth=1)
        axis.text(
            history.first_step + history.steps / 2,
            0.97,
            history.name,
            transform=axis.get_xaxis_transform(),
            ha="center",
            va="top",
            # Upright, where the phase is narrower than its name.
            rotation=90 if history.steps < 0.15 * total else 0,
            color="gray",
        )
