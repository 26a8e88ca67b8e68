"""AdamW as self-distillation needs it, on Keras' own Adam."""

from keras_dinolm.training.optimizers.optimizer import AdamW
from keras_dinolm.training.optimizers.recipe import adamw
from keras_dinolm.training.optimizers.scale_learning_rate import (
    scale_learning_rate,
)

__all__ = ["AdamW", "adamw", "scale_learning_rate"]
