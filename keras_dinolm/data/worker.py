"""A process that turns batches of text into shards of ids.

`keras_dinolm.data.tokenize` starts it as `python -m keras_dinolm.data.worker`.
A fresh interpreter forks nothing of a parent that runs jax or TensorFlow, a
user's script needs no `if __name__ == "__main__"`, and only NumPy and
`tokenizers` are imported. The process reads pickled jobs from standard input
and answers on standard output, until the input ends.
"""

import os
import pickle
import sys
from typing import Any


def main() -> None:
    # The work is parallel over processes. Threads inside would get in the way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from keras_dinolm.data.shard import write_shard
    from keras_dinolm.text.encoder import Encoder

    # Whatever else prints must not end up between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings = pickle.load(sys.stdin.buffer)
    encoder = Encoder(**settings.pop("encoder"))
    while True:
        try:
            job = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: Any = write_shard(encoder=encoder, **settings, **job)
        except Exception as error:
            # The parent raises it again; the next job may still work.
            answer = error
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except BrokenPipeError:  # the parent was killed
            os._exit(1)  # without flushing, which would only fail again


if __name__ == "__main__":
    main()
