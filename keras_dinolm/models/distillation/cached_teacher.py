"""A teacher whose features were computed beforehand and come in the batch."""

from collections.abc import Mapping
from typing import Any
from typing import NoReturn

import keras

from keras_dinolm import arguments
from keras_dinolm.models.distillation.headless import HeadlessTeacher
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class CachedTeacher(HeadlessTeacher):
    """A teacher that reads its features from the batch, without a network.

    Give it to a `DinoLM` or a `Lesson` as `teacher`. Its features were
    computed once (`keras_dinolm.data.teacher_features`) and come with each
    view group that has the role `"teacher"` (`view_dataset(...,
    features={name: store})`): `"<name>_sequence"` `[B, dim]` of the document,
    and `"<name>_tokens"` `[B, V, L, dim]` of the tokens of each view. It may
    have any tokenizer. Objectives that compare features or given prototypes
    work as with a `FixedTeacher`; those that read inner layers do not.

    Its feature of a text is that of the document, whatever part of it a view
    shows: `[B, 1, dim]`, as of one view. A row of zeros, where there is no
    feature, stays zero. `SequenceRegression`, `TokenRegression` and
    `UnitPrediction` leave it out; other objectives need features of all.

    Args:
        name: string. What the features are called in the batch, and the
            teacher in the model.
        dim: int. Width of the features.
        prototypes: as for `FixedTeacher`.
        statistics: as for `FixedTeacher`.
        **kwargs: as for `keras.layers.Layer`.

    Raises:
        ValueError: for a name that is no identifier, a width below 1, or
            centroids or statistics of another width.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    pooled = np.random.default_rng(0).normal(size=(1_000, 384)) + 0.5
    teacher = kd.models.CachedTeacher(
        "minilm", 384, statistics={"sequence": (pooled.mean(axis=0), 1.0)}
    )
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone.from_size("nano", 100),
        [
            kd.objectives.SequenceRegression(),
            kd.objectives.TokenRegression("squared", hidden_dim=256),
        ],
        teacher=teacher,
    )
    ```

    A student of two teachers has a lesson of each:

    ```python
    encoder = kd.models.TextEncoder(
        kd.models.DinoLMBackbone.from_size("nano", 100)
    )
    model = kd.models.Distillation([
        kd.models.Lesson(
            encoder,
            [kd.objectives.SequenceRegression()],
            teacher=kd.models.CachedTeacher(name, dim),
            name=name,
        )
        for name, dim in (("minilm", 384), ("mpnet", 768))
    ])
    ```
    """

    def __init__(
        self,
        name: str,
        dim: int,
        prototypes: Mapping | None = None,
        statistics: Mapping | None = None,
        **kwargs: Any,
    ) -> None:
        name = arguments.string("name", name)
        if not name.isidentifier():
            arguments.refuse("name", name, "a Python identifier")
        self._features = name
        dim = arguments.count("dim", dim)
        kwargs.setdefault("dtype", "float32")
        super().__init__(
            CachedEncoder(dim, name="encoder"),
            prototypes,
            statistics,
            name=name,
            **kwargs,
        )

    def call(
        self,
        arrays: dict[str, Tensor],
        masked: bool = False,
        training: bool | None = None,
        num_layers: int = 0,
        needs_tokens: bool = True,
    ) -> dict[str, Any]:
        """The features of one view group that are in the batch.

        Args:
            arrays: dict of the group's arrays.
            masked: not used, the features are of whole texts.
            training: not used.
            num_layers: not used, there is one layer.
            needs_tokens: bool. Whether to return `"tokens"`.

        Returns:
            A dict of `"sequence"` and, where needed, `"tokens"`.
        """
        features = {}
        found = self._array(arrays, "sequence", 2)
        features["sequence"] = found[:, None]
        if needs_tokens:
            features["tokens"] = self._array(arrays, "tokens", 4)
        return self.standardized(features)

    def _array(self, arrays, kind, rank):
        """An array of the batch, or an error that says how to get it."""
        name = f"{self._features}_{kind}"
        if name not in arrays:
            raise ValueError(
                f"The batch has no {name!r} for the `CachedTeacher`. Pass "
                f"`features={{{self._features!r}: store}}` to `view_dataset`. "
                f"Received a view group with: {sorted(arrays)}"
            )
        shape = tuple(arrays[name].shape)
        if len(shape) != rank or shape[-1] != self.encoder.hidden_dim:
            raise ValueError(
                f"The features {name!r} must have width "
                f"{self.encoder.hidden_dim}, the `dim` of the "
                f"`CachedTeacher`. Received: an array of shape {shape}"
            )
        return arrays[name]

    def clone(self, name: str) -> "CachedTeacher":
        """Makes an independent teacher with equal weights.

        Args:
            name: not used: its own says what it reads.
        """
        copy = type(self).from_config(self.get_config())
        copy.set_weights(self.get_weights())
        return copy

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "name": self._features,
            "dim": self.encoder.hidden_dim,
        }


class CachedEncoder(keras.layers.Layer):
    """What objectives ask of a teacher's encoder: a width, and no layers.

    Args:
        hidden_dim: int.
        **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(self, hidden_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = self.pooled_dim = hidden_dim
        self.built = True

    def check_num_layers(self, num_layers: int) -> NoReturn:
        """Raises an error: there are no layers.

        Args:
            num_layers: int.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "A `CachedTeacher` has the features of the last layer alone: use "
            "`TokenRegression(tokens='masked')` for its tokens. Received: "
            f"num_layers={num_layers}"
        )
