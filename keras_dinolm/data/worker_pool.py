"""Writing shards in several processes at once."""

import contextlib
import pathlib
import pickle
import queue
import subprocess
import threading
from typing import Any

from keras_dinolm.data.shard import move_shard
from keras_dinolm.data.shard import write_shard
from keras_dinolm.data.store_encoder import make_encoder
from keras_dinolm.data.worker import command

# A smaller first shard takes less time than starting a process.
_WORTH_A_PROCESS = 2_000_000
# Seconds until a process whose pipes are closed is dead.
_PATIENCE = 10


class WorkerPool:
    """Writes shards in worker processes, or here if there are none.

    Each worker has a thread that hands it one shard at a time, and moves what
    it wrote to its place. The queue is short, so reading the corpus waits for
    the workers.

    Args:
        directory: path of the store.
        settings: dict of the arguments of `write_shard` that all shards
            share, with what `encoder_config` returned as `"encoder"`.
        num_workers: int. `0` does the work in this process.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        settings: dict[str, Any],
        num_workers: int,
    ):
        self.directory = directory
        self.settings = settings
        self.num_workers = num_workers
        self.jobs: queue.Queue = queue.Queue(maxsize=1)
        self.headers: dict[int, dict[str, Any]] = {}
        self.errors: list[Exception] = []
        self.threads: list[threading.Thread] = []
        self.processes: list[subprocess.Popen] = []
        self.encoder: Any = None

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self._kill()
        try:
            self._join()
        except BaseException:  # Ctrl-C again
            self._kill()
            raise

    def submit(self, job: dict[str, Any]) -> None:
        """Has a shard written; waits while all workers are busy."""
        self._raise()
        characters = sum(map(len, job["texts"]))
        for alternates in job.get("alternates", ()):
            characters += sum(map(len, alternates))
        small = job["index"] == 0 and characters < _WORTH_A_PROCESS
        if self.num_workers == 0 or small:
            if self.encoder is None:
                self.encoder = make_encoder(self.settings["encoder"])
            settings = {**self.settings, "encoder": self.encoder}
            self._keep(job["index"], write_shard(**settings, **job))
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

    def _keep(self, index, header):
        move_shard(self.settings["scratch"], self.directory, index)
        self.headers[index] = header

    def _start(self):
        try:
            process = subprocess.Popen(
                command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise RuntimeError(
                f"A tokenizer process could not be started ({error}). "
                "Finished shards are kept: call `tokenize` again with fewer "
                "`num_workers`; `0` needs no process."
            ) from error
        thread = threading.Thread(
            target=self._serve, args=(process,), daemon=True
        )
        self.processes.append(process)
        self.threads.append(thread)
        thread.start()

    def _serve(self, process):
        try:
            self._ask(process, self.settings, answers=False)
            while (job := self.jobs.get()) is not None:
                answer = self._ask(process, job)
                if isinstance(answer, Exception):
                    raise answer
                self._keep(job["index"], answer)
        except Exception as error:
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()

    def _ask(self, process, job, answers=True):
        """Sends a job to a worker; returns its answer."""
        try:
            pickle.dump(job, process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout) if answers else None
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            raise RuntimeError(
                "A tokenizer process died (killed, or out of memory?): "
                f"exit status {process.poll()}. Finished shards are kept: "
                "call `tokenize` again to continue, perhaps with fewer "
                "`num_workers` or a smaller `shard_characters` (in another "
                "directory). "
                f"({type(error).__name__}: {error})"
            ) from error

    def _kill(self):
        for process in self.processes:
            process.kill()

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
