"""A process that turns batches of text into shards of ids.

`keras_dinolm.data.tokenize` starts it with a fresh interpreter, which forks
nothing of a parent that runs jax or TensorFlow; a user's script needs no `if
__name__ == "__main__"`, and only NumPy, `tokenizers` and `filelock` are
imported (and keras-hub, for a tokenizer of its own). The process reads pickled
jobs from its parent on standard input and answers on standard output, until
the input ends. Nobody else writes to these pipes.
"""

import json
import os
import pathlib
import pickle
import signal
import sys
from typing import Any

# An interpreter with `-I` has no working directory among its paths. It gets
# those of its parent, and this package from the very place of the parent's.
_START = """
import importlib.util, json, sys
package, sys.path[:] = json.loads(sys.argv[1])
spec = importlib.util.spec_from_file_location("keras_dinolm", package)
sys.modules["keras_dinolm"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from keras_dinolm.data.worker import main
main()
"""


def command() -> list[str]:
    """The command that starts a worker.

    The worker executes no file of the working directory, such as a
    `tokenizers.py` beside the user's data.

    Returns:
        List of str.
    """
    package = pathlib.Path(__file__).resolve().parents[1] / "__init__.py"
    start = json.dumps([str(package), _safe_paths()])
    return [sys.executable, "-I", "-c", _START, start]


def _safe_paths():
    """The paths of this process's modules, except the working directory."""
    here = os.path.realpath(os.curdir)
    return [
        path
        for path in sys.path
        if os.path.isabs(path) and os.path.realpath(path) != here
    ]


def main() -> None:
    """Answers jobs until the input ends."""
    # The parent decides what Ctrl-C means, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The work is parallel over processes. Threads inside would get in the way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Whatever else prints must not end up between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    from keras_dinolm.data.shard import write_shard
    from keras_dinolm.data.store_encoder import make_encoder

    settings = pickle.load(sys.stdin.buffer)
    encoder = make_encoder(settings.pop("encoder"))
    while True:
        try:
            job = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: Any = write_shard(encoder=encoder, **settings, **job)
        except Exception as error:
            # The parent raises it again; the next job may still work.
            answer = _portable(error)
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except BrokenPipeError:  # the parent was killed
            os._exit(1)  # without flushing, which would only fail again


def _portable(error):
    """The error, or one that says the same and that a pickle can hold."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
