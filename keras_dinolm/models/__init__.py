"""Networks, the self-supervised model, and keras-hub tasks and presets.

Importing this registers the classes that keras-hub's `from_preset` needs.
"""

from keras_dinolm.models.backbone import DinoLMBackbone as DinoLMBackbone
from keras_dinolm.models.dino_lm import DinoLM as DinoLM
from keras_dinolm.models.text_encoder import TextEncoder as TextEncoder
from keras_dinolm.models.tokenizer import DinoLMTokenizer as DinoLMTokenizer
