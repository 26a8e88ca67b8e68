"""HuBERT's loss: predict the cluster of a masked token."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm import losses
from keras_dinolm.layers.fixed_prototypes import FixedPrototypes
from keras_dinolm.layers.near_tokens import mean_of_near_tokens
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.features import rows_at
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.own_teacher import check_own_teacher
from keras_dinolm.objectives.own_teacher import own_copy
from keras_dinolm.objectives.own_teacher import own_tokens
from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.objectives.view_groups import reads_of
from keras_dinolm.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dinolm")
class UnitPrediction(Objective):
    """Cross-entropy of the masked tokens over clusters of a fixed teacher.

    Clusters of what an encoder says of its tokens are *units*: a vocabulary
    of its own, coarser than that of the tokenizer. The teacher reads a view
    whole, and the unit of each masked token is the centroid that is nearest
    to the teacher's feature of it, by cosine. The student reads the view with
    tokens masked and predicts the units, through a dense layer, a norm and a
    softmax that belong to this objective. Each masked view weighs the same.

    The teacher must not move, or the centroids would lose their meaning. The
    encoder of an earlier phase is a good one; a bag of embeddings (a backbone
    without blocks) costs no more than looking up its rows. Training may then
    go on with the units of what it made, HuBERT's second iteration.

    Metrics: `accuracy`, the share of masked tokens whose unit is predicted,
    and `target_perplexity`, how many units a batch has: 1 if the clusters
    collapsed, K if all are as frequent.

    Args:
        centroids: array `[K, dim]` of the teacher's width, from
            `keras_dinolm.data.centroids`; or a pair of ints `(K, dim)` for
            random directions, as for `keras_dinolm.layers.FixedPrototypes`.
        teacher: `TextEncoder` or backbone that reads the same token ids, of
            any width; it is copied and frozen. `None` takes the teacher of
            the lesson, which must be a fixed one.
        window: int. Over how many tokens of text on either side the
            teacher's features are averaged before they are compared; 0 takes
            the token alone.
        temperature: float or `None`. `None` makes the nearest centroid the
            target; with a temperature the target is the softmax of all
            cosines divided by it.
        **kwargs: as for `Objective`: `weight`, `start`, `stop`, `name`.

    Raises:
        ValueError: for centroids of another width than the teacher's, fewer
            than two or not finite, a negative `window`, a temperature that is
            not positive, a teacher of another vocabulary or one that moves,
            or if no masked view is read.

    Example:

    Units of a bag of embeddings, beside masked language modelling. The
    moving average is still the teacher of the model, and what is exported.

    ```python
    import keras_dinolm as kd

    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(60)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    whole = kd.views.ViewGroup("whole", 1, mask_probability=1.0)
    views = kd.views.TextViews(tokenizer, sequence_length=16, groups=[whole])
    dataset = kd.data.view_dataset(tokens, views, batch_size=8)

    bag = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(), num_layers=0, num_heads=2, hidden_dim=16,
        intermediate_dim=32, num_registers=0,
    )
    # ... train the bag, then
    features = kd.models.token_features(bag, dataset, num_tokens=500)
    units = kd.objectives.UnitPrediction(
        kd.data.centroids(features, num_clusters=8), teacher=bag
    )
    model = kd.models.DinoLM(
        kd.models.extend_depth(bag, num_layers=1),
        [kd.objectives.MaskedLM(), units],
        roles=views.roles,
    )
    ```

    The second iteration takes the units of what was trained:

    ```python
    # ... train, then
    encoder = model.learned().encoder
    features = kd.models.token_features(encoder, dataset, num_tokens=500)
    units = kd.objectives.UnitPrediction(
        kd.data.centroids(features, num_clusters=8), teacher=encoder
    )
    ```

    References:
        - [HuBERT](https://arxiv.org/abs/2106.07447)
        - [BEST-RQ, random directions](https://arxiv.org/abs/2202.01855)
    """

    extra_metrics = ("accuracy", "target_perplexity")
    reads_tokens = "masked"

    def __init__(
        self,
        centroids: Any,
        teacher: Any = None,
        window: int = 0,
        temperature: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.centroids = FixedPrototypes(centroids, name="centroids")
        check_own_teacher(teacher)
        # A function, so that Keras does not count the network as ours: it is
        # copied.
        self._given = None if teacher is None else lambda: teacher
        self.window = arguments.integer("window", window, 0, 1_000)
        if temperature is not None:
            temperature = arguments.number(
                "temperature",
                temperature,
                above=0,
                meaning="or `None` for the nearest centroid alone",
            )
        self.temperature = temperature
        self.unit_teacher: Any = None

    def reads(self, roles: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        if self._given:
            return {("student", group) for group in groups_of(roles, "student")}
        return reads_of(roles, groups_of(roles, "student", "teacher"))

    def build_for(self, lesson: Any) -> None:
        if self._given:
            self.groups = groups_of(lesson.roles, "student")
            self.unit_teacher = own_copy(
                self._given(), lesson, "UnitPrediction", "unit_teacher"
            )
            encoder = self.unit_teacher
        else:
            if not lesson.teacher_is_fixed:
                raise ValueError(
                    "Centroids are those of a network that does not move: "
                    "pass the encoder that they come from as `teacher` to "
                    "`UnitPrediction`, or a fixed `teacher` to the model. "
                    "Received: teacher=None, and a model whose teacher "
                    "follows its student"
                )
            self.groups = groups_of(lesson.roles, "student", "teacher")
            encoder = lesson.teacher.encoder
        if not self.groups:
            raise ValueError(
                "`UnitPrediction` needs a view group that both networks read, "
                "since it compares the same view masked and whole. "
                f"Received: roles={dict(lesson.roles)}"
            )
        if self.centroids.dim != encoder.hidden_dim:
            raise ValueError(
                "Argument `centroids` must have the width of the teacher's "
                f"features, {encoder.hidden_dim}. Received: centroids of "
                f"width {self.centroids.dim}"
            )
        dim = lesson.student.encoder.hidden_dim
        self.transform = keras.layers.Dense(
            dim, activation="gelu", dtype=self.dtype_policy, name="transform"
        )
        self.transform.build((None, dim))
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, dim))
        self.classifier = keras.layers.Dense(
            self.centroids.num_prototypes,
            dtype=self.dtype_policy,
            name="classifier",
        )
        self.classifier.build((None, dim))
        super().build_for(lesson)

    def compute(self, features: Features) -> Result:
        def read(group, indices):
            taught = self._teacher_tokens(features, group)
            if self.window:
                is_text = features.batch[group]["positions"] >= 0
                taught = mean_of_near_tokens(taught, is_text, self.window)
            tokens = features.student[group]["tokens"]
            return rows_at(tokens, indices), rows_at(taught, indices)

        (rows, taught), valid, weight = features.masked_rows(
            "UnitPrediction", self.groups, read
        )
        # A token of which the teacher says nothing has no unit.
        known = ops.cast(ops.any(taught != 0, axis=-1), "float32")
        valid, weight = valid * known, weight * known

        targets = self._targets(taught)
        logits = self.classifier(self.norm(self.transform(rows)))
        logits = ops.cast(logits, "float32")
        loss = losses.token_cross_entropy(
            targets, logits, 1.0, sample_weight=weight
        )
        right = ops.argmax(logits, axis=-1) == ops.argmax(targets, axis=-1)
        count = ops.maximum(ops.sum(valid), 1.0)
        usage = ops.matmul(valid[None], targets) / count
        metrics = {
            "accuracy": ops.sum(ops.cast(right, "float32") * valid) / count,
            "target_perplexity": ops.exp(losses.entropy(usage)),
        }
        return Result(loss, metrics)

    def _teacher_tokens(self, features: Features, group: str) -> Tensor:
        if self._given:
            return own_tokens(self.unit_teacher, features.batch[group])
        return features.teacher[group]["tokens"]

    def _targets(self, taught: Tensor) -> Tensor:
        """Which units the rows `[M, D]` are: float32 `[M, K]`."""
        scores = self.centroids(taught)
        if self.temperature is None:
            return ops.one_hot(
                ops.argmax(scores, axis=-1),
                self.centroids.num_prototypes,
                dtype="float32",
            )
        return ops.softmax(scores / self.temperature)

    def get_config(self) -> dict:
        teacher = None
        if self._given:
            teacher = self._given() if not self.built else self.unit_teacher
        return {
            **super().get_config(),
            "centroids": self.centroids.get_config()["centroids"],
            "teacher": keras.saving.serialize_keras_object(teacher),
            "window": self.window,
            "temperature": self.temperature,
        }
