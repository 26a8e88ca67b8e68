"""A keras-hub text classifier on a `DinoLMBackbone`."""

from collections.abc import Callable
from typing import Any

import keras
import keras_hub
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.presets.load_preset import check_loaded
from keras_dinolm.models.presets.load_preset import check_vocabulary
from keras_dinolm.models.presets.load_preset import checked_options
from keras_dinolm.models.presets.named import resolve
from keras_dinolm.models.presets.preset_files import named_errors
from keras_dinolm.models.presets.write_preset import save_model
from keras_dinolm.models.tasks.recompiled import Recompiled
from keras_dinolm.models.tasks.string_inputs import StringInputs
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from keras_dinolm.models.tasks.text_preprocessor import check_preprocessor
from keras_dinolm.typing import Path


@keras.saving.register_keras_serializable(package="keras_dinolm")
class DinoLMTextClassifier(
    StringInputs, Recompiled, keras_hub.models.TextClassifier
):
    """Classifies texts: a linear head on the pooled features.

    `fit`, `predict` and `evaluate` take raw strings. Set
    `classifier.backbone.trainable = False` to train the head alone.

    Args:
        backbone: `DinoLMBackbone`.
        num_classes: int. Number of classes.
        preprocessor: `DinoLMTextPreprocessor`, or `None` if inputs come
            preprocessed.
        activation: string or function, applied to the output. `None` gives
            logits.
        dropout: float in [0, 1). Dropout on the pooled features in training.
        **kwargs: as for `keras_hub.models.TextClassifier`.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad"])
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", tokenizer.vocabulary_size()
    )
    # Or `DinoLMTextClassifier.from_preset("my_preset", num_classes=2)`.
    classifier = kd.models.DinoLMTextClassifier(
        backbone,
        num_classes=2,
        preprocessor=kd.models.DinoLMTextPreprocessor(tokenizer, 8),
    )
    classifier.fit(["good", "bad"], [1, 0], verbose=0)
    classifier.predict(["good"], verbose=0).shape  # (1, 2)
    ```
    """

    backbone_cls = DinoLMBackbone
    preprocessor_cls = DinoLMTextPreprocessor

    def __init__(
        self,
        backbone: DinoLMBackbone,
        num_classes: int,
        preprocessor: DinoLMTextPreprocessor | None = None,
        activation: str | Callable | None = None,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        num_classes = arguments.count("num_classes", num_classes)
        dropout = arguments.number("dropout", dropout, 0, below=1)
        arguments.instance(
            "backbone", backbone, DinoLMBackbone, "a `DinoLMBackbone`"
        )
        check_preprocessor(preprocessor)
        try:
            keras.activations.get(activation)
        except (TypeError, ValueError):
            arguments.refuse(
                "activation", activation, "an activation of Keras, or its name"
            )

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_dropout = keras.layers.Dropout(
            dropout, dtype=backbone.dtype_policy, name="output_dropout"
        )
        # Logits are float32, because losses need more than half precision.
        self.output_dense = keras.layers.Dense(
            num_classes, activation=activation, dtype="float32", name="logits"
        )

        # === Functional Model ===
        inputs = backbone.input
        pooled = backbone(inputs)["pooled_output"]
        outputs = self.output_dense(self.output_dropout(pooled))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self._serve(inputs, outputs)

        if preprocessor is not None:
            check_vocabulary("The model", backbone, preprocessor)

        # === Config ===
        self.num_classes = num_classes
        self.activation = keras.activations.get(activation)
        self.dropout = dropout

    @classmethod
    @named_errors
    def from_preset(
        cls, preset: Path, load_weights: bool = True, **kwargs: Any
    ) -> "DinoLMTextClassifier":
        """Loads a preset, with its trained head or with a new one.

        Args:
            preset: string or path. A folder, or a name such as
                `"dinolm_nano_en"`; `presets` lists them.
            load_weights: bool. Whether to load the weights, too.
            **kwargs: as for the constructor, such as `num_classes`, and
                `dtype`, by default the precision of the preset.

        Returns:
            A `DinoLMTextClassifier`.

        Raises:
            FileNotFoundError: if a local preset is not whole.
            ValueError: if a file of it must not be loaded, a weight is NaN,
                or the vocabulary does not fit the token embedding.
        """
        preset = resolve(preset)
        kwargs = checked_options(
            preset, kwargs, needs_tokenizer="preprocessor" not in kwargs
        )
        classifier = super().from_preset(preset, load_weights, **kwargs)
        check_loaded(preset, classifier, load_weights)
        return classifier

    def save_to_preset(
        self, preset_dir: Path, max_shard_size: float | None = 10
    ) -> None:
        """Writes a preset of all parts, in place of an earlier one.

        Args:
            preset_dir: string or path. New, empty, or a preset without any
                other file.
            max_shard_size: number or `None`. Largest file of weights, in GB.

        Raises:
            FileExistsError: if `preset_dir` holds something else.
            ValueError: if a weight is NaN or infinite.
        """
        save_model(self, preset_dir, super().save_to_preset, max_shard_size)

    def _check_labels(self, name, y):
        super()._check_labels(name, y)
        if y is None or self.num_classes == 1:
            return
        labels = np.asarray(y)
        if labels.ndim == 2 and labels.shape[1] == self.num_classes:
            return  # one number per class
        wrong = (labels < 0) | (labels >= self.num_classes)
        wrong |= labels != np.floor(labels)
        if wrong.any():
            index = np.argwhere(wrong)[0].tolist()
            raise ValueError(
                f"Argument `{name}` must hold the numbers of classes, from 0 "
                f"to {self.num_classes - 1}. Received: "
                f"{name}{index}={labels[tuple(index)]}. Build the classifier "
                "with another `num_classes`, or number the classes from 0."
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "num_classes": self.num_classes,
                "activation": keras.activations.serialize(self.activation),
                "dropout": self.dropout,
            }
        )
        return config
