"""Who is changing a network's weights, so that readers never see half of it."""

import sys
import threading
import time
import weakref
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dinolm.models.encoder.network_state import NetworkState
from keras_dinolm.typing import Tensor

# How long a reader or a writer sleeps before it looks again.
_PAUSE = 0.0005


class WeightChanges:
    """The changes that are under way in one network.

    `set_weights` assigns one variable after the other, and `fit` takes many
    small steps. A reader in another thread would compute with some weights of
    before and some of after. So a change announces itself here, and waits for
    the readers that are at work, each of which takes one batch. New readers
    wait for a short change. A long one keeps a copy of the weights, which they
    read. Readers never wait for one another.

    The thread that makes a change may read what is there, as callbacks of
    `fit` do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._waiting = 0
        # Whether anybody may ever read. If nobody does, nothing is copied.
        self.has_readers = False
        self._changes: list[_Change] = []

    def short(self) -> "_Change":
        """A context for a change that readers wait for."""
        return _Change(self, None)

    def long(self, network: keras.Layer) -> "_Change":
        """A context for a change, as training, that readers do not wait for.

        Args:
            network: layer. Its weights are copied; readers use the copies.

        Returns:
            A context manager.
        """
        return _Change(self, network)

    def begin_reading(self, thread: int) -> dict[int, Tensor] | None:
        """Waits until the weights may be read.

        It must be called where no interrupt arrives, and `end_reading`
        after it.

        Args:
            thread: int. The identity of the thread that asks.

        Returns:
            `None` if the variables may be read, or copies of their values by
            the `id` of the variable.
        """
        waits = False
        while True:
            with self._lock:
                others = [
                    change
                    for change in self._changes
                    if change.thread != thread and change.is_alive()
                ]
                copies = [c.copies for c in others if c.copies is not None]
                if copies or not others:
                    self._waiting -= waits
                    self._readers += not copies
                    return copies[0] if copies else None
                self._waiting += not waits
                waits = True
            time.sleep(_PAUSE)

    def end_reading(self, copies: dict[int, Tensor] | None) -> None:
        """Lets a change begin that waited for this reader.

        Args:
            copies: what `begin_reading` returned.
        """
        if copies is None:
            with self._lock:
                self._readers -= 1

    def _add(self, change):
        while True:
            with self._lock:
                self._changes = [c for c in self._changes if c.is_alive()]
                # Those who waited for an earlier change come first, or a
                # thread that makes one after the other would shut them out.
                if self._changes or not self._waiting:
                    # Within another change of this thread nobody reads.
                    first = all(
                        c.thread != change.thread for c in self._changes
                    )
                    self._changes.append(change)
                    break
            time.sleep(_PAUSE)
        while first and self._readers:
            time.sleep(_PAUSE)

    def _remove(self, change):
        with self._lock:
            self._changes = [c for c in self._changes if c is not change]


class _Change:
    """One change, from the entry of a `with` block to its end."""

    def __init__(self, changes, network):
        self.changes = changes
        self.network = network
        self.thread = threading.get_ident()
        # The `with` block runs in this frame. The change ends with it, even if
        # an interrupt hits `__exit__` before it has said so.
        self.frame: Any = None
        self.copies: dict[int, Tensor] | None = None

    def __enter__(self):
        self.frame = sys._getframe(1)
        try:
            self.changes._add(self)
            if self.network is not None and self.changes.has_readers:
                self.copies = _copies(self.network)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.changes._remove(self)
        self.frame = self.copies = self.network = None

    def is_alive(self):
        """Whether the `with` block still runs."""
        frame = sys._current_frames().get(self.thread)
        while frame is not None:
            if frame is self.frame:
                return True
            frame = frame.f_back
        return False


def _copies(network):
    """The values of the variables, as NumPy arrays of their own."""
    return {id(v): np.array(ops.convert_to_numpy(v)) for v in network.variables}


_CHANGES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_CHANGES_LOCK = threading.Lock()


def changes_of(backbone: keras.Layer) -> WeightChanges:
    """The `WeightChanges` of a backbone, which all its users share.

    Args:
        backbone: layer.

    Returns:
        `WeightChanges`.
    """
    with _CHANGES_LOCK:
        return _CHANGES.setdefault(backbone, WeightChanges())


def train_announced(
    backbones: Sequence[keras.Layer], train: Callable[[], Any]
) -> Any:
    """Calls a function that trains backbones, and announces the change.

    Args:
        backbones: sequence of layers.
        train: function without arguments.

    Returns:
        What `train` returns.
    """
    if not backbones:
        return train()
    first, *rest = backbones
    # A change lasts as long as this frame.
    with changes_of(first).long(first):
        return train_announced(rest, train)


class AnnouncesChanges:
    """Mixin for models: what changes their weights says so.

    Methods of Keras that change weights take `WeightChanges` of the model, or
    of its `backbone`, so that `encode` in another thread gives features of
    before or of after. Keras also compiles again what it had compiled for the
    network as it was before quantization or LoRA.
    """

    def _weight_changes(self):
        owner: Any = getattr(self, "backbone", None)
        return changes_of(self if owner is None else owner)

    def set_weights(self, weights: Any) -> None:
        """Sets the weights, as `keras.Model.set_weights`.

        Args:
            weights: list of arrays.
        """
        with self._weight_changes().short():
            super().set_weights(weights)  # type: ignore[misc]

    def load_weights(self, *args: Any, **kwargs: Any) -> Any:
        """Loads weights, as `keras.Model.load_weights`.

        Args:
            *args: as there.
            **kwargs: as there.

        Returns:
            What it returns there.
        """
        with self._weight_changes().short():
            return super().load_weights(*args, **kwargs)  # type: ignore[misc]

    def quantize(self, *args: Any, **kwargs: Any) -> Any:
        """Quantizes the weights, as `keras.Model.quantize`.

        Args:
            *args: as there.
            **kwargs: as there.

        Returns:
            What it returns there.
        """
        with self._weight_changes().short():
            return super().quantize(*args, **kwargs)  # type: ignore[misc]

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains, as `keras.Model.fit`.

        Args:
            *args: as there.
            **kwargs: as there.

        Returns:
            A `keras.callbacks.History`.
        """
        with self._weight_changes().long(self):
            return super().fit(*args, **kwargs)  # type: ignore[misc]

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Takes one step, as `keras.Model.train_on_batch`.

        Args:
            *args: as there.
            **kwargs: as there.

        Returns:
            What it returns there.
        """
        with self._weight_changes().short():
            return super().train_on_batch(*args, **kwargs)  # type: ignore[misc]

    def make_train_function(self, force: bool = False) -> Any:
        """Compiles a step, as Keras does, also after a change of a layer.

        Args:
            force: bool. Whether to compile it in any case.

        Returns:
            What it returns in Keras.
        """
        force = self._has_changed("train") or force
        return super().make_train_function(force)  # type: ignore[misc]

    def make_test_function(self, force: bool = False) -> Any:
        """Compiles a step, as Keras does, also after a change of a layer.

        Args:
            force: bool. Whether to compile it in any case.

        Returns:
            What it returns in Keras.
        """
        force = self._has_changed("test") or force
        return super().make_test_function(force)  # type: ignore[misc]

    def make_predict_function(self, force: bool = False) -> Any:
        """Compiles a step, as Keras does, also after a change of a layer.

        Args:
            force: bool. Whether to compile it in any case.

        Returns:
            What it returns in Keras.
        """
        force = self._has_changed("predict") or force
        return super().make_predict_function(force)  # type: ignore[misc]

    def _has_changed(self, name):
        states = _STATES.setdefault(self, {})
        if name in states and states[name].is_current():
            return False
        states[name] = NetworkState(self.layers)
        return True


# Keras would look for layers in attributes of the models.
_STATES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
