"""Views of text: spans, masks, perturbations and their curriculum."""

from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.synonym_table import synonym_table
from keras_dinolm.views.text_views import TextViews
from keras_dinolm.views.typo_table import typo_table
from keras_dinolm.views.view_group import ViewGroup
from keras_dinolm.views.view_group import default_groups

__all__ = [
    "ReplacementTable",
    "SpecialTokens",
    "TextViews",
    "ViewGroup",
    "default_groups",
    "synonym_table",
    "typo_table",
]
