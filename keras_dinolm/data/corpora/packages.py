"""Which packages the default corpus is read from, and where they are."""

import importlib.machinery
import importlib.metadata
import os
import pathlib
import platform
import sysconfig
import warnings
from collections.abc import Iterable
from collections.abc import Iterator

from keras_dinolm.typing import Path

STANDARD_LIBRARY = "python"

# What `pip install keras_dinolm[jax]` brings, as import names: Keras,
# keras-hub and jax with their dependencies, scikit-learn and matplotlib. The
# list is fixed, so that two machines with the same versions train on the same
# text, whatever else is installed there.
DEFAULT_PACKAGES = (
    STANDARD_LIBRARY,
    "numpy",
    "scipy",
    "jax",
    "keras",
    "keras_hub",
    "tensorflow",
    "tensorflow_text",
    "sklearn",
    "matplotlib",
    "absl",
    "h5py",
    "huggingface_hub",
    "joblib",
    "ml_dtypes",
    "narwhals",
    "opt_einsum",
    "optree",
    "rich",
    "tokenizers",
    "tqdm",
    "PIL",
    "fontTools",
    "pyparsing",
    "google",
    "requests",
    "anyio",
    "click",
    "dateutil",
    "fsspec",
    "kagglehub",
    "markdown_it",
    "packaging",
    "pygments",
    "setuptools",
    "urllib3",
    "wrapt",
)
_DISTRIBUTIONS = {
    "absl": "absl-py",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "fontTools": "fonttools",
    "google": "protobuf",
    "dateutil": "python-dateutil",
    "markdown_it": "markdown-it-py",
}
_SKIPPED_FOLDERS = {
    "__pycache__",
    "_api",  # generated lists of imports, in keras and tensorflow
    "_bundled",
    "_vendor",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "turtledemo",
}
_already_said: set[str] = set()


class Source:
    """The Python files of one package.

    Args:
        label: str. What to call the package.
        version: str, or `""` for a folder given by its path.
        root: path of the package's folder or single file.
        prefix: str. The dotted name of `root`, which may be empty.
    """

    def __init__(
        self, label: str, version: str, root: pathlib.Path, prefix: str
    ):
        self.label = label
        self.version = version
        self.root = root
        self.prefix = prefix

    def files(self) -> Iterator[tuple[pathlib.Path, str]]:
        """Yields pairs (path, dotted module) in a fixed order."""
        if self.root.is_file():
            yield self.root, self.prefix
            return
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(
                name for name in folders if name not in _SKIPPED_FOLDERS
            )
            for name in sorted(names):
                if name.endswith(".py") and not _is_test(name):
                    path = pathlib.Path(folder, name)
                    parts = path.relative_to(self.root).with_suffix("").parts
                    if parts[-1] == "__init__":
                        parts = parts[:-1]
                    parts = (self.prefix, *parts) if self.prefix else parts
                    yield path, ".".join(parts)


def _is_test(name):
    return (
        name.startswith("test_")
        or name.endswith(("_test.py", "_tests.py"))
        or name == "conftest.py"
    )


def find_sources(packages: Iterable[Path]) -> list[Source]:
    """Finds the sources of packages, and warns of missing ones, once each.

    Args:
        packages: import names, or paths of package folders.

    Returns:
        A list of `Source`, in the order of `packages`.

    Raises:
        FileNotFoundError: if a path does not exist.
    """
    sources, missing = [], []
    for package in packages:
        name = os.fspath(package)
        if name == STANDARD_LIBRARY:
            root = pathlib.Path(sysconfig.get_paths()["stdlib"])
            version = platform.python_version()
            sources.append(Source(name, version, root, ""))
        elif isinstance(package, os.PathLike) or os.sep in name:
            root = pathlib.Path(name)
            if not root.exists():
                raise FileNotFoundError(
                    f"No such package folder: {root} (in `packages`)"
                )
            sources.append(Source(root.stem, "", root, root.stem))
        else:
            root = _locate(name)
            if root is None:
                missing.append(name)
            else:
                version = _version(name)
                sources.append(Source(name, version, root, name))
    new = [name for name in missing if name not in _already_said]
    if new:
        _already_said.update(new)
        warnings.warn(
            "installed_docs: not installed, and therefore not in the corpus: "
            f"{', '.join(new)}. Results with other packages differ a little.",
            stacklevel=3,
        )
    return sources


def _locate(name):
    # Looks at the path only: works when importing `name` is blocked.
    spec = importlib.machinery.PathFinder.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return pathlib.Path(next(iter(spec.submodule_search_locations)))
    if spec.origin and spec.origin.endswith(".py"):
        return pathlib.Path(spec.origin)
    return None


def _version(name):
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        found = importlib.metadata.packages_distributions().get(name)
        return importlib.metadata.version(found[0]) if found else ""
