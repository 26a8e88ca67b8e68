"""Corpora, tokenizer training, token stores, and datasets of batches.

Importing this imports no framework, so that worker processes and scripts that
only prepare data start at once.
"""

from keras_dinolm.data.centroids import centroids
from keras_dinolm.data.corpora.any_files import read_files
from keras_dinolm.data.corpora.corpus import Corpus
from keras_dinolm.data.corpora.csv_files import read_csv
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.installed_docs import installed_docs
from keras_dinolm.data.corpora.json_lines import read_jsonl
from keras_dinolm.data.corpora.parquet_files import read_parquet
from keras_dinolm.data.corpora.tables import read_table
from keras_dinolm.data.corpora.text_files import read_text
from keras_dinolm.data.feature_store import FeatureStore
from keras_dinolm.data.homogeneous_batches import HomogeneousBatches
from keras_dinolm.data.joined_features import JoinedFeatures
from keras_dinolm.data.near_duplicates import find_near_duplicates
from keras_dinolm.data.passages import passages
from keras_dinolm.data.ppmi_embeddings import ppmi_embeddings
from keras_dinolm.data.sif_weights import sif_weights
from keras_dinolm.data.stream_dataset import stream_dataset
from keras_dinolm.data.teacher_features import teacher_features
from keras_dinolm.data.token_counts import token_counts
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.data.tokenization import tokenize
from keras_dinolm.data.tokenizer_training import train_tokenizer
from keras_dinolm.data.unknown_rates import UnknownRate
from keras_dinolm.data.unknown_rates import unknown_rates
from keras_dinolm.data.view_dataset import steps_per_epoch
from keras_dinolm.data.view_dataset import view_dataset

__all__ = [
    "Corpus",
    "Document",
    "FeatureStore",
    "HomogeneousBatches",
    "JoinedFeatures",
    "TokenStore",
    "UnknownRate",
    "centroids",
    "find_near_duplicates",
    "installed_docs",
    "passages",
    "ppmi_embeddings",
    "read_csv",
    "read_files",
    "read_jsonl",
    "read_parquet",
    "read_table",
    "read_text",
    "sif_weights",
    "steps_per_epoch",
    "stream_dataset",
    "teacher_features",
    "token_counts",
    "tokenize",
    "train_tokenizer",
    "unknown_rates",
    "view_dataset",
]
