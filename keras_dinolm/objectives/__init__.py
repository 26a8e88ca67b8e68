"""What the student learns from: each a loss, a weight and its own metrics."""

from keras_dinolm.objectives.cross_view_token_distillation import (
    CrossViewTokenDistillation,
)
from keras_dinolm.objectives.feature_regression import FeatureRegression
from keras_dinolm.objectives.features import Features
from keras_dinolm.objectives.gram_anchoring import GramAnchoring
from keras_dinolm.objectives.info_nce import InfoNCE
from keras_dinolm.objectives.koleo import KoLeo
from keras_dinolm.objectives.masked_lm import MaskedLM
from keras_dinolm.objectives.mean_entropy_maximization import (
    MeanEntropyMaximization,
)
from keras_dinolm.objectives.momentum_contrast import MomentumContrast
from keras_dinolm.objectives.objective import Objective
from keras_dinolm.objectives.objective import Result
from keras_dinolm.objectives.sequence_distillation import SequenceDistillation
from keras_dinolm.objectives.sequence_regression import SequenceRegression
from keras_dinolm.objectives.sigreg import SIGReg
from keras_dinolm.objectives.similarity_distillation import (
    SimilarityDistillation,
)
from keras_dinolm.objectives.token_distillation import TokenDistillation
from keras_dinolm.objectives.token_regression import TokenRegression
from keras_dinolm.objectives.unit_prediction import UnitPrediction
from keras_dinolm.objectives.vicreg import VICReg

__all__ = [
    "CrossViewTokenDistillation",
    "FeatureRegression",
    "Features",
    "GramAnchoring",
    "InfoNCE",
    "KoLeo",
    "MaskedLM",
    "MeanEntropyMaximization",
    "MomentumContrast",
    "Objective",
    "Result",
    "SIGReg",
    "SequenceDistillation",
    "SequenceRegression",
    "SimilarityDistillation",
    "TokenDistillation",
    "TokenRegression",
    "UnitPrediction",
    "VICReg",
]
