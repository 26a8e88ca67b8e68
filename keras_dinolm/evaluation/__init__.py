"""What frozen features are worth: plain functions of arrays and labels.

Every function takes NumPy arrays or backend tensors of any floating dtype and
returns a Python float. Accuracies, nDCG, F1 and correlations are fractions,
not percent. Results are exact and the same on every backend: what an
accelerator finds in float32 is measured again in float64.
"""

from keras_dinolm.evaluation.alignment import alignment
from keras_dinolm.evaluation.entity_f1 import entity_f1
from keras_dinolm.evaluation.knn_accuracy import knn_accuracy
from keras_dinolm.evaluation.linear_probe import linear_probe
from keras_dinolm.evaluation.rankme import rankme
from keras_dinolm.evaluation.retrieval_ndcg import retrieval_ndcg
from keras_dinolm.evaluation.sts_spearman import sts_spearman
from keras_dinolm.evaluation.token_probe import token_probe
from keras_dinolm.evaluation.uniformity import uniformity

__all__ = [
    "alignment",
    "entity_f1",
    "knn_accuracy",
    "linear_probe",
    "rankme",
    "retrieval_ndcg",
    "sts_spearman",
    "token_probe",
    "uniformity",
]
