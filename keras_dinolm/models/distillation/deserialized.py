"""Lists of objects in configurations."""

from typing import Any

import keras

from keras_dinolm import arguments


def deserialized_list(config: Any, name: str, owner: type) -> list:
    """The objects of a list in a configuration.

    Args:
        config: what `from_config` was given.
        name: string. The entry with the list.
        owner: the class, for the message.

    Returns:
        List of objects.

    Raises:
        ValueError: if the entry is missing or no list.
    """
    entries = arguments.instance(
        name, arguments.field(config, name, owner), list, "a list"
    )
    return [keras.saving.deserialize_keras_object(entry) for entry in entries]
