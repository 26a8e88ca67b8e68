"""What the variants of a table have in common: texts, encoder, measures."""

import dataclasses
from collections.abc import Callable

from fair_trial.measures import measure
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup

# The order of sampled texts, which is not that of any run.
SAMPLE_SEED = 12_345


@dataclasses.dataclass(frozen=True)
class Family:
    """A table.

    Args:
        title: string.
        variants: dict of name to `Variant`.
        reference: string. The variant that the budget is measured in.
        budget: int. Steps of the reference that all get the cost of.
        batch_size: int.
        rate: float. The highest learning rate.
        length: int. The longest view.
        views: dict of name to a callable `tokenizer -> TextViews`.
        backbone: callable `(start, size) -> backbone` that is trained.
        layers: dict of name to `(layers, weighted)`, as for `measure`.
        slots: int or `None`. Training rows of the probe of tokens.
        momentum: pair of floats. Of the moving average, first and last.
        multipliers: dict of pattern to factor of the learning rate.
        heads: float. The factor of heads and prototypes.
        starts: tuple of strings, where its runs may start. Costs are
            measured at the first.
        group: string. The views that are of one text, for InfoNCE.
        num_rows: int. Tokens or texts that centroids are made of.
    """

    title: str
    variants: dict
    reference: str
    budget: int
    batch_size: int
    rate: float
    length: int
    views: dict[str, Callable]
    backbone: Callable
    layers: dict
    slots: int | None = None
    momentum: tuple[float, float] = (0.98, 0.995)
    multipliers: dict = dataclasses.field(default_factory=dict)
    heads: float = 1.0
    starts: tuple[str, ...] = ("bag",)
    group: str = "local"
    num_rows: int = 2_048

    def make_views(self, workshop, variant):
        """The views of a variant, with their `roles`."""
        return self.views[variant.views](workshop.tokenizer)

    def dataset(self, workshop, views, seed, start_step=0):
        """Endless batches of views."""
        return workshop.dataset(views, self.batch_size, seed, start_step)

    def sample(self, workshop):
        """Endless batches of whole texts, to make centroids of."""
        views = TextViews(
            workshop.tokenizer, self.length, groups=(ViewGroup("all", 1),)
        )
        return iter(workshop.dataset(views, 64, SAMPLE_SEED))

    def measure(self, workshop, backbone):
        """Scores in percent; nested dicts."""
        return measure(workshop, backbone, self.layers, self.slots)
