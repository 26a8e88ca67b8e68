"""Raw strings for `fit`, `evaluate` and `predict`, tokenized once."""

from typing import Any

import keras
import numpy as np

from keras_dinolm import arguments
from keras_dinolm.models.encoder.weight_changes import AnnouncesChanges
from keras_dinolm.models.tasks.apart import call_apart
from keras_dinolm.models.tasks.network_call import NetworkCall

# Columns of tables, which are read as lists of strings.
_TABLE_MODULES = ("pandas", "polars", "pyarrow", "datasets")


class StringInputs(AnnouncesChanges):
    """Mixin for keras-hub tasks: lists of strings are tokenized up front.

    keras-hub maps the preprocessor over a dataset. That tokenizes again in
    every epoch and needs `tf.data` or Grain. Lists of strings are in memory
    anyway, so they are tokenized here in one go. They then train as arrays do
    in Keras (shuffled, with `validation_split` and `class_weight`), without
    another library. Datasets are left to keras-hub.

    Arguments have the order that they have in Keras.
    """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains as `keras.Model.fit`, also on raw strings.

        Args:
            x: strings: a list, an array, one column of a table (or a tuple of
                two, for pairs), or anything that keras-hub takes.
            y: labels, if `x` is no dataset.
            batch_size: int. Texts a batch; `None` for 32.
            epochs: int.
            verbose: as for `keras.Model.fit`.
            callbacks: list of callbacks.
            validation_split: float. Share of the texts, the last ones, that
                are held out.
            validation_data: tuple of `x` and `y` and perhaps weights, or
                anything that keras-hub takes.
            **kwargs: as for `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: for texts or labels that cannot be learned from.
        """
        kwargs.update(epochs=epochs, verbose=verbose, callbacks=callbacks)
        if batch_size is not None:
            batch_size = arguments.integer("batch_size", batch_size, 1)
        self._check_labels("y", y)
        held_out = validation_data
        if isinstance(held_out, tuple | list) and len(held_out) > 1:
            self._check_labels("validation_data[1]", held_out[1])
            if self._tokenizes(held_out[0]):
                held_out = self._tokenized(*held_out)
                plain = True
            else:
                plain = False
        else:
            plain = held_out is None
        with self._weight_changes().long(self):
            if plain and self._tokenizes(x):
                x, y = self._tokenized(x, y)
                return keras.Model.fit(
                    self,
                    x,
                    y,
                    batch_size=batch_size,
                    validation_split=validation_split,
                    validation_data=held_out,
                    **kwargs,
                )
            task: Any = super(AnnouncesChanges, self)
            return task.fit(
                x,
                y,
                batch_size=batch_size,
                validation_split=validation_split,
                validation_data=validation_data,
                **kwargs,
            )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Evaluates as `keras.Model.evaluate`, also on raw strings.

        Args:
            x: as for `fit`.
            y: as for `fit`.
            batch_size: as for `fit`.
            verbose: as for `keras.Model.evaluate`.
            sample_weight: weights of the texts.
            **kwargs: as for `keras.Model.evaluate`.

        Returns:
            What `keras.Model.evaluate` returns.

        Raises:
            ValueError: as `fit`.
        """
        if batch_size is not None:
            batch_size = arguments.integer("batch_size", batch_size, 1)
        self._check_labels("y", y)
        kwargs.update(
            batch_size=batch_size, verbose=verbose, sample_weight=sample_weight
        )
        task: Any = super()
        if not self._tokenizes(x):
            return task.evaluate(x, y, **kwargs)
        x, y = self._tokenized(x, y)
        return keras.Model.evaluate(self, x, y, **kwargs)

    def predict(
        self,
        x: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        **kwargs: Any,
    ) -> Any:
        """Predicts as `keras.Model.predict`, also on raw strings.

        With raw strings and neither `callbacks` nor `steps`, threads may call
        it at the same time.

        Args:
            x: as for `fit`.
            batch_size: as for `fit`.
            verbose: as for `keras.Model.predict`.
            **kwargs: as for `keras.Model.predict`.

        Returns:
            What `keras.Model.predict` returns.

        Raises:
            ValueError: as `fit`.
        """
        if batch_size is not None:
            batch_size = arguments.integer("batch_size", batch_size, 1)
        if self._tokenizes(x) and not any(
            value is not None for value in kwargs.values()
        ):
            rows = call_apart(self._tokenized, x)[0]
            return self._predict_rows(rows, batch_size or 32, verbose)
        kwargs.update(batch_size=batch_size, verbose=verbose)
        task: Any = super()
        if not self._tokenizes(x):
            return task.predict(x, **kwargs)
        return keras.Model.predict(self, self._tokenized(x)[0], **kwargs)

    def _predict_rows(self, rows, batch_size, verbose):
        count = len(rows["token_ids"])
        bar = None
        if verbose == "auto" or verbose:
            bar = keras.utils.Progbar(-(-count // batch_size))
        found = []
        for start in range(0, count, batch_size):
            batch = {k: v[start : start + batch_size] for k, v in rows.items()}
            found.append(self._output_call(batch))
            if bar is not None:
                bar.add(1)
        return np.concatenate(found)

    def _serve(self, inputs, outputs):
        """Tells `predict` which tensors of the graph it reads and returns."""
        self._output_call = NetworkCall(
            lambda: keras.Model(inputs, outputs, name="outputs"),
            self._weight_changes(),
        )

    def _check_labels(self, name, y):
        """Raises if labels cannot be learned from; a task may check more."""
        if y is None:
            return
        values = np.asarray(y)
        if values.dtype.kind in "OUST":
            arguments.refuse(
                name,
                y,
                "numbers. For named classes, number them: `names = "
                "sorted(set(labels))`, `y = [names.index(label) for label in "
                "labels]`",
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            index = np.argwhere(~np.isfinite(values))[0].tolist()
            raise ValueError(
                f"Argument `{name}` must hold finite numbers. Drop rows "
                "without a label first. Received: "
                f"{name}{index}={values[tuple(index)]}"
            )

    def _tokenizes(self, x):
        return self.preprocessor is not None and _is_strings(x)

    def _tokenized(self, x, y=None, *sample_weight):
        y = None if y is None else np.asarray(y)
        rows = {
            name: keras.ops.convert_to_numpy(value)
            for name, value in self.preprocessor(_lists(x), y=None).items()
        }
        return (rows, y, *(np.asarray(w) for w in sample_weight))


def _is_strings(x):
    """Whether `x` is a batch of texts, or a tuple of such batches."""
    if isinstance(x, str):
        arguments.refuse("x", x, "a list of strings: write `x=[...]`")
    if isinstance(x, tuple):
        return len(x) > 0 and all(
            _is_strings(part) and not isinstance(part, str) for part in x
        )
    if isinstance(x, np.ndarray):
        # Also the strings of NumPy 2, of kind "T".
        return x.ndim == 1 and (
            x.dtype.kind in "UT" or (x.dtype.kind == "O" and _holds_strings(x))
        )
    if type(x).__module__.split(".")[0] in _TABLE_MODULES:
        # A table is refused by `arguments.strings`, with its columns.
        return not hasattr(x, "dtype") or not _is_numeric(x)
    return isinstance(x, list) and _holds_strings(x)


def _holds_strings(x):
    return any(isinstance(text, str) for text in x)


def _is_numeric(column):
    kind = getattr(column.dtype, "kind", None)
    return kind is not None and kind in "iufb"


def _lists(x):
    if isinstance(x, tuple):
        return tuple(_lists(part) for part in x)
    return arguments.strings("x", x)
