"""What a run has cost, in processor time of its one thread."""

import contextlib
import time


class Clock:
    """Counts from where it is made; some time is charged, some is free."""

    def __init__(self):
        self._begin = time.process_time()

    def seconds(self):
        """Seconds so far.

        Returns:
            Float.
        """
        return time.process_time() - self._begin

    def charge(self, seconds):
        """Adds what was computed earlier, for all runs.

        Args:
            seconds: float.
        """
        self._begin -= seconds

    @contextlib.contextmanager
    def paused(self):
        """What happens inside is free."""
        begin = time.process_time()
        try:
            yield
        finally:
            self._begin += time.process_time() - begin


def make_all_clocks_count_processor_time():
    """Plans that measure seconds become those of an idle core.

    Recipes share `minutes` among phases by `time.perf_counter`. On a machine
    with other work they would train less; in a process of one thread, its
    processor time is what an idle machine would show.
    """
    time.perf_counter = time.process_time
