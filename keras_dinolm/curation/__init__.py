"""Chooses what to train on: removes copies, junk and leaks, balances the rest.

Each function reads a corpus (or its features) once, changes nothing, and
returns a `Report`: which documents a rule removes, how many, and why.
`report.select(corpus)` gives those that stay.
"""

from keras_dinolm.curation.balance import balanced_sample
from keras_dinolm.curation.c4 import c4_quality
from keras_dinolm.curation.clusters import Clusters
from keras_dinolm.curation.duplicates import find_duplicates
from keras_dinolm.curation.gopher import gopher_quality
from keras_dinolm.curation.gopher import gopher_repetition
from keras_dinolm.curation.hierarchical_kmeans import hierarchical_kmeans
from keras_dinolm.curation.leaks import find_leaks
from keras_dinolm.curation.quality import filter_quality
from keras_dinolm.curation.report import Report
from keras_dinolm.curation.retrieval import retrieve_near
from keras_dinolm.curation.rules import Rule

__all__ = [
    "Clusters",
    "Report",
    "Rule",
    "balanced_sample",
    "c4_quality",
    "filter_quality",
    "find_duplicates",
    "find_leaks",
    "gopher_quality",
    "gopher_repetition",
    "hierarchical_kmeans",
    "retrieve_near",
]
