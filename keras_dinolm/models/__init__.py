"""Networks, the self-supervised model, and keras-hub tasks and presets.

Importing this registers the classes that keras-hub's `from_preset` needs.
"""

from keras_dinolm.models.distillation.dino_lm import DinoLM as DinoLM
from keras_dinolm.models.distillation.distillation import (
    Distillation as Distillation,
)
from keras_dinolm.models.distillation.lesson import Lesson as Lesson
from keras_dinolm.models.encoder.backbone import SIZES as SIZES
from keras_dinolm.models.encoder.backbone import (
    DinoLMBackbone as DinoLMBackbone,
)
from keras_dinolm.models.encoder.extend_context import (
    extend_context as extend_context,
)
from keras_dinolm.models.encoder.extend_depth import (
    extend_depth as extend_depth,
)
from keras_dinolm.models.encoder.stock_backbones import (
    register_backbone as register_backbone,
)
from keras_dinolm.models.encoder.text_encoder import TextEncoder as TextEncoder
from keras_dinolm.models.presets.export_preset import (
    export_preset as export_preset,
)
from keras_dinolm.models.presets.preset_files import (
    check_preset as check_preset,
)
from keras_dinolm.models.tasks.text_classifier import (
    DinoLMTextClassifier as DinoLMTextClassifier,
)
from keras_dinolm.models.tasks.text_embedder import (
    DinoLMTextEmbedder as DinoLMTextEmbedder,
)
from keras_dinolm.models.tasks.text_preprocessor import (
    DinoLMTextPreprocessor as DinoLMTextPreprocessor,
)
from keras_dinolm.models.tasks.tokenizer import (
    DinoLMTokenizer as DinoLMTokenizer,
)
