"""Finished steps of k-means in a folder, to continue from."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from keras_dinolm.data.paths import write_atomically
from keras_dinolm.typing import Path


class SavedClusters:
    """Finished k-means in a folder, or nothing without one."""

    def __init__(
        self, directory: Path | None, points: np.ndarray, **settings: Any
    ) -> None:
        self.directory = None if directory is None else pathlib.Path(directory)
        if self.directory is None:
            return
        digest = hashlib.blake2b(points.tobytes(), digest_size=16)
        digest.update(json.dumps(points.shape).encode())
        settings = {**settings, "features": digest.hexdigest()}
        path = self.directory / "settings.json"
        if not path.exists():
            with write_atomically(path) as file:
                file.write(json.dumps(settings).encode())
            return
        old = json.loads(path.read_text())
        other = [key for key in settings if settings[key] != old.get(key)]
        if other:
            raise ValueError(
                f"`directory` {directory} holds other clusters: of other "
                f"{', '.join(other)}. Choose another directory, or remove "
                "this one to start again."
            )

    def _path(self, level, step):
        return self.directory / f"level-{level}-step-{step:02d}.npz"

    def read(
        self, level: int, step: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        if self.directory is None or not self._path(level, step).exists():
            return None
        with np.load(self._path(level, step)) as arrays:
            return arrays["centroids"], arrays["labels"]

    def write(
        self, level: int, step: int, centroids: np.ndarray, labels: np.ndarray
    ) -> None:
        if self.directory is not None:
            with write_atomically(self._path(level, step)) as file:
                np.savez(file, centroids=centroids, labels=labels)
