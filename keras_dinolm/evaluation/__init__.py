"""What frozen features are worth.

Measures are plain functions of arrays and labels. Each takes NumPy arrays or
backend tensors of any floating dtype and returns a Python float. Accuracies,
nDCG, F1 and correlations are fractions, not percent. Results are exact and the
same on every backend: what an accelerator finds in float32 is measured again
in float64.

Readers take what is measured from files, and `evaluate` runs a suite of tasks
on anything that encodes texts.
"""

from keras_dinolm.evaluation.alignment import alignment
from keras_dinolm.evaluation.entity_f1 import entity_f1
from keras_dinolm.evaluation.evaluate import evaluate
from keras_dinolm.evaluation.few_shot_curve import few_shot_curve
from keras_dinolm.evaluation.held_out_documents import HeldOutDocuments
from keras_dinolm.evaluation.held_out_documents import first_sentence
from keras_dinolm.evaluation.knn_accuracy import knn_accuracy
from keras_dinolm.evaluation.linear_probe import linear_probe
from keras_dinolm.evaluation.mteb_encoder import MTEBEncoder
from keras_dinolm.evaluation.mteb_task import mteb_task
from keras_dinolm.evaluation.nli_probe import nli_probe
from keras_dinolm.evaluation.rankme import rankme
from keras_dinolm.evaluation.readers import LabelledTexts
from keras_dinolm.evaluation.readers import Searches
from keras_dinolm.evaluation.readers import TaggedWords
from keras_dinolm.evaluation.readers import TextPairs
from keras_dinolm.evaluation.readers import read_beir
from keras_dinolm.evaluation.readers import read_labelled_texts
from keras_dinolm.evaluation.readers import read_tagged_words
from keras_dinolm.evaluation.readers import read_text_pairs
from keras_dinolm.evaluation.retrieval_ndcg import retrieval_ndcg
from keras_dinolm.evaluation.sts_spearman import sts_spearman
from keras_dinolm.evaluation.task import Task
from keras_dinolm.evaluation.tasks import TASKS
from keras_dinolm.evaluation.tasks import ClassificationTask
from keras_dinolm.evaluation.tasks import NLITask
from keras_dinolm.evaluation.tasks import RetrievalTask
from keras_dinolm.evaluation.tasks import STSTask
from keras_dinolm.evaluation.tasks import TaggingTask
from keras_dinolm.evaluation.tasks import TopicTask
from keras_dinolm.evaluation.text_features import TextFeatures
from keras_dinolm.evaluation.token_probe import token_probe
from keras_dinolm.evaluation.uniformity import uniformity

__all__ = [
    "TASKS",
    "ClassificationTask",
    "HeldOutDocuments",
    "LabelledTexts",
    "MTEBEncoder",
    "NLITask",
    "RetrievalTask",
    "STSTask",
    "Searches",
    "TaggedWords",
    "TaggingTask",
    "Task",
    "TextFeatures",
    "TextPairs",
    "TopicTask",
    "alignment",
    "entity_f1",
    "evaluate",
    "few_shot_curve",
    "first_sentence",
    "knn_accuracy",
    "linear_probe",
    "mteb_task",
    "nli_probe",
    "rankme",
    "read_beir",
    "read_labelled_texts",
    "read_tagged_words",
    "read_text_pairs",
    "retrieval_ndcg",
    "sts_spearman",
    "token_probe",
    "uniformity",
]
