"""`get`: a teacher of whatever encodes texts."""

import os
import sys
from typing import Any
from typing import NoReturn

from keras_dinolm import arguments
from keras_dinolm.teachers.callable_teacher import CallableTeacher
from keras_dinolm.teachers.teacher import Teacher

_ONLY_FOLDERS = ("sequence_length", "pooling", "dtype")
_DTYPES = ("float32", "bfloat16", "float16")


def get(
    teacher: Any,
    prompt: str | None = None,
    sequence_length: int | None = None,
    pooling: str | None = None,
    batch_size: int = 32,
    dtype: str | None = None,
) -> Teacher:
    """Makes a teacher of an encoder that somebody has trained.

    Nothing is loaded from the network, except presets that keras-hub fetches
    by their names.

    Args:
        teacher: one of:

            - path of a folder of sentence-transformers or Hugging Face. With
              the extra `teachers` the library sentence-transformers reads it;
              without, keras-hub does, on the active backend.
            - name of such a model in the cache of Hugging Face on this
              machine, such as `"all-MiniLM-L6-v2"`.
            - path of a preset of keras-hub or of this package, or of a run
              of `keras_dinolm.recipes.pretrain`; name of a preset.
            - object with `encode(texts)`, such as a `DinoLMTextEmbedder`, a
              `SentenceTransformer` or a model of model2vec. It may also have
              `encode_tokens(texts)`, which returns for each text an array of
              features `[tokens, dim]` and one of the first and last
              characters of the tokens `[tokens, 2]`; `fingerprint()`, a
              string; and `vocabulary()`, a list of strings.
            - function of a list of texts that returns an array
              `[texts, dim]`.
            - what this function returned.
        prompt: str that is put before each text. Defaults to the model's own
            default prompt, if it has one.
        sequence_length: int. Tokens of a text that a model from a folder
            reads. Defaults to the model's own.
        pooling: `"mean"` or `"cls"`: the feature of a text, for a folder of
            Hugging Face that does not say. Defaults to what the folder says,
            or else to the mean.
        batch_size: int. Texts of some 32 tokens that are encoded at a time.
            Texts of similar length share a batch.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`: what a model from a
            folder computes in. bfloat16 takes half the time on processors
            that know it. Defaults to what its files say.

    Returns:
        A `keras_dinolm.teachers.Teacher`.

    Raises:
        ValueError: if `teacher` is nothing of this, or an argument does not
            apply to it.
        ImportError: if a folder needs the library sentence-transformers, and
            it is not installed.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    def lengths(texts):
        return np.array([[len(t), t.count(" ")] for t in texts], "float32")

    teacher = kd.teachers.get(lengths)
    teacher.encode(["one", "and two"])  # [[3, 0], [7, 1]]
    teacher.dim  # 2
    ```
    """
    if prompt is not None:
        arguments.instance("prompt", prompt, str, "a string")
    if sequence_length is not None:
        sequence_length = arguments.integer(
            "sequence_length", sequence_length, 3
        )
    batch_size = arguments.integer("batch_size", batch_size, 1)
    if dtype is not None:
        arguments.choice("dtype", dtype, _DTYPES)
    if isinstance(teacher, str | os.PathLike):
        from keras_dinolm.teachers.folders import load

        return load(
            teacher, prompt, sequence_length, pooling, batch_size, dtype
        )
    given = {
        "sequence_length": sequence_length,
        "pooling": pooling,
        "dtype": dtype,
    }
    for name in _ONLY_FOLDERS:
        if given[name] is not None:
            raise ValueError(
                f"Argument `{name}` is for folders and names. Set it on the "
                f"object itself. Received: {name}={given[name]!r}, "
                f"teacher={arguments.shorten(teacher)}"
            )
    if isinstance(teacher, Teacher):
        if prompt is not None:
            raise ValueError(
                "Argument `prompt` is for what is no teacher yet. "
                f"Received: prompt={prompt!r}, teacher={teacher!r}"
            )
        return teacher
    if isinstance(teacher, type):
        _refuse(teacher)
    if _is_a("sentence_transformers", "SentenceTransformer", teacher):
        from keras_dinolm.teachers.sentence_transformer_teacher import (
            SentenceTransformerTeacher,
        )

        return SentenceTransformerTeacher(teacher, None, batch_size, prompt)
    if _is_a("keras_dinolm.models", "DinoLMTextEmbedder", teacher):
        from keras_dinolm.teachers.embedder_teacher import EmbedderTeacher

        return EmbedderTeacher(teacher, None, batch_size, prompt)
    if callable(getattr(teacher, "encode", None)):
        return CallableTeacher(
            teacher.encode,
            getattr(teacher, "encode_tokens", None),
            teacher,
            prompt or "",
        )
    if callable(teacher):
        return CallableTeacher(teacher, prompt=prompt or "")
    _refuse(teacher)


def _is_a(module, name, value):
    """Whether a value is of a class whose module is imported already."""
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(value, found)


def _refuse(teacher: Any) -> NoReturn:
    arguments.refuse(
        "teacher",
        teacher,
        "the folder or name of an encoder, an object with `encode`, or a "
        "function of texts",
    )
