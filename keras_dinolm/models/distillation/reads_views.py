"""Training, evaluation and prediction on batches of views, and on no others."""

import reprlib
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import keras

_HOW = (
    "Make batches of views by `keras_dinolm.data.view_dataset(tokens, views, "
    "batch_size)` from tokenized texts, or by `stream_dataset(texts, views, "
    "batch_size, tokenizer)` from any iterable of texts."
)


class ReadsViews:
    """Mixin for a model that reads batches of views.

    Keras would try anything else: texts end in an error about data types,
    arrays in one about tensors, and the rows of a single batch are cut apart.
    Here each is refused by an error that says what to pass.

    The model has `roles`, a dict of view group to the networks that read it.
    """

    roles: dict[str, tuple]

    def fit(
        self, x: Any = None, y: Any = None, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains as `keras.Model.fit`, on batches of views.

        Args:
            x: a dataset of batches of views: a `view_dataset`, a
                `stream_dataset`, or another iterable of batches that Keras
                knows.
            y: must be `None`, there are no labels.
            **kwargs: as for `keras.Model.fit`. An endless dataset needs
                `steps_per_epoch`, and `validation_steps` if it is one of
                validation.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: for data of another kind, views of other groups, roles
                or tokens than the model's, labels, or an endless epoch.
        """
        self._check("fit", {**kwargs, "x": x, "y": y}, "steps_per_epoch")
        if kwargs.get("validation_data") is not None:
            held_out = {
                "x": kwargs["validation_data"],
                "validation_steps": kwargs.get("validation_steps"),
            }
            self._check("fit", held_out, "validation_steps", "validation_data")
        model: Any = super()
        return model.fit(x, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Evaluates as `keras.Model.evaluate`, on batches of views.

        Args:
            x: as for `fit`.
            y: must be `None`.
            **kwargs: as for `keras.Model.evaluate`. An endless dataset needs
                `steps`.

        Returns:
            With `return_dict=True` a dict of metrics, else a list in the
            order of `metrics_names`.

        Raises:
            ValueError: as for `fit`.
        """
        self._check("evaluate", {**kwargs, "x": x, "y": y}, "steps")
        model: Any = super()
        return model.evaluate(x, **kwargs)

    def predict(self, x: Any = None, **kwargs: Any) -> Any:
        """Features of batches of views, as `keras.Model.predict`.

        For features of texts, load what `export_preset` writes by
        `DinoLMTextEmbedder.from_preset`.

        Args:
            x: as for `fit`.
            **kwargs: as for `keras.Model.predict`. An endless dataset needs
                `steps`.

        Returns:
            What the model returns, as NumPy arrays.

        Raises:
            ValueError: as for `fit`.
        """
        self._check("predict", {**kwargs, "x": x}, "steps")
        model: Any = super()
        return model.predict(x, **kwargs)

    def check_batch(self, batch: dict) -> None:
        """Raises unless the batch has every view group of the roles.

        Args:
            batch: dict of view group to its arrays.

        Raises:
            ValueError: if it is no batch of views, or naming the groups that
                are missing.
        """
        if not isinstance(batch, Mapping) or not all(
            isinstance(arrays, Mapping) for arrays in batch.values()
        ):
            keys = sorted(batch) if isinstance(batch, Mapping) else None
            kind = f"dict of {keys}" if keys else type(batch).__name__
            raise ValueError(
                f"`{type(self).__name__}` reads batches of views, dicts of "
                f"view group to arrays. {_HOW} Received a batch of another "
                f"kind: {kind}"
            )
        self._check_groups(batch)

    def _check_groups(self, groups):
        missing = [g for g in self.roles if g not in groups]
        if missing:
            raise ValueError(
                f"The batch lacks the view groups {missing}. The model expects "
                f"roles={self.roles}; pass `roles=views.roles` to "
                f"`{type(self).__name__}`. Received a batch with: "
                f"{sorted(groups)}"
            )

    def _check_roles(self, roles):
        other = [g for g in self.roles if set(roles[g]) != set(self.roles[g])]
        if other:
            raise ValueError(
                f"The networks that read the view groups {other} are others "
                "for the views than for the model. Pass `roles=views.roles` "
                f"to `{type(self).__name__}`, or give each `ViewGroup` the "
                f"roles of the model. Received: views.roles={roles}, the "
                f"model has roles={self.roles}"
            )

    def _check(self, method, given, steps, what="x"):
        """Raises unless the data given to a method can be read."""
        x = given.get("x")
        if not _is_dataset(x):
            raise ValueError(
                f"Argument `{what}` of `{method}` must be a dataset of batches "
                f"of views. {_HOW}{_elsewhere(method, x)} Received: "
                f"{what}={reprlib.repr(x)} (of type {type(x).__name__})"
            )
        for name in ("y", "sample_weight", "class_weight", "batch_size"):
            if given.get(name) is not None:
                why = (
                    "the dataset makes the batches"
                    if name == "batch_size"
                    else "there are no labels to learn from"
                )
                raise ValueError(
                    f"`{type(self).__name__}` takes no `{name}`: {why}. "
                    f"Remove `{name}` from `{method}`."
                )
        if given.get(steps) is None and _is_endless(x):
            raise ValueError(
                f"Argument `{what}` of `{method}` never ends: pass `{steps}`, "
                "or `num_epochs=1` to `view_dataset` for one pass over the "
                f"texts. Received: {steps}=None"
            )
        # A dataset of `keras_dinolm.data` knows its views, and one of
        # `tf.data` its batches, so that a mistake is told before anything
        # runs. Others are looked at as their batches come.
        views = getattr(x, "views", None)
        spec = getattr(x, "element_spec", None)
        if hasattr(views, "roles"):
            self._check_groups(views.roles)
            self._check_roles(views.roles)
        elif spec is not None:
            self.check_batch(spec[0] if isinstance(spec, tuple) else spec)


def _is_dataset(x):
    """Whether `x` may be an iterable of batches. Arrays have a shape."""
    if isinstance(x, keras.utils.PyDataset):
        return True
    if isinstance(x, str | bytes | list | tuple | Mapping):
        return False
    return isinstance(x, Iterable) and not hasattr(x, "shape")


def _is_endless(x):
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is None
    cardinality = getattr(x, "cardinality", None)  # of `tf.data`
    return cardinality is not None and int(cardinality()) == -1


def _elsewhere(method, x):
    if isinstance(x, Mapping):
        single = {"fit": "train_on_batch", "evaluate": "test_on_batch"}
        name = single.get(method, "predict_on_batch")
        return f" A single batch is for `{name}`."
    if method == "predict":
        return (
            " For features of texts, load the exported preset by "
            "`DinoLMTextEmbedder.from_preset` and call `encode`."
        )
    return ""
