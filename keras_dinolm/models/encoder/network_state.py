"""Whether a network still computes what it did when it was compiled."""

from collections.abc import Sequence

import keras

# What changes without a change of what a layer computes in inference.
_IRRELEVANT = {"_called", "_trainable"}


class NetworkState:
    """The layers of a network and their attributes, at one time.

    A compiled function knows a network as it was when it was traced. Keras
    forgets such functions after `quantize` of the same model alone. So all
    attributes of all layers are compared: variables, the factors of LoRA,
    policies, activations, parts. The values of variables are no part of this.

    Args:
        roots: sequence of layers, whose layers are compared as well.

    Example:

    ```python
    import keras
    from keras_dinolm.models.encoder.network_state import NetworkState

    layer = keras.layers.Dense(2)
    layer.build((None, 4))
    state = NetworkState([layer])
    assert state.is_current()
    layer.enable_lora(1)
    assert not state.is_current()
    ```
    """

    def __init__(self, roots: Sequence[keras.Layer]) -> None:
        self._roots = list(roots)
        self._layers = self._flat()
        # The objects are kept, so that no other one gets their `id`.
        self._attributes = [dict(vars(layer)) for layer in self._layers]
        self._ids = [list(map(id, d.values())) for d in self._attributes]

    def is_current(self) -> bool:
        """Whether every layer is as it was."""
        layers = self._flat()
        if list(map(id, layers)) != list(map(id, self._layers)):
            return False
        for index, layer in enumerate(layers):
            attributes = vars(layer)
            ids = list(map(id, attributes.values()))
            if ids == self._ids[index]:
                continue
            if _relevant(attributes) != _relevant(self._attributes[index]):
                return False
            self._attributes[index] = dict(attributes)
            self._ids[index] = ids
        return True

    def _flat(self):
        return [
            layer for root in self._roots for layer in root._flatten_layers()
        ]


def _relevant(attributes):
    return {k: id(v) for k, v in attributes.items() if k not in _IRRELEVANT}
