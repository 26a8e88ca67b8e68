"""What a trained encoder sees, as pictures and one page of HTML.

Open a preset with `TextReader`, compute with `token_similarity`,
`attention_maps` and `prototype_atlas` (arrays and words), draw with the
`plot_*` functions (matplotlib figures), or let `write_page` do that for all.
"""

from keras_dinolm.pictures.attention_maps import AttentionMaps
from keras_dinolm.pictures.attention_maps import attention_maps
from keras_dinolm.pictures.attention_probabilities import (
    attention_probabilities,
)
from keras_dinolm.pictures.page import write_page
from keras_dinolm.pictures.plot_attention_maps import plot_attention_maps
from keras_dinolm.pictures.plot_prototype_atlas import plot_prototype_atlas
from keras_dinolm.pictures.plot_token_similarity import plot_token_similarity
from keras_dinolm.pictures.prototype_atlas import Prototype
from keras_dinolm.pictures.prototype_atlas import PrototypeAtlas
from keras_dinolm.pictures.prototype_atlas import Span
from keras_dinolm.pictures.prototype_atlas import prototype_atlas
from keras_dinolm.pictures.text_reader import TextReader
from keras_dinolm.pictures.token_similarity import TokenSimilarity
from keras_dinolm.pictures.token_similarity import token_similarity
from keras_dinolm.pictures.tokens import Tokens

__all__ = [
    "AttentionMaps",
    "Prototype",
    "PrototypeAtlas",
    "Span",
    "TextReader",
    "TokenSimilarity",
    "Tokens",
    "attention_maps",
    "attention_probabilities",
    "plot_attention_maps",
    "plot_prototype_atlas",
    "plot_token_similarity",
    "prototype_atlas",
    "token_similarity",
    "write_page",
]
