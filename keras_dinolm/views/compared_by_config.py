"""Objects that hold arrays: their equality, and arrays in configurations."""

import json
from typing import Any

import numpy as np

from keras_dinolm import arguments


class ComparedByConfig:
    """Two objects are equal if their class and their configuration are.

    The classes that use it hold arrays, which have no single truth when they
    are compared.
    """

    def get_config(self) -> dict:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(json.dumps(self.get_config(), sort_keys=True))


def from_hex(name: str, value: Any, dtype: str) -> np.ndarray:
    """The array whose bytes a configuration holds in hexadecimal digits.

    Args:
        name: string. The field, for the message.
        value: string.
        dtype: string.

    Returns:
        Array `[N]`.

    Raises:
        ValueError: if there are no such digits, or no whole numbers of them.
    """
    try:
        return np.frombuffer(bytes.fromhex(value), dtype)
    except (TypeError, ValueError):
        arguments.refuse(name, value, f"bytes of {dtype} in hexadecimal digits")
