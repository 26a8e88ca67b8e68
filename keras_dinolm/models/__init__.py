"""Networks, the self-supervised model, and keras-hub tasks and presets.

Importing this registers the classes that keras-hub's `from_preset` needs.
"""

from keras_dinolm.models.backbone import SIZES as SIZES
from keras_dinolm.models.backbone import DinoLMBackbone as DinoLMBackbone
from keras_dinolm.models.dino_lm import DinoLM as DinoLM
from keras_dinolm.models.extend_context import extend_context as extend_context
from keras_dinolm.models.extend_depth import extend_depth as extend_depth
from keras_dinolm.models.long_context_adaptation import (
    LongContextAdaptation as LongContextAdaptation,
)
from keras_dinolm.models.multi_student_distillation import (
    MultiStudentDistillation as MultiStudentDistillation,
)
from keras_dinolm.models.multi_teacher_distillation import (
    MultiTeacherDistillation as MultiTeacherDistillation,
)
from keras_dinolm.models.preset_files import check_preset as check_preset
from keras_dinolm.models.presets import export_preset as export_preset
from keras_dinolm.models.text_classifier import (
    DinoLMTextClassifier as DinoLMTextClassifier,
)
from keras_dinolm.models.text_embedder import (
    DinoLMTextEmbedder as DinoLMTextEmbedder,
)
from keras_dinolm.models.text_encoder import TextEncoder as TextEncoder
from keras_dinolm.models.text_preprocessor import (
    DinoLMTextPreprocessor as DinoLMTextPreprocessor,
)
from keras_dinolm.models.tokenizer import DinoLMTokenizer as DinoLMTokenizer
