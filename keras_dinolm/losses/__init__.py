"""Pure functions of arrays: formulas and nothing else.

Every function takes backend tensors (or NumPy arrays) of any floating dtype,
computes in float32 and returns float32. None of them keeps state or knows
anything of models, views or objectives.

Matrix products (`gram`, `info_nce`, `sigreg`, `similarity_cross_entropy`,
`vicreg`, the neighbour search of `koleo`, and the logits within
`chunked_cross_entropy` and `sinkhorn_potential`) use the precision that the
backend is set to: on a GPU that may be TF32. The other cross-entropies and
targets use no matrix product.
"""

from keras_dinolm.losses.centered_softmax import centered_softmax
from keras_dinolm.losses.chunked_cross_entropy import chunked_cross_entropy
from keras_dinolm.losses.chunks import MAX_LOGITS
from keras_dinolm.losses.cosine_distance import cosine_distance
from keras_dinolm.losses.entropy import entropy
from keras_dinolm.losses.gram import gram
from keras_dinolm.losses.info_nce import info_nce
from keras_dinolm.losses.koleo import koleo
from keras_dinolm.losses.mean_entropy import mean_entropy
from keras_dinolm.losses.sigreg import sigreg
from keras_dinolm.losses.similarity_cross_entropy import (
    similarity_cross_entropy,
)
from keras_dinolm.losses.sinkhorn_knopp import sinkhorn_knopp
from keras_dinolm.losses.sinkhorn_potential import sinkhorn_potential
from keras_dinolm.losses.smooth_l1 import smooth_l1
from keras_dinolm.losses.token_cross_entropy import token_cross_entropy
from keras_dinolm.losses.vicreg import vicreg
from keras_dinolm.losses.view_cross_entropy import view_cross_entropy

__all__ = [
    "MAX_LOGITS",
    "centered_softmax",
    "chunked_cross_entropy",
    "cosine_distance",
    "entropy",
    "gram",
    "info_nce",
    "koleo",
    "mean_entropy",
    "sigreg",
    "similarity_cross_entropy",
    "sinkhorn_knopp",
    "sinkhorn_potential",
    "smooth_l1",
    "token_cross_entropy",
    "vicreg",
    "view_cross_entropy",
]
