"""Stops a run that no longer learns."""

import keras

from keras_dinolm import arguments


class SkippedStepGuard(keras.callbacks.Callback):
    """Stops training after too many bad steps in a row.

    `DinoLM.fit` adds it. A step whose gradients are not finite
    moves nothing; many in a row mean that training is broken.

    Args:
        max_skipped_steps: int. How many in a row are one too many.
        name: string. What the logs call their number.

    Raises:
        ValueError: unless `max_skipped_steps` is an integer of at least 1.
        FloatingPointError: from within `fit`.
    """

    # Else Keras would wait for the device at each batch to read the logs.
    async_safe = True

    def __init__(
        self, max_skipped_steps: int, name: str = "skipped_steps"
    ) -> None:
        super().__init__()
        self.name = arguments.string("name", name)
        self.max_skipped_steps = arguments.count(
            "max_skipped_steps", max_skipped_steps
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._seen = None
        self._in_a_row = 0
        self._pending = None

    def on_train_batch_end(self, batch, logs=None):
        # One batch late, so that reading the number does not wait for the
        # device.
        self._check(self._pending)
        self._pending = (logs or {}).get(self.name)

    def on_epoch_end(self, epoch, logs=None):
        self._check(self._pending)
        self._pending = None

    def _check(self, skipped):
        if skipped is None:
            return
        skipped = float(skipped)
        if self._seen is None:
            # A resumed epoch brings its count along; all but the last step's.
            self._seen = max(skipped - 1.0, 0.0)
        new = skipped - self._seen
        self._seen = skipped
        self._in_a_row = self._in_a_row + new if new > 0 else 0
        if self._in_a_row >= self.max_skipped_steps:
            raise FloatingPointError(
                f"The gradients of {int(self._in_a_row)} steps in a row were "
                "not finite; they moved nothing, so the weights are those of "
                "the last good step. Lower the learning rate, clip gradients "
                "(`global_clipnorm`), or look for NaN in the data's features. "
                f"Limit: max_skipped_steps={self.max_skipped_steps}"
            )
