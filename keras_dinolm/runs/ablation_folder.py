"""The folder of an ablation: what it was started with, runs, results."""

import contextlib
import pathlib
import re
from collections.abc import Callable
from collections.abc import Iterator

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.runs import fingerprint
from keras_dinolm.runs.state_file import CheckpointError
from keras_dinolm.typing import Path

# What the marker of the folder says.
KIND = "ablation"
FILES = ("results.jsonl", "table.md", "ablation.png", "recipe.json", "runs")
# What a line of the results has.
_FIELDS = {
    "change": str,
    "seed": int,
    "steps": int,
    "failures": list,
    "measured": dict,
    "history": dict,
    "recipe": str,
}


class AblationFolder:
    """Reads and writes the files of one ablation.

    Each file is replaced as a whole, so that a kill leaves the old or the new
    one. A file that is damaged all the same is set aside, and what it held is
    made again.

    Args:
        directory: string or path.
    """

    def __init__(self, directory: Path):
        self.directory = arguments.path("directory", directory)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out.

        Raises:
            CheckpointError: if one is in.
            FileExistsError: if files that are not of an ablation are there.
        """
        files.claim_folder(self.directory, KIND, FILES)
        lock = files.lock(self.directory / ".lock", 0, "folder of the ablation")
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except files.InUseError as error:
                raise CheckpointError(str(error)) from None
            yield

    def results(self) -> dict[tuple[str, int], dict]:
        """The result of each finished run, by change and seed.

        Raises:
            ValueError: naming the file and the line of what is no result.
        """
        path = self.directory / "results.jsonl"
        results = {}
        for index, result in enumerate(files.read_json_lines(path), 1):
            if not isinstance(result, dict) or not all(
                isinstance(result.get(field), kind)
                for field, kind in _FIELDS.items()
            ):
                raise ValueError(
                    f"'{path}', record {index}: no result of an ablation. It "
                    f"needs the fields {', '.join(_FIELDS)}. Remove the line, "
                    "so that its run is repeated. Received: "
                    f"{arguments.shorten(result)}"
                )
            results[result["change"], result["seed"]] = result
        return results

    def add_result(self, result: dict) -> None:
        """Stores the result of a run after those that are there."""
        files.append_json_line(self.directory / "results.jsonl", result)

    def of_run(self, change: str, seed: int) -> pathlib.Path:
        """The folder of a run's checkpoints."""
        return self.directory / "runs" / slug(change) / f"seed-{seed}"

    def remove_run(self, change: str, seed: int) -> None:
        """Removes a run's checkpoints."""
        files.remove_folder(self.of_run(change, seed))

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
        then = files.read_json_or_set_aside(path)
        if not _is_recipe(then):
            if then is not None:
                files.set_aside(path, "it is not of an ablation")
            then = {"settings": settings, "changes": {}}
        now = {"settings": settings, "changes": descriptions}
        for change, description in descriptions.items():
            then["changes"].setdefault(change, description)
        compared = {
            "settings": then["settings"],
            "changes": {c: then["changes"][c] for c in descriptions},
        }
        fix = "Use that recipe to continue here, or give another `directory`."
        fingerprint.check_is_same(
            f"'{self.directory}' holds an ablation", compared, now, fix
        )
        for (change, seed), result in self.results().items():
            # All that is left to compare with where recipe.json was lost.
            known = descriptions.get(change)
            if known and result["recipe"] != fingerprint.checksum(
                {"settings": settings, "change": known}
            ):
                raise ValueError(
                    f"'{self.directory / 'results.jsonl'}' has a result of "
                    f"{change!r}, seed {seed}, by another recipe. {fix}"
                )
        files.write_json(path, then)

    def write_text(self, name: str, text: str) -> None:
        """Replaces a file by a text."""
        files.write_text(self.directory / name, text)

    def write(self, name: str, write: Callable) -> None:
        """Replaces a file by what a function writes to an open one."""
        with files.write_file(self.directory / name) as file:
            write(file)


def _is_recipe(content):
    return (
        isinstance(content, dict)
        and isinstance(content.get("settings"), dict)
        and isinstance(content.get("changes"), dict)
        and all(isinstance(c, dict) for c in content["changes"].values())
    )


def slug(name: str) -> str:
    """A name as a name of a folder; empty if nothing is left of it."""
    return re.sub(r"[^\w.-]+", "-", name.lower()).strip("-.")
