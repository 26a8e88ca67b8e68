"""The folder of an ablation: what it was started with, runs, results."""

import contextlib
import json
import pathlib
import re
import shutil
from collections.abc import Callable
from collections.abc import Iterator

from keras_dinolm.data.paths import write_atomically
from keras_dinolm.runs.ablation_recipe import differences
from keras_dinolm.runs.checkpoint_folder import CheckpointFolder
from keras_dinolm.typing import Path


class AblationFolder:
    """Reads and writes the files of one ablation.

    Each file is replaced as a whole, so that a kill leaves the old or the new
    one.

    Args:
        directory: string or path.
    """

    def __init__(self, directory: Path):
        self.directory = pathlib.Path(directory)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out.

        Raises:
            CheckpointError: if one is in.
        """
        folder = CheckpointFolder(self.directory)
        folder.lock()
        try:
            yield
        finally:
            folder.unlock()

    def results(self) -> dict[tuple[str, int], dict]:
        """The result of each finished run, by change and seed."""
        path = self.directory / "results.jsonl"
        if not path.exists():
            return {}
        lines = path.read_text(encoding="utf-8").splitlines()
        results = map(json.loads, lines)
        return {(r["change"], r["seed"]): r for r in results}

    def add_result(self, result: dict) -> None:
        """Stores the result of a run after those that are there."""
        results = [*self.results().values(), result]
        text = "".join(json.dumps(r) + "\n" for r in results)
        self.write_text("results.jsonl", text)

    def of_run(self, change: str, seed: int) -> pathlib.Path:
        """The folder of a run's checkpoints."""
        return self.directory / "runs" / slug(change) / f"seed-{seed}"

    def remove_run(self, change: str, seed: int) -> None:
        """Removes a run's checkpoints."""
        shutil.rmtree(self.of_run(change, seed), ignore_errors=True)

    def check_recipe(
        self, settings: dict, descriptions: dict[str, dict]
    ) -> None:
        """Compares with what the folder was started with; keeps what is new.

        Args:
            settings: dict. What all runs have in common.
            descriptions: dict of change to what `describe` returns.

        Raises:
            ValueError: naming each difference.
        """
        path = self.directory / "recipe.json"
        then = {"settings": settings, "changes": {}}
        if path.exists():
            then = json.loads(path.read_text(encoding="utf-8"))
        lines = differences(then["settings"], settings)
        for change, description in descriptions.items():
            before = then["changes"].setdefault(change, description)
            lines += [
                f"{change}: {line}" for line in differences(before, description)
            ]
        if lines:
            shown = "\n".join(f"  {line}" for line in lines[:20])
            raise ValueError(
                f"{self.directory} was started with another recipe "
                f"({len(lines)} differences):\n{shown}\nUse that recipe to "
                "continue here, or give another `directory`."
            )
        self.write_text("recipe.json", json.dumps(then, indent=1))

    def write_text(self, name: str, text: str) -> None:
        """Replaces a file by a text."""
        self.write(name, lambda file: file.write(text.encode("utf-8")))

    def write(self, name: str, write: Callable) -> None:
        """Replaces a file by what a function writes to an open one."""
        with write_atomically(self.directory / name) as file:
            write(file)


def slug(name: str) -> str:
    """A name as a name of a folder; empty if nothing is left of it."""
    return re.sub(r"[^\w.-]+", "-", name.lower()).strip("-.")
