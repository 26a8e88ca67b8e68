"""Lists of records, one JSON object a line, that survive a kill."""

import json
import warnings
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.files.locks import lock
from keras_dinolm.files.read import parse_json
from keras_dinolm.files.write import write_file
from keras_dinolm.typing import Path


def read_json_lines(path: Path) -> list[Any]:
    """Reads records that `append_json_line` wrote, or an append was to write.

    A last line without its end, which a killed writer leaves, is dropped with
    a warning: its record was not complete.

    Args:
        path: string or path. A file that does not exist holds no records.

    Returns:
        List of what was written.

    Raises:
        ValueError: if another line is damaged; names the file and the line.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.append_json_line("results.jsonl", {"seed": 0})
    assert kd.files.read_json_lines("results.jsonl") == [{"seed": 0}]
    ```
    """
    path = arguments.path("path", path)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    records = []
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            records.append(parse_json(line.decode("utf-8")))
        except ValueError as error:
            if index == len(lines) - 1:
                warnings.warn(
                    f"The last line of '{path}' is torn, as a killed run "
                    "leaves it. Its record is taken as not written.",
                    stacklevel=2,
                )
                continue
            raise ValueError(
                f"'{path}', line {index + 1}: no valid JSON ({error}). "
                "Remove the line, or the file to begin from nothing."
            ) from None
    return records


def append_json_line(path: Path, record: Any) -> None:
    """Adds a record to a file of JSON lines, whole or not at all.

    Several processes may append to the same file.

    Args:
        path: string or path. Made if it does not exist.
        record: what `json.dumps` takes.

    Example:

    ```python
    import keras_dinolm as kd

    kd.files.append_json_line("results.jsonl", {"seed": 0, "knn": 0.7})
    ```
    """
    line = json.dumps(record, ensure_ascii=False)
    path = arguments.path("path", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path.with_name(f".{path.name}.lock"), what="file"):
        records = read_json_lines(path)
        with write_file(path, "w") as file:
            for old in records:
                file.write(json.dumps(old, ensure_ascii=False) + "\n")
            file.write(line + "\n")
