"""Ctrl-C between two steps instead of in the middle of one."""

import signal
import sys
import threading


class InterruptBetweenSteps:
    """Turns the first Ctrl-C into a request; the second one acts at once.

    In the middle of a step the weights are half moved, or on their way
    through the device: no state to save. A context manager; outside of the
    main thread, or where a program handles Ctrl-C itself, it does nothing.

    Args:
        request: callable without arguments, called once by the first Ctrl-C.
    """

    def __init__(self, request):
        self.request = request
        self._before = None

    def __enter__(self):
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception):
        self._restore()

    def _handle(self, number, frame):
        self._restore()
        self.request()
        print(
            "\nCtrl-C: this step is finished and saved first; once more stops "
            "at once.",
            file=sys.stderr,
        )

    def _restore(self):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
