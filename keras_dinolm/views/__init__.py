"""Views of text: spans, masks and perturbations."""

from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.text_views import TextViews
from keras_dinolm.views.view_group import ViewGroup
from keras_dinolm.views.view_group import default_groups

__all__ = ["SpecialTokens", "TextViews", "ViewGroup", "default_groups"]
