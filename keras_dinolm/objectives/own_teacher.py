"""A frozen network that belongs to an objective, not to its lesson."""

from typing import Any

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.objectives.gram_groups import join_views
from keras_dinolm.typing import Tensor


def check_own_teacher(teacher: Any) -> None:
    """Raises unless an objective may be given this as its `teacher`.

    Args:
        teacher: what the user gave.

    Raises:
        ValueError: unless it is a layer or `None`.
    """
    if teacher is not None:
        arguments.instance(
            "teacher", teacher, keras.layers.Layer, "an encoder or `None`"
        )


def own_copy(given: Any, lesson: Any, owner: str, name: str) -> Any:
    """A frozen copy of a given encoder, which reads the lesson's token ids.

    Args:
        given: `TextEncoder` or backbone.
        lesson: `keras_dinolm.models.Lesson`.
        owner: string. The class of the objective, for the error.
        name: string. What the copy is called.

    Returns:
        A frozen `TextEncoder`.

    Raises:
        ValueError: for an encoder of another vocabulary.
    """
    student = lesson.student.encoder
    encoder = given
    if not isinstance(encoder, type(student)):
        encoder = type(student)(encoder)
    if encoder.vocabulary_size != student.vocabulary_size:
        raise ValueError(
            f"Argument `teacher` of `{owner}` must read the same token ids as "
            "the model, so come from the same tokenizer. Received: a "
            f"vocabulary of {encoder.vocabulary_size} tokens, the model's has "
            f"{student.vocabulary_size}"
        )
    copy = encoder.clone(name=name)
    copy.trainable = False
    return copy


def own_tokens(teacher: Any, arrays: dict[str, Tensor]) -> Tensor:
    """What such a network makes of the tokens of views that it reads whole.

    Args:
        teacher: what `own_copy` returned.
        arrays: the arrays of a view group.

    Returns:
        Float tensor `[B, V, L, D]`, without gradient.
    """
    inputs = {
        "token_ids": join_views(arrays["token_ids"]),
        "padding_mask": join_views(arrays["padding_mask"]),
    }
    tokens = teacher(inputs, training=False)["tokens"]
    shape = (*ops.shape(arrays["token_ids"]), tokens.shape[-1])
    return ops.stop_gradient(ops.reshape(tokens, shape))
