"""Corpora, tokenizer training, token store, and datasets of views.

Importing this imports no framework: worker processes and scripts that only
prepare data start at once.
"""

from keras_dinolm.data.corpora.documents import Corpus as Corpus
from keras_dinolm.data.corpora.documents import Document as Document
from keras_dinolm.data.corpora.files import read_jsonl as read_jsonl
from keras_dinolm.data.corpora.files import read_text as read_text
from keras_dinolm.data.corpora.installed import installed_docs as installed_docs
from keras_dinolm.data.dataset import steps_per_epoch as steps_per_epoch
from keras_dinolm.data.dataset import view_dataset as view_dataset
from keras_dinolm.data.near_duplicates import (
    find_near_duplicates as find_near_duplicates,
)
from keras_dinolm.data.ppmi_embeddings import ppmi_embeddings as ppmi_embeddings
from keras_dinolm.data.token_store import TokenStore as TokenStore
from keras_dinolm.data.tokenization import tokenize as tokenize
from keras_dinolm.data.tokenizer_training import (
    train_tokenizer as train_tokenizer,
)
