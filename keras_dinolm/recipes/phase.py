"""`Phase`: a stretch of a recipe in which the same objectives act."""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Literal

from keras_dinolm import arguments
from keras_dinolm.data import FeatureStore
from keras_dinolm.data import JoinedFeatures
from keras_dinolm.data import TokenStore
from keras_dinolm.models import DinoLM
from keras_dinolm.models import DinoLMBackbone
from keras_dinolm.models.encoder.backbone import JOINS
from keras_dinolm.views import TextViews


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of training: what it reads, what it trains, and for how long.

    A recipe is a list of phases. Each starts from the backbone that the phase
    before left, so a recipe can begin with a cheap encoder and go on with a
    deeper one.

    Args:
        name: string. What the progress bar, the report and the folder of
            checkpoints call the phase.
        views: `TextViews`. The views that a batch is made of.
        batch_size: int. Texts in a batch.
        backbone: callable `(before, tokens) -> DinoLMBackbone`. Makes the
            backbone to train. `before` is the backbone that the phase before
            left, or `None` in the first phase. `tokens` is the corpus, for
            what is counted; it is `None` when weights do not matter, because
            only the time of a step is measured or because a checkpoint will
            replace them.
        model: callable `(backbone, steps) -> DinoLM`. Makes the compiled
            model for a phase of so many steps. Its `roles` must be
            `views.roles`.
        share: float. The share of the budget, relative to the shares of the
            phases that follow.
        max_steps: int or `None`. The most steps that the phase takes. What
            is left of its share goes to the phases after it.
        keep: `"learned"` or `"student"`. The network that is kept:
            `model.learned()` (the teacher, or the student of a fixed
            teacher), or the student.
        pooled_layers: tuple of ints or `None`. The layers that a text's
            feature is taken from once the phase is over, as for
            `DinoLMBackbone`. `None` keeps those that it was trained with.
        pooled_join: string or `None`. How these layers are joined from then
            on, as for `DinoLMBackbone`.
        starts_as: string or `None`. What the report calls the encoder that
            `backbone` makes, where it is more than the phase before left: its
            row tells what the start alone is worth. `None` for no such row.
        features: dict of name to `FeatureStore` or `JoinedFeatures`, which
            come with the batches, or `None`; see `view_dataset`.
        only_with_features: boolean. Whether the phase reads only the texts
            that have them.
        prepare: callable `(model, tokens)`, or `None`. Called once before the
            first step, for weights of the model that are counted.

    Raises:
        ValueError: for arguments out of range, such as a batch size or a
            share that is not positive, or an unknown network.

    Example:

    ```python
    import keras_dinolm as kd

    tokenizer = kd.data.train_tokenizer(["a cat", "a mat"] * 9, 60)
    phase, = kd.recipes.crop_info_nce(tokenizer, size="nano")
    backbone = phase.backbone(None, None)
    model = phase.model(backbone, 1_000)  # compiled, for 1,000 steps
    ```
    """

    name: str
    views: TextViews
    batch_size: int
    backbone: Callable[
        [DinoLMBackbone | None, TokenStore | None], DinoLMBackbone
    ]
    model: Callable[[DinoLMBackbone, int], DinoLM]
    share: float = 1.0
    max_steps: int | None = None
    keep: Literal["learned", "student"] = "learned"
    pooled_layers: tuple[int, ...] | None = None
    pooled_join: str | None = None
    starts_as: str | None = None
    features: Mapping[str, FeatureStore | JoinedFeatures] | None = None
    only_with_features: bool = False
    prepare: Callable[[DinoLM, TokenStore], None] | None = None

    def __post_init__(self) -> None:
        name = arguments.string("name", self.name)
        if name.startswith(".") or set(name) & set("/\\\0"):
            arguments.refuse(
                "name", name, "a name that a folder can have as well"
            )
        where = f"of the phase {name!r}"
        arguments.instance("views", self.views, TextViews, "a `TextViews`")
        arguments.count("batch_size", self.batch_size, meaning=where)
        arguments.number("share", self.share, above=0, meaning=where)
        if self.max_steps is not None:
            arguments.integer("max_steps", self.max_steps, 1, meaning=where)
        arguments.choice("keep", self.keep, ("learned", "student"))
        if self.pooled_join is not None:
            arguments.choice("pooled_join", self.pooled_join, JOINS)
        if self.starts_as is not None:
            arguments.string("starts_as", self.starts_as)
        if self.features is not None:
            what = "a dict of name to `FeatureStore`"
            arguments.instance("features", self.features, Mapping, what)
        arguments.flag("only_with_features", self.only_with_features)
        for field in ("backbone", "model", "prepare"):
            value = getattr(self, field)
            optional = field == "prepare" and value is None
            if not callable(value) and not optional:
                arguments.refuse(field, value, "a callable")
        layers = self.pooled_layers
        if layers is not None:
            if not isinstance(layers, tuple | list) or not layers:
                arguments.refuse("pooled_layers", layers, "a tuple of ints")
            for index, layer in enumerate(layers):
                arguments.integer(f"pooled_layers[{index}]", layer, -1)

    def kept(self, model: DinoLM) -> DinoLMBackbone:
        """The backbone that the phase leaves.

        Args:
            model: what `model` made, after training.

        Returns:
            The `DinoLMBackbone` of the network that is kept, which pools
            `pooled_layers`.
        """
        network = model.student if self.keep == "student" else model.learned()
        backbone = network.encoder.backbone
        if self.pooled_layers is None:
            return backbone
        return with_pooled_layers(
            backbone, self.pooled_layers, self.pooled_join
        )


def with_pooled_layers(
    backbone: DinoLMBackbone,
    layers: tuple[int, ...],
    join: str | None = None,
    shares: tuple[float, ...] | None = None,
) -> DinoLMBackbone:
    """The same encoder, whose text feature is taken from other layers.

    Args:
        backbone: `DinoLMBackbone`.
        layers: tuple of ints, as `pooled_layers` of `DinoLMBackbone`.
        join: as `pooled_join` there. `None` for that of the encoder.
        shares: as `pooled_shares` there.

    Returns:
        A new `DinoLMBackbone` with the same weights.
    """
    config = {
        **backbone.get_config(),
        "pooled_layers": layers,
        "pooled_join": join or backbone.pooled_join,
        "pooled_shares": shares,
    }
    config["trainable"] = True
    copy = type(backbone).from_config(config)
    copy.set_weights(backbone.get_weights())
    return copy
