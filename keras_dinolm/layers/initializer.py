"""Initializers, as layers take them."""

from typing import Any

import keras
from keras.initializers import Initializer

from keras_dinolm import arguments


def initializer(name: str, value: Any) -> Initializer:
    """Returns the initializer that an argument names or is.

    Args:
        name: string. The argument, for the message.
        value: `keras.initializers.Initializer`, its configuration, or its
            name.

    Returns:
        The initializer.

    Raises:
        ValueError: if there is no such initializer.
    """
    if isinstance(value, str | dict):
        try:
            value = keras.initializers.get(value)
        except (ValueError, TypeError, KeyError):
            arguments.refuse(name, value, "the name of an initializer of Keras")
    return arguments.instance(
        name, value, Initializer, "an initializer of Keras, or its name"
    )
