"""Ways to train, each written once."""

from keras_dinolm.recipes.long_context_adaptation import (
    LongContextAdaptation as LongContextAdaptation,
)
