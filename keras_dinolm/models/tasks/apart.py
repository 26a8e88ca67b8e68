"""Calls in threads of our own, which no interrupt reaches."""

import _thread
import atexit
import os
import queue
import time
from collections.abc import Callable
from typing import Any

# An idle thread ends after so many seconds.
_IDLE = 60.0
# The longest wait, when Python ends, for what an interrupted call left behind.
_LAST_WAIT = 10.0


class _Pool:
    # `SimpleQueue` and `start_new_thread` are written in C: an interrupt comes
    # before or after each of their calls, and never leaves a lock taken.
    def __init__(self):
        self.jobs = queue.SimpleQueue()
        # One token for each thread that waits for a job.
        self.idle = queue.SimpleQueue()
        self.busy = set()

    def call(self, function, args):
        outcome = queue.SimpleQueue()
        if not _take(self.idle):
            _thread.start_new_thread(self._work, ())
        self.jobs.put((function, args, outcome))
        result, error = outcome.get()
        if error is None:
            return result
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def _work(self):
        while True:
            try:
                job = self.jobs.get(timeout=_IDLE)
            except queue.Empty:
                # Unless somebody counts on this thread already.
                if _take(self.idle):
                    return
                continue
            key = object()
            self.busy.add(key)
            function, args, outcome = job
            try:
                result = function(*args), None
            except BaseException as error:
                result = None, error
            # Before the result, so that a caller in a loop finds this thread.
            self.idle.put(None)
            outcome.put(result)
            self.busy.discard(key)
            # Nothing of the job is kept while waiting for the next one.
            del job, function, args, outcome, result


def _take(tokens):
    try:
        tokens.get_nowait()
    except queue.Empty:
        return False
    return True


_pool = _Pool()


def _reset():
    # A forked process has the queues without the threads.
    global _pool
    _pool = _Pool()


def _finish():
    # Compiled code that still runs while Python ends could crash it.
    end = time.monotonic() + _LAST_WAIT
    while _pool.busy and time.monotonic() < end:
        time.sleep(0.005)


os.register_at_fork(after_in_child=_reset)
atexit.register(_finish)


def call_apart(function: Callable, *args: Any) -> Any:
    """Calls a function in another thread and waits for its result.

    A `KeyboardInterrupt` can come between any two steps of Python. In the
    midst of a network's call it leaves Keras, jax or TensorFlow with a state
    of that thread that is never undone: an open scope, an unfinished trace, a
    lock. In a thread of its own the call always comes to its end. An interrupt
    ends the waiting alone, and the result is dropped.

    Threads are kept for the next calls. There are as many as there were calls
    at the same time.

    Args:
        function: function.
        *args: its arguments.

    Returns:
        What it returns.

    Raises:
        BaseException: what it raises.

    Example:

    ```python
    from keras_dinolm.models.tasks.apart import call_apart

    assert call_apart(max, 1, 2) == 2
    ```
    """
    return _pool.call(function, args)
