"""A model that is compiled again whenever other objectives begin to act."""

import functools
from typing import Any

import keras

from keras_dinolm.training.step import read_variable
from keras_dinolm.training.step import train_step


class PhasedModel(keras.Model):
    """A model whose training consists of phases.

    A *phase* is a stretch of training in which the same objectives act. What
    a step computes is fixed while a phase lasts, so that it can be compiled.
    When a phase ends, the step is compiled again.

    A subclass offers what `keras_dinolm.training.step` describes, and

    - `counters()`: a list of variables, the optimizer updates that each of
      its learners has done;
    - `boundaries`: a list of int or `None`, for each counter the next update
      at which a phase may end;
    - `enter_phase(updates)`: fixes what acts at these updates; returns
      whether that differs from before;
    - `guards()`: callbacks that stop a `fit` that no longer learns.
    """

    # The counters as they were last read; `None` asks for a new look.
    _last_read: list[int] | None = None
    _calls_since_read = 0

    def counters(self) -> list:
        raise NotImplementedError

    def enter_phase(self, updates: list[int]) -> bool:
        raise NotImplementedError

    def guards(self) -> list[keras.callbacks.Callback]:
        raise NotImplementedError

    def prepare_fit(self, x: Any) -> None:
        """Looks at the state again, which may have been restored.

        Args:
            x: what `fit` is given.
        """
        self._last_read = None

    def train_step(self, *args):
        return train_step(self, *args)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self,
        x: Any = None,
        *,
        callbacks: list[keras.callbacks.Callback] | None = None,
        shuffle: bool = False,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains, as `keras.Model.fit`, on batches of views.

        Args:
            x: a `view_dataset`, or another dataset of batches of views.
            callbacks: list of callbacks.
            shuffle: boolean. The dataset shuffles by itself.
            **kwargs: as for `keras.Model.fit`.

        Returns:
            A `History`.
        """
        self.prepare_fit(x)
        return super().fit(
            x,
            callbacks=[*self.guards(), *(callbacks or [])],
            shuffle=shuffle,
            **kwargs,
        )

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=force)
        compiled = self.train_function

        def train_function(*args):
            if self._at_boundary(*args):
                self.make_train_function(force=True)
                return self.train_function(*args)
            return compiled(*args)

        self.train_function = train_function

    def _at_boundary(self, *args):
        """Enters a new phase if it is time.

        Between reads a counter rises by at most one per call and execution
        step. So the counters are read, which waits for the device, only once
        that bound reaches a boundary.
        """
        if self._last_read is not None:
            self._calls_since_read += 1
            most = self._calls_since_read * self.steps_per_execution
            if not any(
                boundary is not None and update + most >= boundary
                for update, boundary in zip(self._last_read, self.boundaries)
            ):
                return False
        self._last_read = [
            int(read_variable(self, counter, *args))
            for counter in self.counters()
        ]
        self._calls_since_read = 0
        if not self.enter_phase(self._last_read):
            return False
        # What was compiled belongs to the phase that is over. The steps become
        # new functions, since jax keeps what it compiled by function.
        self.test_function = None
        self.predict_function = None
        for step in ("train_step", "test_step", "predict_step"):
            function = getattr(type(self), step)
            setattr(self, step, functools.partial(function, self))
        return True
