"""Finished steps of k-means in a folder, to continue from."""

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.typing import Path

_SETTINGS = "settings.json"
# Headers of the arrays and of the archive.
_EXTRA_BYTES = 4_096


class SavedClusters:
    """Finished k-means in a folder, or nothing without one.

    While it is entered, no other process writes to the folder. A file there
    holds the settings and the features that it was made with. One that is
    damaged, or was made with others, is renamed, and made again.

    Args:
        directory: path of the folder, or `None`.
        points: float32 array `[N, D]`.
        **settings: all that the clusters depend on; JSON can hold them.

    Raises:
        ValueError: if the folder holds clusters of other settings or points.
    """

    def __init__(
        self, directory: Path | None, points: np.ndarray, **settings: Any
    ) -> None:
        self.directory = None
        if directory is None:
            return
        self.directory = arguments.path("directory", directory)
        self.width = points.shape[1]
        digest = hashlib.blake2b(points.tobytes(), digest_size=16)
        digest.update(json.dumps(points.shape).encode())
        self.settings = {**settings, "features": digest.hexdigest()}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps others from the folder, and compares what it was made for."""
        if self.directory is None:
            yield
            return
        names = [_SETTINGS, "level-*-step-*.npz"]
        files.claim_folder(self.directory, "k-means", names)
        lock = self.directory / ".lock"
        with files.lock(lock, 0, "folder of clusters"):
            self._compare()
            yield

    def _compare(self):
        path = self.directory / _SETTINGS
        old = files.read_json_or_set_aside(path)
        if old is None:
            files.write_json(path, self.settings)
            return
        known = old if isinstance(old, dict) else {}
        other = [
            key for key in self.settings if self.settings[key] != known.get(key)
        ]
        if other:
            raise ValueError(
                f"`directory` {self.directory} holds other clusters: of other "
                f"{', '.join(other)}. Choose another directory, or remove "
                "this one to start again."
            )

    def _path(self, level, step):
        return self.directory / f"level-{level}-step-{step:02d}.npz"

    def read(
        self, level: int, step: int, num_points: int, most_clusters: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Reads a finished k-means.

        Args:
            level: int. The level of the tree.
            step: int. The step of resampling.
            num_points: int. How many points have a label.
            most_clusters: int. How many clusters there are, at most.

        Returns:
            Centroids and labels, or `None` if there are none.
        """
        if self.directory is None:
            return None
        path = self._path(level, step)
        if not path.is_file():
            return None
        try:
            return self._load(path, num_points, most_clusters)
        except Exception as error:  # all that unpacking bad bytes raises
            files.set_aside(path, error)
            return None

    def _load(self, path, num_points, most_clusters):
        most = 8 * (most_clusters * self.width + num_points) + _EXTRA_BYTES
        if path.stat().st_size > most:
            raise ValueError("it is larger than such clusters are")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            # Nothing is unpacked that is larger than what is expected.
            if sum(member.file_size for member in members) > most or (
                sorted(member.filename for member in members)
                != ["centroids.npy", "labels.npy", "made_with.npy"]
            ):
                raise ValueError("it holds other arrays")
            arrays = {
                member.filename: _array(archive.read(member))
                for member in members
            }
        centroids, labels = arrays["centroids.npy"], arrays["labels.npy"]
        if arrays["made_with.npy"].tobytes() != self._made_with().tobytes():
            raise ValueError("it was made with other settings or features")
        count = len(centroids) if centroids.ndim == 2 else 0
        if (
            not 1 <= count <= most_clusters
            or centroids.shape[1] != self.width
            or centroids.dtype.kind != "f"
            or not np.isfinite(centroids).all()
        ):
            raise ValueError("its centroids do not fit")
        if (
            labels.shape != (num_points,)
            or labels.dtype != np.int64
            or not np.array_equal(np.unique(labels), np.arange(count))
        ):
            raise ValueError("its labels do not fit")
        return centroids, labels

    def _made_with(self):
        text = json.dumps(self.settings, sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.frombuffer(digest, "uint8")

    def write(
        self, level: int, step: int, centroids: np.ndarray, labels: np.ndarray
    ) -> None:
        """Writes a finished k-means, if there is a folder.

        Args:
            level: int. The level of the tree.
            step: int. The step of resampling.
            centroids: float array `[K, D]`.
            labels: int64 array `[N]`.
        """
        if self.directory is None:
            return
        size = centroids.nbytes + labels.nbytes + _EXTRA_BYTES
        with files.write_file(self._path(level, step), size=size) as file:
            np.savez(
                file,
                centroids=centroids,
                labels=labels,
                made_with=self._made_with(),
            )


def _array(data):
    """An array of the bytes of a `.npy` file, which holds no objects.

    The shape in its header is compared with the bytes that are there before
    memory is taken for it.
    """
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"its arrays have format {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    values = data[file.tell() :]
    count = 1
    for size in shape:
        count *= size
    if dtype.hasobject or count * dtype.itemsize != len(values):
        raise ValueError("its arrays have other sizes than they say")
    array = np.frombuffer(values, dtype)
    return array.reshape(shape, order="F" if fortran else "C").copy()
