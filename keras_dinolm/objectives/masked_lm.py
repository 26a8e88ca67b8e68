"""BERT's loss: predict the masked tokens themselves."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.features import rows_at
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.view_groups import groups_of


@keras.saving.register_keras_serializable(package="keras_dinolm")
class MaskedLM(Objective):
    """Cross-entropy of the masked tokens over the vocabulary.

    It is useful at the start, when the teacher has little to teach and the
    text itself a lot. The output embedding is the encoder's input embedding.
    Each masked view weighs the same.

    Args:
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: if the student reads no masked view.

    Example:

    ```python
    import keras_dinolm as kd

    objective = kd.objectives.MaskedLM(stop=2_000)
    ```

    Reference:
        [BERT](https://arxiv.org/abs/1810.04805)
    """

    reads_tokens = "masked"

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        return {("student", group) for group in groups_of(roles, "student")}

    def build_for(self, lesson: Any) -> None:
        self.groups = groups_of(lesson.roles, "student")
        dim = lesson.student.encoder.hidden_dim
        embedding = lesson.student.encoder.token_embedding
        # A function, so that Keras does not count the embedding as ours.
        self._unembed = lambda hidden: embedding(hidden, reverse=True)
        self.transform = keras.layers.Dense(
            dim, activation="gelu", dtype=self.dtype_policy, name="transform"
        )
        self.transform.build((None, dim))
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, dim))
        self.bias = self.add_weight(
            shape=(embedding.input_dim,), initializer="zeros", name="bias"
        )
        super().build_for(lesson)

    def expect(self, counts: Any) -> None:
        """Starts the output from how often each token occurs.

        The output begins as a guess of equal chances, and its bias moves by a
        rate a step, so for hundreds of steps the embeddings learn little but
        which tokens are frequent. With the logarithm of their shares as the
        bias, masked LM begins where it would be after those steps, and the
        embeddings keep what they knew. Call it once the model is built.

        Args:
            counts: array `[vocabulary]` of numbers from 0 on, as
                `kd.data.token_counts`. What does not occur counts as a half.

        Raises:
            ValueError: if the counts are not of this vocabulary, or negative.
        """
        if not self.built:
            raise ValueError(
                "`MaskedLM.expect` sets a weight of a model: make a `DinoLM` "
                "with this objective first."
            )
        size = self.bias.shape[0]
        meaning = "how often each token occurs"
        row = arguments.matrix("counts", [counts], meaning=meaning)
        arguments.check_finite("counts", row)
        counts = row[0]
        if len(counts) != size or (counts < 0).any() or not counts.any():
            arguments.refuse(
                "counts", counts, f"{size} numbers from 0 on, not all 0"
            )
        counts = np.maximum(counts.astype("float64"), 0.5)
        self.bias.assign(np.log(counts / counts.sum()))

    def compute(self, features: Features) -> Result:
        def read(group, indices):
            labels = ops.reshape(features.batch[group]["token_ids"], (-1,))
            tokens = features.student[group]["tokens"]
            return rows_at(tokens, indices), ops.take(labels, indices)

        (rows, labels), _, weight = features.masked_rows(
            "MaskedLM", self.groups, read
        )
        hidden = self.norm(self.transform(rows))
        logits = self._unembed(hidden)
        logits = ops.cast(logits, "float32") + ops.cast(self.bias, "float32")
        errors = ops.sparse_categorical_crossentropy(
            labels, logits, from_logits=True
        )
        total = ops.sum(errors * weight)
        return Result(total / ops.maximum(ops.sum(weight), 1e-6))
