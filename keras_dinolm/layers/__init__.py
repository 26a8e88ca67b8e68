"""The parts of the network."""

from keras_dinolm.layers.attention import SelfAttention as SelfAttention
from keras_dinolm.layers.drop_path import DropPath as DropPath
from keras_dinolm.layers.encoder_block import EncoderBlock as EncoderBlock
from keras_dinolm.layers.expander import Expander as Expander
from keras_dinolm.layers.layer_scale import LayerScale as LayerScale
from keras_dinolm.layers.mlp import FeedForward as FeedForward
from keras_dinolm.layers.normalize import l2_normalize as l2_normalize
from keras_dinolm.layers.online_codebook import OnlineCodebook as OnlineCodebook
from keras_dinolm.layers.poolers import AttentionPooling as AttentionPooling
from keras_dinolm.layers.poolers import ClsPooling as ClsPooling
from keras_dinolm.layers.poolers import MeanPooling as MeanPooling
from keras_dinolm.layers.poolers import get_pooler as get_pooler
from keras_dinolm.layers.projection import ProjectionHead as ProjectionHead
from keras_dinolm.layers.prototypes import Prototypes as Prototypes
from keras_dinolm.layers.registers import Registers as Registers
from keras_dinolm.layers.rotary import RotaryTables as RotaryTables
from keras_dinolm.layers.targets import Centering as Centering
from keras_dinolm.layers.targets import Sinkhorn as Sinkhorn
