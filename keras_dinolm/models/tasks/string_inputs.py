"""Raw strings for `fit`, `evaluate` and `predict`, tokenized once."""

import keras
import numpy as np


class StringInputs:
    """Mixin for keras-hub tasks: lists of strings are tokenized up front.

    keras-hub maps the preprocessor over a dataset, which tokenizes anew in
    every epoch and needs `tf.data` or Grain. Lists of strings that are in
    memory anyway are tokenized here in one go, then train as arrays
    do in Keras (shuffled, with `validation_split` and `class_weight`), with
    no other library. Datasets go keras-hub's way.
    """

    def fit(self, x=None, y=None, validation_data=None, **kwargs):
        held_out = validation_data
        if isinstance(held_out, tuple) and self._tokenizes(held_out[0]):
            held_out = self._tokenized(*held_out)
            plain = True
        else:
            plain = held_out is None
        if not (plain and self._tokenizes(x)):
            return super().fit(x, y, validation_data=validation_data, **kwargs)
        x, y = self._tokenized(x, y)
        return keras.Model.fit(self, x, y, validation_data=held_out, **kwargs)

    def evaluate(self, x=None, y=None, **kwargs):
        if not self._tokenizes(x):
            return super().evaluate(x, y, **kwargs)
        x, y = self._tokenized(x, y)
        return keras.Model.evaluate(self, x, y, **kwargs)

    def predict(self, x=None, **kwargs):
        if not self._tokenizes(x):
            return super().predict(x, **kwargs)
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
