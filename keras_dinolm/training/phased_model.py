"""What every model shares that learns by objectives with a start and a stop."""

import functools

import keras

from keras_dinolm.training.step import train_step


class PhasedModel(keras.Model):
    """A model that is compiled anew when one of its objectives begins or ends.

    A subclass computes by `DinoLM`s, itself or several, and gives the seam of
    `keras_dinolm.training.step`. Its loss and metrics come from objectives.
    """

    # Not a property, which Keras would save as one more list of layers.
    def parts(self):
        """The list of `DinoLM`s whose objectives act."""
        raise NotImplementedError

    def guards(self):
        """Callbacks that stop a `fit` that no longer learns."""
        raise NotImplementedError

    @property
    def phase(self):
        """What acts now; while it is the same, so is what a step computes."""
        return tuple(part.phase for part in self.parts())

    def train_step(self, *args):
        return train_step(self, *args)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x=None, callbacks=None, shuffle=False, **kwargs):
        """As `keras.Model.fit`, on batches of views.

        Args:
            x: a `view_dataset`, or another dataset of batches of views.
            callbacks: list of callbacks.
            shuffle: boolean. The dataset shuffles by itself.
            **kwargs: as for `keras.Model.fit`.

        Returns:
            A `History`.
        """
        for part in self.parts():
            part.prepare_fit()
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
        """Enters a new phase if it is time."""
        # A list: each part has to look.
        if not any(
            [part.enter_next_phase(self, *args) for part in self.parts()]
        ):
            return False
        # What was compiled belongs to the phase that is over. The steps become
        # new functions, since jax keeps what it compiled by function.
        self.test_function = None
        self.predict_function = None
        for step in ("train_step", "test_step", "predict_step"):
            function = getattr(type(self), step)
            setattr(self, step, functools.partial(function, self))
        return True


def check_compile(model, kwargs):
    """Raises if `compile` is given what comes from the objectives."""
    unwanted = [k for k in ("loss", "metrics") if kwargs.get(k) is not None]
    if unwanted:
        raise ValueError(
            f"`{type(model).__name__}` takes its loss and metrics from its "
            f"`objectives`; remove {unwanted} from `compile`."
        )
