"""The parts of the network."""

from keras_dinolm.layers.attention import SelfAttention
from keras_dinolm.layers.drop_path import DropPath
from keras_dinolm.layers.encoder_block import EncoderBlock
from keras_dinolm.layers.expander import Expander
from keras_dinolm.layers.fixed_prototypes import FixedPrototypes
from keras_dinolm.layers.layer_scale import LayerScale
from keras_dinolm.layers.mlp import FeedForward
from keras_dinolm.layers.normalize import l2_normalize
from keras_dinolm.layers.online_codebook import OnlineCodebook
from keras_dinolm.layers.poolers import AttentionPooling
from keras_dinolm.layers.poolers import ClsPooling
from keras_dinolm.layers.poolers import MeanPooling
from keras_dinolm.layers.poolers import WeightedMeanPooling
from keras_dinolm.layers.poolers import get_pooler
from keras_dinolm.layers.projection import ProjectionHead
from keras_dinolm.layers.prototypes import Prototypes
from keras_dinolm.layers.registers import Registers
from keras_dinolm.layers.rotary import RotaryTables
from keras_dinolm.layers.targets import Centering
from keras_dinolm.layers.targets import Sinkhorn

__all__ = [
    "AttentionPooling",
    "Centering",
    "ClsPooling",
    "DropPath",
    "EncoderBlock",
    "Expander",
    "FeedForward",
    "FixedPrototypes",
    "LayerScale",
    "MeanPooling",
    "OnlineCodebook",
    "ProjectionHead",
    "Prototypes",
    "Registers",
    "RotaryTables",
    "SelfAttention",
    "Sinkhorn",
    "WeightedMeanPooling",
    "get_pooler",
    "l2_normalize",
]
