"""Writing an encoder and its tokenizer as a keras-hub preset."""

import warnings
from typing import Any

import keras_hub

from keras_dinolm import arguments
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.check_preset import check_preset
from keras_dinolm.models.presets.finite import check_finite
from keras_dinolm.models.presets.precision import policies_kept
from keras_dinolm.models.presets.precision import policy_config
from keras_dinolm.models.presets.precision import write_policy
from keras_dinolm.models.presets.preset_heads import head_bytes
from keras_dinolm.models.presets.preset_heads import head_variables
from keras_dinolm.models.presets.preset_heads import save_heads
from keras_dinolm.models.presets.write_preset import DIVERGED
from keras_dinolm.models.presets.write_preset import preset_folder
from keras_dinolm.models.presets.write_preset import weight_bytes
from keras_dinolm.typing import Path


def export_preset(
    encoder: TextEncoder,
    tokenizer: keras_hub.tokenizers.Tokenizer,
    directory: Path,
    sequence_length: int | None = None,
    heads: Tower | None = None,
) -> None:
    """Writes a preset that keras-hub's `from_preset` loads.

    A `DinoLMBackbone` loads after `import keras_dinolm.models`, as backbone,
    tokenizer, text classifier and text embedder. An encoder with a backbone
    and a tokenizer of keras-hub's own loads in plain keras-hub, without this
    package. The folder appears only when it is whole, and replaces an earlier
    preset in one step. Anything else that is there stays, and is an error. The
    precision of the encoder is kept, also that of quantized layers.

    Args:
        encoder: `TextEncoder`. What is written is trainable, even if this is
            a frozen teacher.
        tokenizer: keras-hub tokenizer that the encoder was trained with.
        directory: string or path. New, empty, or an older preset without
            any other file. A symbolic link stays one.
        sequence_length: int. What preprocessors cut and pad texts to by
            default. Defaults to that of `DinoLMTextPreprocessor`. Presets of
            stock backbones hold no preprocessor, only keras-hub's defaults.
        heads: `Tower` whose projection heads and prototypes are written as
            well, or `None`. Loaders of the encoder ignore them.

    Raises:
        ValueError: if tokenizer and encoder differ in their vocabulary, or a
            weight is NaN or infinite.
        FileExistsError: if `directory` holds something else.
        OSError: if the disk has no room. An older preset stays.

    Example:

    ```python
    import keras_hub
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "good", "bad"])
    backbone = kd.models.DinoLMBackbone.from_size(
        "nano", tokenizer.vocabulary_size()
    )
    encoder = kd.models.TextEncoder(backbone)
    kd.models.export_preset(encoder, tokenizer, "my_preset")

    backbone = keras_hub.models.Backbone.from_preset("my_preset")
    ```
    """
    directory = arguments.path("directory", directory)
    arguments.instance("encoder", encoder, TextEncoder, "a `TextEncoder`")
    arguments.instance(
        "tokenizer",
        tokenizer,
        keras_hub.tokenizers.Tokenizer,
        "the tokenizer that the encoder was trained with",
    )
    if sequence_length is not None:
        sequence_length = arguments.count("sequence_length", sequence_length, 2)
    if heads is not None and not hasattr(heads, "projection"):
        arguments.refuse("heads", heads, "a network with heads, or `None`")
    _check_vocabulary(encoder, tokenizer)
    backbone = encoder.backbone
    check_finite(backbone.weights, "The encoder", DIVERGED)
    size = weight_bytes(backbone)
    if heads is not None:
        check_finite(head_variables(heads), "The network", DIVERGED)
        size += head_bytes(heads)
    ours = isinstance(backbone, DinoLMBackbone)
    if not ours and _lives_here(tokenizer):
        warnings.warn(
            f"The tokenizer is a `{type(tokenizer).__name__}`: backbone and "
            "weights of this preset load in plain keras-hub, the tokenizer "
            "only after `import keras_dinolm.models`. Train with keras-hub's "
            f"tokenizer for `{type(backbone).__name__}` to avoid that.",
            stacklevel=2,
        )
    policy = policy_config(backbone)
    assets = getattr(tokenizer, "file_assets", None) or ()
    with preset_folder(directory, size, assets=assets) as folder:
        # What LoRA has learned is in the weights that Keras saves.
        with policies_kept(backbone):
            backbone.save_to_preset(str(folder))
        write_policy(folder, dtype=policy, trainable=True)
        if ours:
            # Imported late: the preprocessor needs the tokenizer class, and
            # that needs the backbone class.
            from keras_dinolm.models.tasks.text_preprocessor import (
                DinoLMTextPreprocessor,
            )

            options: dict[str, Any] = {}
            if sequence_length is not None:
                options["sequence_length"] = sequence_length
            preprocessor = DinoLMTextPreprocessor(tokenizer, **options)
            preprocessor.save_to_preset(str(folder))
        else:
            tokenizer.save_to_preset(str(folder))
        if heads is not None:
            save_heads(heads, folder)
        check_preset(folder)


def _lives_here(instance):
    return type(instance).__module__.startswith("keras_dinolm.")


def _check_vocabulary(encoder, tokenizer):
    known, used = encoder.vocabulary_size, tokenizer.vocabulary_size()
    # Stock backbones may have unused rows at the end; ours are made for
    # their tokenizer.
    exact = isinstance(encoder.backbone, DinoLMBackbone)
    if used > known or (exact and used != known):
        raise ValueError(
            "`tokenizer` and `encoder` do not belong together: the tokenizer "
            f"has {used} tokens, the token embedding {known} rows. Pass the "
            "tokenizer that the encoder was trained with, or build the "
            "backbone with "
            "`vocabulary_size=tokenizer.vocabulary_size()`."
        )
