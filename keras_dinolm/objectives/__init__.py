"""What the student learns from: each a loss, a weight and its own metrics."""

from keras_dinolm.objectives.cross_view_token_distillation import (
    CrossViewTokenDistillation as CrossViewTokenDistillation,
)
from keras_dinolm.objectives.feature_regression import (
    FeatureRegression as FeatureRegression,
)
from keras_dinolm.objectives.features import Features as Features
from keras_dinolm.objectives.gram_anchoring import (
    GramAnchoring as GramAnchoring,
)
from keras_dinolm.objectives.info_nce import InfoNCE as InfoNCE
from keras_dinolm.objectives.koleo import KoLeo as KoLeo
from keras_dinolm.objectives.masked_lm import MaskedLM as MaskedLM
from keras_dinolm.objectives.mean_entropy_maximization import (
    MeanEntropyMaximization as MeanEntropyMaximization,
)
from keras_dinolm.objectives.objective import Objective as Objective
from keras_dinolm.objectives.objective import Result as Result
from keras_dinolm.objectives.sequence_distillation import (
    SequenceDistillation as SequenceDistillation,
)
from keras_dinolm.objectives.similarity_distillation import (
    SimilarityDistillation as SimilarityDistillation,
)
from keras_dinolm.objectives.token_distillation import (
    TokenDistillation as TokenDistillation,
)
from keras_dinolm.objectives.vicreg import VICReg as VICReg
