"""Ways to train, each written once, and one call from texts to an encoder.

`pretrain` does all of it from scratch, and `distill` from an encoder that
exists. A recipe is a function that returns a list of
`Phase`; `register` adds one of your own.
"""

from keras_dinolm.recipes.bag_then_blocks import bag_then_blocks
from keras_dinolm.recipes.crop_info_nce import crop_info_nce
from keras_dinolm.recipes.dino import dino
from keras_dinolm.recipes.distill import distill
from keras_dinolm.recipes.long_context_adaptation import LongContextAdaptation
from keras_dinolm.recipes.masked_lm import masked_lm
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.plan import make_dataset
from keras_dinolm.recipes.pretrain import pretrain
from keras_dinolm.recipes.registry import get
from keras_dinolm.recipes.registry import names
from keras_dinolm.recipes.registry import register
from keras_dinolm.recipes.simcse import simcse
from keras_dinolm.recipes.start_prototypes import start_prototypes
from keras_dinolm.recipes.text_search import TextSearch

__all__ = [
    "LongContextAdaptation",
    "Phase",
    "TextSearch",
    "bag_then_blocks",
    "crop_info_nce",
    "dino",
    "distill",
    "get",
    "make_dataset",
    "masked_lm",
    "names",
    "pretrain",
    "register",
    "simcse",
    "start_prototypes",
]
