"""What teachers without trained heads have in common."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.layers import FixedPrototypes
from keras_dinolm.layers import l2_normalize
from keras_dinolm.layers.fixed_prototypes import shape_and_values
from keras_dinolm.models.distillation.tower import width_of
from keras_dinolm.typing import Tensor

# As the heads of objectives are called.
FEATURES = {"sequence": "sequence", "token": "tokens"}


class HeadlessTeacher(keras.layers.Layer):
    """A teacher that never moves and was not trained with heads.

    To a lesson it is what a `Tower` is. In the place of a head it compares
    features themselves with given centroids.

    Args:
        encoder: layer with a `hidden_dim`, a `pooled_dim` and
            `check_num_layers`.
        prototypes: dict of `"sequence"` and `"token"` to centroids, or `None`.
        statistics: dict of `"sequence"` and `"token"` to a mean and a
            standard deviation, or `None`.
        **kwargs: as for `keras.layers.Layer`.
    """

    # Another network than the student, it also teaches what it sees in the
    # student's own view.
    teaches_own_view = True

    def __init__(
        self,
        encoder: Any,
        prototypes: Mapping | None,
        statistics: Mapping | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bottleneck_dim = encoder.hidden_dim
        prototypes = _by_feature("prototypes", prototypes)
        self.heads = tuple(sorted(prototypes))
        # As attributes, which Keras saves by name.
        for head in self.heads:
            shape_and_values(f"prototypes[{head!r}]", prototypes[head])
            layer = FixedPrototypes(prototypes[head], name=f"{head}_prototypes")
            width = width_of(head, encoder)
            if layer.dim != width:
                raise ValueError(
                    "Argument `prototypes` must have the width of the "
                    f"teacher's features, {width}. Received: "
                    f"prototypes[{head!r}] of width {layer.dim}"
                )
            setattr(self, layer.name, layer)
        numbers = {h: self.prototypes(h).num_prototypes for h in self.heads}
        if len(set(numbers.values())) > 1:
            raise ValueError(
                "Argument `prototypes` must have as many centroids for "
                "sequences as for tokens, since the student's heads do. "
                f"Received: prototypes with {numbers} centroids"
            )
        self.num_prototypes = min(numbers.values(), default=None)
        statistics = _by_feature("statistics", statistics)
        self._standardized = tuple(sorted(statistics))
        for head in self._standardized:
            width = width_of(head, encoder)
            pair = _mean_and_deviation(head, statistics[head], width)
            for kind, values in zip(("mean", "deviation"), pair):
                setattr(
                    self,
                    f"{head}_{kind}",
                    self.add_weight(
                        shape=(width,),
                        initializer=_constant(values),
                        trainable=False,
                        autocast=False,
                        dtype="float32",
                        name=f"{head}_{kind}",
                    ),
                )
        self.built = True

    def prototypes(self, head: str) -> FixedPrototypes:
        """The centroids of sequences or tokens."""
        if head not in self.heads:
            raise ValueError(
                f"The teacher has no centroids for {head!r}: pass "
                f"`prototypes={{{head!r}: ...}}`. It has: {list(self.heads)}"
            )
        return getattr(self, f"{head}_prototypes")

    def standardized(self, features: dict[str, Any]) -> dict[str, Any]:
        """Features minus their mean, over their standard deviation.

        A row of zeros, of which nothing is known, stays zero.

        Args:
            features: dict of `"sequence"`, `"tokens"`, or both.

        Returns:
            A dict of the same.
        """
        features = dict(features)
        for head in self._standardized:
            name = FEATURES[head]
            if name not in features:
                continue
            x = ops.cast(features[name], "float32")
            mean = getattr(self, f"{head}_mean")
            deviation = getattr(self, f"{head}_deviation")
            known = ops.any(x != 0, axis=-1, keepdims=True)
            features[name] = ops.where(known, (x - mean) / deviation, 0.0)
        return features

    def project(self, head: str, features: Tensor) -> Tensor:
        """Float32 unit vectors `[..., D]` of features."""
        self.prototypes(head)  # raises where there are none
        return l2_normalize(features)

    def logits(self, head: str, features: Tensor) -> Tensor:
        """Float32 cosines `[..., K]` of features and centroids."""
        return self.prototypes(head)(features)

    def factors(self, head: str, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the logits are the product of, for those too large to hold.

        Args:
            head: string.
            features: `[..., D]`.

        Returns:
            `(projected, prototypes)`, float32 of shapes `[..., D]` and
            `[D, K]`.
        """
        directions = self.prototypes(head).directions()
        return self.project(head, features), directions

    def freeze(self) -> None:
        """Makes all of it a constant of training."""
        self.trainable = False
        # Loading restores the flags of layers, not those of their variables.
        for variable in self.weights:
            variable.trainable = False

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            # The values are weights.
            "prototypes": {
                head: self.prototypes(head).get_config()["centroids"]
                for head in self.heads
            }
            or None,
            "statistics": dict.fromkeys(self._standardized) or None,
        }


def _by_feature(name, given):
    if given is None:
        return {}
    arguments.instance(
        name, given, Mapping, "a dict of 'sequence' and 'token', or `None`"
    )
    for key in given:
        arguments.choice(f"{name}[...]", key, FEATURES)
    return dict(given)


def _mean_and_deviation(head, given, width):
    """Two float32 arrays; `None` is a place for those of a file."""
    if given is None:
        return np.zeros(width, "float32"), np.ones(width, "float32")
    name = f"statistics[{head!r}]"
    if not isinstance(given, tuple | list) or len(given) != 2:
        arguments.refuse(name, given, "a pair of a mean and a deviation")
    pair = []
    for value in given:
        try:
            array = np.asarray(value, "float32")
        except (TypeError, ValueError, RuntimeError):
            array = np.full(0, np.nan)
        if array.shape not in ((), (width,)) or not np.isfinite(array).all():
            arguments.refuse(
                name,
                given,
                f"a pair of finite numbers or arrays of width {width}",
            )
        pair.append(np.broadcast_to(array, (width,)))
    if not (pair[1] > 0).all():
        arguments.refuse(name, given, "a pair with deviations above 0")
    return tuple(pair)


def _constant(values):
    return lambda shape, dtype=None: ops.convert_to_tensor(values, dtype)
