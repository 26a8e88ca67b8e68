"""Raw strings for `fit`, `evaluate` and `predict`, tokenized once."""

from typing import Any

import keras
import numpy as np


class StringInputs:
    """Mixin for keras-hub tasks: lists of strings are tokenized up front.

    keras-hub maps the preprocessor over a dataset. That tokenizes again in
    every epoch and needs `tf.data` or Grain. Lists of strings are in memory
    anyway, so they are tokenized here in one go. They then train as arrays do
    in Keras (shuffled, with `validation_split` and `class_weight`), without
    another library. Datasets are left to keras-hub.
    """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        validation_data: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains as `keras.Model.fit`, also on raw strings.

        Args:
            x: list of strings (or a tuple of two, for pairs), or anything
                that keras-hub takes.
            y: labels, if `x` is no dataset.
            validation_data: tuple of `x` and `y`, or anything that keras-hub
                takes.
            **kwargs: as for `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.
        """
        held_out = validation_data
        if isinstance(held_out, tuple) and self._tokenizes(held_out[0]):
            held_out = self._tokenized(*held_out)
            plain = True
        else:
            plain = held_out is None
        task: Any = super()
        if not (plain and self._tokenizes(x)):
            return task.fit(x, y, validation_data=validation_data, **kwargs)
        x, y = self._tokenized(x, y)
        return keras.Model.fit(self, x, y, validation_data=held_out, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Evaluates as `keras.Model.evaluate`, also on raw strings.

        Args:
            x: as for `fit`.
            y: as for `fit`.
            **kwargs: as for `keras.Model.evaluate`.

        Returns:
            What `keras.Model.evaluate` returns.
        """
        task: Any = super()
        if not self._tokenizes(x):
            return task.evaluate(x, y, **kwargs)
        x, y = self._tokenized(x, y)
        return keras.Model.evaluate(self, x, y, **kwargs)

    def predict(self, x: Any = None, **kwargs: Any) -> Any:
        """Predicts as `keras.Model.predict`, also on raw strings.

        Args:
            x: as for `fit`.
            **kwargs: as for `keras.Model.predict`.

        Returns:
            What `keras.Model.predict` returns.
        """
        task: Any = super()
        if not self._tokenizes(x):
            return task.predict(x, **kwargs)
        return keras.Model.predict(self, self._tokenized(x)[0], **kwargs)

    def _tokenizes(self, x):
        return self.preprocessor is not None and _is_strings(x)

    def _tokenized(self, x, y=None, *sample_weight):
        y = None if y is None else np.asarray(y)
        if isinstance(x, np.ndarray):
            x = x.tolist()
        rows = {
            name: keras.ops.convert_to_numpy(value)
            for name, value in self.preprocessor(x, y=None).items()
        }
        return (rows, y, *(np.asarray(w) for w in sample_weight))


def _is_strings(x):
    """Whether `x` is a batch of texts, or a tuple of such batches."""
    if isinstance(x, tuple):
        return len(x) > 0 and all(_is_strings(part) for part in x)
    if isinstance(x, np.ndarray):
        return x.ndim == 1 and x.dtype.kind in "UO" and _is_strings(x.tolist())
    return (
        isinstance(x, list)
        and len(x) > 0
        and all(isinstance(text, str) for text in x)
    )
