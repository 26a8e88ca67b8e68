"""Networks, the self-supervised model, and keras-hub tasks and presets.

Importing this registers the classes that keras-hub's `from_preset` needs.
"""

from keras_dinolm.models.distillation.cached_teacher import CachedTeacher
from keras_dinolm.models.distillation.dino_lm import DinoLM
from keras_dinolm.models.distillation.distillation import Distillation
from keras_dinolm.models.distillation.fixed_teacher import FixedTeacher
from keras_dinolm.models.distillation.lesson import Lesson
from keras_dinolm.models.distillation.token_features import token_features
from keras_dinolm.models.encoder.backbone import SIZES
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.extend_context import extend_context
from keras_dinolm.models.encoder.extend_depth import extend_depth
from keras_dinolm.models.encoder.stock_backbones import register_backbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.check_preset import check_preset
from keras_dinolm.models.presets.export_preset import export_preset
from keras_dinolm.models.presets.named import register as _register
from keras_dinolm.models.tasks.text_classifier import DinoLMTextClassifier
from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer

__all__ = [
    "SIZES",
    "CachedTeacher",
    "DinoLM",
    "DinoLMBackbone",
    "DinoLMTextClassifier",
    "DinoLMTextEmbedder",
    "DinoLMTextPreprocessor",
    "DinoLMTokenizer",
    "Distillation",
    "FixedTeacher",
    "Lesson",
    "TextEncoder",
    "check_preset",
    "export_preset",
    "extend_context",
    "extend_depth",
    "register_backbone",
    "token_features",
]

_register(DinoLMBackbone)
