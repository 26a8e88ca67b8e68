"""Stops a run before a schedule leaves its range."""

from collections.abc import Callable
from collections.abc import Iterable

import keras

from keras_dinolm.schedules import Schedule
from keras_dinolm.schedules.values import check_values
from keras_dinolm.schedules.values import is_known


class ScheduleGuard(keras.callbacks.Callback):
    """Looks at the values of schedules before each epoch.

    The schedules of this package are checked as a whole where they are given.
    Of others only the first value is known there, and a NaN or a momentum
    above 1 in the middle of a run would spoil the teacher or the weights. So
    this calls them for the first, the middle and the last update of an epoch.

    Args:
        schedules: tuples `(argument, schedule, limits)`, limits as for
            `keras_dinolm.arguments.number`. Known schedules are left out.
        find_update: callable without arguments that returns how many updates
            are done.
        batches_per_update: int. Batches of an optimizer update.

    Raises:
        ValueError: from within `fit`, naming the argument.
    """

    async_safe = True

    def __init__(
        self,
        schedules: Iterable[tuple[str, Schedule, dict]],
        find_update: Callable[[], int],
        batches_per_update: int = 1,
    ) -> None:
        super().__init__()
        self.schedules = [
            entry
            for entry in schedules
            if callable(entry[1]) and not is_known(entry[1])
        ]
        self.find_update = find_update
        self.batches_per_update = batches_per_update

    def on_epoch_begin(self, epoch, logs=None):
        if not self.schedules:
            return
        first = self.find_update()
        batches = (self.params or {}).get("steps") or 1
        last = first + max(batches // self.batches_per_update, 1) - 1
        for argument, schedule, limits in self.schedules:
            updates = sorted({first, (first + last) // 2, last})
            check_values(argument, schedule, updates, **limits)
