"""A network in inference, for as many threads as call it."""

import threading
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm.models.encoder.network_state import NetworkState
from keras_dinolm.models.encoder.weight_changes import WeightChanges
from keras_dinolm.models.tasks.apart import call_apart
from keras_dinolm.typing import Tensor

# How long weights may be away: on jax, a training step takes them over.
_PATIENCE = 10.0


class NetworkCall:
    """Computes a network's outputs as NumPy arrays.

    `keras.Model.predict` cannot do this in several threads: on jax it hands
    the weights' memory over to the compiled function and gets it back after
    the batch. And what it has compiled on TensorFlow reads the variables of
    that time, even if quantization or LoRA have put others in their place.

    Here the compiled function gets no memory to reuse. It is made again when a
    layer of the network has another attribute than before: a variable, a
    policy, an activation, a part. On torch nothing is compiled.

    Args:
        make_network: function without arguments that returns the functional
            `keras.Model`. It is called once, at the first call.
        changes: `WeightChanges` of the network.

    Call arguments:
        batch: dictionary of NumPy arrays.

    Returns:
        The network's outputs as NumPy arrays.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_dinolm.models.encoder.weight_changes import WeightChanges
    from keras_dinolm.models.tasks.network_call import NetworkCall

    x = keras.Input((2,), name="x")
    network = keras.Model({"x": x}, keras.layers.Dense(3)(x))
    call = NetworkCall(lambda: network, WeightChanges())
    call({"x": np.ones((4, 2))}).shape  # (4, 3)
    ```
    """

    def __init__(
        self,
        make_network: Callable[[], keras.Model],
        changes: WeightChanges,
    ) -> None:
        self._make_network = make_network
        self._changes = changes
        changes.has_readers = True
        self._network: Any = None
        self._compiled: _Compiled | None = None
        # Only held where no interrupt arrives, and not while computing.
        self._lock = threading.Lock()

    def __call__(self, batch: dict[str, np.ndarray]) -> Any:
        return call_apart(self._run, batch, threading.get_ident())

    def _run(self, batch, thread):
        copies = self._changes.begin_reading(thread)
        try:
            outputs = self._current()(batch, copies)
            return keras.tree.map_structure(ops.convert_to_numpy, outputs)
        finally:
            self._changes.end_reading(copies)

    def _current(self):
        """The compiled function of the network as it is now."""
        with self._lock:
            if self._network is None:
                self._network = self._make_network()
            if self._compiled is None or not self._compiled.state.is_current():
                self._compiled = _Compiled(self._network)
            return self._compiled


class _Compiled:
    """The function of a network in one state, and what that state is."""

    def __init__(self, network):
        self.state = NetworkState([network])
        self.variables = network.variables
        self.function = _FUNCTIONS[keras.backend.backend()](
            network, self.variables
        )
        # Shapes that are compiled. Threads that bring a new one at the same
        # time compile it once.
        self.shapes = set()
        self.lock = threading.Lock()

    def __call__(self, batch, copies):
        shapes = tuple(value.shape for value in batch.values())
        if shapes in self.shapes:
            return self._compute(batch, copies)
        with self.lock:
            outputs = self._compute(batch, copies)
            self.shapes.add(shapes)
        return outputs

    def _compute(self, batch, copies):
        end = time.monotonic() + _PATIENCE
        while True:
            values = self._values(copies)
            if values is None or not _are_away(values):
                try:
                    return self.function(values, batch)
                except Exception:
                    # They may have been taken since we looked.
                    if values is None or not _are_away(values):
                        raise
            if time.monotonic() > end:
                raise RuntimeError(
                    "The weights are away: a training step of another thread "
                    "holds them, or one that failed has lost them. Train with "
                    "`fit` of the same model, or give the server a model of "
                    "its own."
                )
            time.sleep(0.001)

    def _values(self, copies):
        """What the function reads: values, or `None` for the variables."""
        if copies is not None:
            return [
                copies[id(v)] if id(v) in copies else v.value
                for v in self.variables
            ]
        if keras.backend.backend() == "jax":
            # Keras takes the value of a variable away while it trains.
            return [v._value for v in self.variables]
        return None


def _are_away(values):
    return any(
        value is None or getattr(value, "is_deleted", _never)()
        for value in values
    )


def _never():
    return False


def _with_values(network, variables, values, batch):
    """Outputs of the network with values in the place of its variables."""
    mapping = list(zip(variables, values, strict=True))
    with keras.StatelessScope(state_mapping=mapping):
        return network(batch, training=False)


# === One function for each backend ===


def _jax_function(network, variables):
    import jax

    @jax.jit
    def function(values, batch):
        return _with_values(network, variables, values, batch)

    return function


def _tensorflow_function(network, variables):
    import tensorflow as tf

    compiled = tf.function(
        lambda batch: network(batch, training=False),
        jit_compile=bool(network.jit_compile),
        reduce_retracing=True,
    )

    def function(values, batch):
        if values is not None:
            return _with_values(network, variables, values, batch)
        return compiled({k: tf.constant(v) for k, v in batch.items()})

    return function


def _torch_function(network, variables):
    import torch

    def function(values, batch):
        device = variables[0].value.device
        with torch.no_grad(), keras.device(str(device)):
            if values is not None:
                return _with_values(network, variables, values, batch)
            return network(batch, training=False)

    return function


_FUNCTIONS: dict[str, Callable[[Any, list], Callable[[Any, Any], Tensor]]] = {
    "jax": _jax_function,
    "tensorflow": _tensorflow_function,
    "torch": _torch_function,
}
