"""A function in a forked child, which may be killed at a random moment.

The parent has imported the backend but executed nothing with it, so that a
child starts in milliseconds and is as fresh as a new process.
"""

import dataclasses
import json
import os
import pathlib
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from trials.events import count_events
from trials.events import kill_at_event


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        value: what the function returned, as JSON gives it back.
        error: string or `None`. `"ValueError: ..."` if it raised.
        killed: bool. Whether we killed it.
        crash: string or `None`. The signal or exit code of a crash, or that
            it took too long.
        seconds: float. From the start of the function.
        events: int. How often it changed a name on the disk.
        output: string. The end of what it printed.
        pid: int. Its process, and the group of its own children.
    """

    value: Any
    error: str | None
    killed: bool
    crash: str | None
    seconds: float
    events: int
    output: str
    pid: int

    @property
    def good(self) -> bool:
        return not (self.error or self.killed or self.crash)

    def __str__(self) -> str:
        if self.good:
            return "ended well"
        if self.killed:
            return f"killed after {self.seconds:.3f} s"
        return (
            self.crash or self.error or ""
        ) + f"\n{self.output[-1500:]}".rstrip()


def run(
    function: Callable[[], Any],
    scratch: pathlib.Path,
    *,
    delay: float | None = None,
    event: tuple[int, float] | None = None,
    before: Callable[[], None] = lambda: None,
    limit: float = 180.0,
) -> Ended:
    """Runs a function in a child.

    Args:
        function: returns a JSON value.
        scratch: folder for what the child prints.
        delay: seconds after which the child and its own children are killed.
        event: `(number, seconds)`: the child kills itself so long after it
            changed a name on the disk for the `number`th time.
        before: called in the child first, to lower its limits for instance.
        limit: seconds that the child may take.
    """
    reading, writing = os.pipe()
    printed = scratch / "printed.txt"
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(function, printed, writing, event, before)
    os.close(writing)
    return _parent(pid, reading, printed, delay, event, limit)


def start(
    function: Callable[[], Any],
    scratch: pathlib.Path,
    name: str,
    wait: float = 0.0,
) -> Callable[..., Ended]:
    """Starts a child and returns at once; the result waits for its end.

    Args:
        function: returns a JSON value.
        scratch: folder for what the child prints.
        name: string, a part of that file's name.
        wait: seconds before it begins.
    """
    reading, writing = os.pipe()
    printed = scratch / f"printed-{name}.txt"
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(function, printed, writing, None, lambda: time.sleep(wait))
    os.close(writing)
    return lambda limit=180.0: _parent(pid, reading, printed, None, None, limit)


def _child(function, printed, writing, event, before):
    os.setsid()
    # The file is open before a limit of the child could forbid it.
    output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = 0
    try:
        before()
        os.write(writing, b"\n")
        answer = {"value": None, "error": None, "events": 0}
        if event is not None:
            kill_at_event(*event)
        else:
            events = count_events()
        try:
            answer["value"] = function()
        except BaseException as error:
            traceback.print_exc()
            answer["error"] = f"{type(error).__name__}: {error}"
        if event is None:
            answer["events"] = events()
        sys.stdout.flush()
        sys.stderr.flush()
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(writing, data) :]
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        code = 70
    finally:
        # No `atexit`: the parent's own shall not run twice.
        os._exit(code)


def _parent(pid, reading, printed, delay, event, limit):
    data, begin, late = b"", None, False
    deadline = time.monotonic() + limit
    killed = False
    while True:
        now = time.monotonic()
        wait = deadline - now
        if delay is not None and begin is not None and not killed:
            wait = begin + delay - now
        if wait <= 0:
            late = not (delay is not None and not killed and begin)
            _kill(pid)
            killed = True
            deadline = now + 30.0
            if late:
                break
            continue
        ready, _, _ = select.select([reading], [], [], wait)
        if not ready:
            continue
        piece = os.read(reading, 1 << 16)
        if not piece:
            break
        if begin is None:
            begin = time.monotonic()
        data += piece
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - (begin or time.monotonic())
    died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    # Workers of the child end with it, or with their pipes.
    answer = {}
    if died is None and data.strip():
        answer = json.loads(data)
    was_killed = (
        died == signal.SIGKILL and not late and (killed or event is not None)
    )
    crash = None
    if late:
        crash = f"did not end within {limit:.0f} s"
    elif died is not None and not was_killed:
        crash = f"died by {signal.Signals(died).name}"
    elif died is None and not answer:
        crash = f"exit code {os.WEXITSTATUS(status)} without an answer"
    try:
        output = printed.read_text(errors="replace")[-8000:]
    except OSError:
        output = ""
    return Ended(
        answer.get("value"),
        answer.get("error"),
        was_killed,
        crash,
        seconds,
        answer.get("events", 0),
        output,
        pid,
    )


def _kill(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)
