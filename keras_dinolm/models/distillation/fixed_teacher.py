"""A published or trained encoder as a teacher, without heads."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.models.distillation.headless import HeadlessTeacher
from keras_dinolm.models.distillation.tower import read_views
from keras_dinolm.models.encoder.lora import merged_values
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class FixedTeacher(HeadlessTeacher):
    """An encoder that teaches, never moves, and has no trained heads.

    Give it to a `DinoLM` or a `Lesson` as `teacher`. It reads the same token
    ids as the student. Objectives that compare features (`SequenceRegression`,
    `TokenRegression`, `SimilarityDistillation`, `FeatureRegression`,
    `UnitPrediction`) need nothing more. `SequenceDistillation` and
    `TokenDistillation` compare with `prototypes`, here given centroids.

    Args:
        encoder: `TextEncoder`, `DinoLMBackbone` or a supported keras-hub
            backbone. A model that learns from the teacher copies it.
        prototypes: dict of `"sequence"`, `"token"` or both to centroids
            `[K, dim]` of the teacher's features, for example from
            `keras_dinolm.data.centroids`. A score is a cosine. K is the
            number of the student's prototypes.
        statistics: dict of `"sequence"`, `"token"` or both to a pair of a
            mean and a standard deviation, numbers or arrays `[dim]`. What
            teaches is the feature minus the mean, over the deviation. The
            features of most published encoders have a large direction in
            common, in which cosines and clusters see little else.
        **kwargs: as for `keras.layers.Layer`.

    Raises:
        ValueError: for something that is no encoder, centroids or statistics
            of another width, or numbers of centroids that differ between
            sequences and tokens.

    Example:

    ```python
    import keras_hub
    import numpy as np
    import keras_dinolm as kd

    bert = keras_hub.models.BertBackbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=16,
        intermediate_dim=32,
    )
    centroids = np.random.default_rng(0).normal(size=(8, 16))
    teacher = kd.models.FixedTeacher(bert, {"sequence": centroids})
    student = kd.models.DinoLMBackbone.from_size("nano", 100)
    model = kd.models.DinoLM(
        student, [kd.objectives.SequenceDistillation()], teacher=teacher
    )
    ```
    """

    def __init__(
        self,
        encoder: Any,
        prototypes: Mapping | None = None,
        statistics: Mapping | None = None,
        **kwargs: Any,
    ) -> None:
        arguments.instance(
            "encoder",
            encoder,
            (TextEncoder, keras.Model),
            "a `DinoLMBackbone`, a supported keras-hub backbone, or a "
            "`TextEncoder`",
        )
        if not isinstance(encoder, TextEncoder):
            encoder = TextEncoder(encoder, name="encoder")
        super().__init__(encoder, prototypes, statistics, **kwargs)

    def call(
        self,
        arrays: dict[str, Tensor],
        masked: bool = False,
        training: bool | None = None,
        num_layers: int = 0,
        needs_tokens: bool = True,
    ) -> dict[str, Any]:
        """Features of one view group.

        Args:
            arrays: dict of the group's arrays, as `TextViews` makes them.
            masked: bool. Whether to read the masked text where there is one.
            training: bool.
            num_layers: int. How many of the last layers to return as well.
            needs_tokens: bool. Whether to return `"tokens"`.

        Returns:
            A dict of features, as `TextEncoder` returns it for each view.
        """
        features = read_views(
            self.encoder, arrays, masked, training, num_layers, needs_tokens
        )
        return self.standardized(features)

    def clone(self, name: str) -> "FixedTeacher":
        """Makes an independent teacher with equal weights.

        Args:
            name: string.

        Returns:
            A `FixedTeacher`.
        """
        config = {**self.get_config(), "name": name}
        del config["encoder"]
        copy = type(self)(self.encoder.clone(), **config)
        copy.set_weights(
            [ops.convert_to_numpy(value) for value in merged_values(self)]
        )
        return copy

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FixedTeacher":
        config = dict(config)
        config["encoder"] = keras.saving.deserialize_keras_object(
            arguments.field(config, "encoder", cls)
        )
        return cls(**config)
