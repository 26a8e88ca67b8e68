"""Writing shards in several processes at once."""

import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading
from typing import Any

from keras_dinolm.data.shard import write_shard
from keras_dinolm.text.encoder import Encoder

# A smaller first shard takes less time than starting a process.
_WORTH_A_PROCESS = 2_000_000


class WorkerPool:
    """Writes shards in worker processes, or here if there are none.

    Each worker has a thread that hands it one shard at a time. The queue is
    short, so reading the corpus waits for the workers.

    Args:
        settings: dict of the arguments of `write_shard` that all shards
            share, with the configuration of an `Encoder` as `"encoder"`.
        num_workers: int. `0` does the work in this process.
    """

    def __init__(self, settings: dict[str, Any], num_workers: int):
        self.settings = settings
        self.num_workers = num_workers
        self.jobs: queue.Queue = queue.Queue(maxsize=1)
        self.headers: dict[int, dict[str, Any]] = {}
        self.errors: list[Exception] = []
        self.threads: list[threading.Thread] = []
        self.processes: list[subprocess.Popen] = []
        self.encoder: Encoder | None = None

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            for process in self.processes:
                process.kill()
        self._join()

    def submit(self, job: dict[str, Any]) -> None:
        """Has a shard written; waits while all workers are busy."""
        self._raise()
        characters = sum(map(len, job["texts"]))
        for alternates in job.get("alternates", ()):
            characters += sum(map(len, alternates))
        small = job["index"] == 0 and characters < _WORTH_A_PROCESS
        if self.num_workers == 0 or small:
            if self.encoder is None:
                self.encoder = Encoder(**self.settings["encoder"])
            settings = {**self.settings, "encoder": self.encoder}
            self.headers[job["index"]] = write_shard(**settings, **job)
            return
        if len(self.threads) < self.num_workers:
            self._start()
        while True:
            try:
                self.jobs.put(job, timeout=1.0)
                return
            except queue.Full:
                self._raise()

    def finish(self) -> dict[int, dict[str, Any]]:
        """Waits for all shards; returns their headers by number."""
        self._join()
        self._raise()
        return self.headers

    def _start(self):
        root = str(pathlib.Path(__file__).resolve().parents[2])
        paths = [root, os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_dinolm.data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        thread = threading.Thread(
            target=self._serve, args=(process,), daemon=True
        )
        self.processes.append(process)
        self.threads.append(thread)
        thread.start()

    def _serve(self, process):
        try:
            pickle.dump(self.settings, process.stdin)
            while (job := self.jobs.get()) is not None:
                pickle.dump(job, process.stdin)
                process.stdin.flush()
                answer = pickle.load(process.stdout)
                if isinstance(answer, Exception):
                    raise answer
                self.headers[job["index"]] = answer
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.errors.append(
                RuntimeError(
                    "A tokenizer process died (killed, or out of memory?): "
                    f"exit status {process.poll()}. Finished shards are "
                    "kept: call `tokenize` again to go on, perhaps with fewer "
                    f"`num_workers`. ({type(error).__name__}: {error})"
                )
            )
        except Exception as error:
            self.errors.append(error)
        finally:
            try:
                process.stdin.close()
            except OSError:
                pass
            process.wait()

    def _join(self):
        while any(thread.is_alive() for thread in self.threads):
            try:
                self.jobs.put(None, timeout=0.1)
            except queue.Full:
                pass
        for thread in self.threads:
            thread.join()
        for process in self.processes:
            process.stdout.close()
        self.threads, self.processes = [], []

    def _raise(self):
        if self.errors:
            raise self.errors[0]
