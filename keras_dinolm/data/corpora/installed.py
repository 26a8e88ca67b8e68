"""The default corpus: documentation strings of what is installed anyway."""

import ast
import collections
import gzip
import hashlib
import importlib.machinery
import importlib.metadata
import inspect
import json
import os
import pathlib
import platform
import sysconfig
import warnings

from keras_dinolm.data.corpora.documents import Corpus
from keras_dinolm.data.corpora.documents import Document
from keras_dinolm.data.corpora.documents import progress
from keras_dinolm.data.near_duplicates import find_near_duplicates
from keras_dinolm.data.paths import home
from keras_dinolm.data.paths import write_atomically

STANDARD_LIBRARY = "python"

# What `pip install keras_dinolm[jax]` brings, as import names: Keras,
# keras-hub and jax with what they stand on, scikit-learn and matplotlib. The
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
# Part of the cache key: raise it when extraction changes.
_VERSION = 1
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
_already_said = set()


def installed_docs(
    split="train",
    packages=None,
    minimum_characters=200,
    held_out_fraction=0.1,
    similarity=0.5,
    cache=True,
    show_progress=True,
):
    """Documentation strings of Python and of installed packages.

    Real English prose with code and formulas, on every machine, without a
    download: the docstrings of modules, classes and functions, read from source
    with `ast`. Nothing is imported or run. Tests are skipped.

    Whole modules are held out, chosen by a hash of their names. Exact copies
    and near copies (see `find_near_duplicates`) are left out within a split and
    across the two: a held-out document has no near copy in the training
    split, although `jax.numpy` documents what `numpy` does.

    The order is fixed, and with the same versions of Python and of the
    packages (in `corpus.versions`) the corpus is the same. It is cached in
    the folder named by the environment variable `KERAS_DINOLM_HOME` (default:
    the user's cache folder).

    Args:
        split: `"train"`, `"held_out"` or `"all"`. Defaults to `"train"`.
        packages: list of import names, or paths of package folders;
            `"python"` is the standard library. Defaults to a fixed list, what
            this library installs. Missing ones are named in a warning.
        minimum_characters: int. Shorter documents are left out and counted.
            Defaults to `200`.
        held_out_fraction: float in [0, 1). Share of modules that are held
            out. Defaults to `0.1`.
        similarity: float in (0, 1]. From which Jaccard similarity of word
            triples two documents are near copies. Defaults to `0.5`.
        cache: bool, or the path of a folder. `False` reads the sources anew;
            so does a list of `packages` with a path in it. Defaults to `True`.
        show_progress: bool. Whether to show progress bars.

    Returns:
        A re-iterable corpus of `Document` with `len`, `label` the package and
        `module` the dotted module. `print(corpus)` tells what was left out.

    Raises:
        ValueError: for an unknown split, a fraction out of range, or when
            nothing is found.

    Example:

    ```python
    import keras_dinolm as kd

    # Without `packages`: some 20,000 documents, a minute at the first time.
    corpus = kd.data.installed_docs("all", packages=["json"], cache=False)
    print(corpus)
    corpus[0].module  # "json"
    ```
    """
    if split not in ("train", "held_out", "all"):
        raise ValueError(
            "`split` must be one of 'train', 'held_out', 'all'. "
            f"Received: split={split!r}"
        )
    if not 0 <= held_out_fraction < 1:
        raise ValueError(
            "`held_out_fraction` must be in [0, 1). "
            f"Received: held_out_fraction={held_out_fraction}"
        )
    if isinstance(packages, str | os.PathLike):
        packages = [packages]
    sources = _find_sources(DEFAULT_PACKAGES if packages is None else packages)
    settings = {
        "version": _VERSION,
        "python": platform.python_version(),
        "packages": {s.label: s.version for s in sources},
        "minimum_characters": minimum_characters,
        "held_out_fraction": held_out_fraction,
        "similarity": similarity,
    }
    # A folder given by its path has no version to key a cache with.
    cacheable = cache is not False and all(s.version for s in sources)
    path = _cache_path(settings, cache) if cacheable else None
    record = _read_cache(path) if cacheable else None
    if record is None:
        record = _collect(sources, settings, show_progress)
        if cacheable:
            _write_cache(path, record)
    return InstalledDocs(record, split)


class InstalledDocs(Corpus):
    """One split of the documentation corpus; made by `installed_docs`.

    Attributes:
        versions: dict from package to version.
        dropped: counter of what was left out of *both* splits, and why.
    """

    def __init__(self, record, split):
        super().__init__(f"installed_docs({split!r})")
        self.split = split
        self.versions = record["settings"]["packages"]
        self.documents = [
            Document(*fields)
            for where, *fields in record["documents"]
            if split in ("all", where)
        ]
        self.dropped = collections.Counter(record["dropped"])
        self.count = len(self.documents)
        if not self.count:
            raise ValueError(
                f"No document in the split {split!r} of "
                f"{', '.join(self.versions)}. Left out: "
                f"{dict(self.dropped)}. Lower `minimum_characters` or name "
                "more `packages`."
            )

    def __iter__(self):
        return iter(self.documents)

    def __getitem__(self, index):
        return self.documents[index]

    def __str__(self):
        labels = collections.Counter(d.label for d in self.documents)
        return (
            super().__str__()
            + "\n  packages: "
            + ", ".join(
                f"{label} {self.versions[label]} ({count:,})"
                for label, count in labels.most_common()
            )
        )


class _Source:
    """The Python files of one package."""

    def __init__(self, label, version, root, prefix):
        self.label = label
        self.version = version
        self.root = root
        self.prefix = prefix

    def files(self):
        """Pairs (path, dotted module) in a fixed order."""
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


def _find_sources(packages):
    sources, missing = [], []
    for package in packages:
        name = os.fspath(package)
        if name == STANDARD_LIBRARY:
            root = pathlib.Path(sysconfig.get_paths()["stdlib"])
            version = platform.python_version()
            sources.append(_Source(name, version, root, ""))
        elif isinstance(package, os.PathLike) or os.sep in name:
            root = pathlib.Path(name)
            if not root.exists():
                raise FileNotFoundError(
                    f"No such package folder: {root} (in `packages`)"
                )
            sources.append(_Source(root.stem, "", root, root.stem))
        else:
            root = _locate(name)
            if root is None:
                missing.append(name)
            else:
                version = _version(name)
                sources.append(_Source(name, version, root, name))
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


def _docstrings(tree):
    """Qualified name and cleaned docstring of each definition, in order."""
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    stack = [("", tree)]
    while stack:
        name, node = stack.pop()
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            yield name, inspect.cleandoc(first.value.value).strip()
        inner = []
        for child in _statements(node):
            if isinstance(child, definitions):
                inner.append((f"{name}.{child.name}".lstrip("."), child))
            elif isinstance(child, ast.Expr):
                yield from _added_docstring(child.value)
        stack.extend(reversed(inner))


def _added_docstring(call):
    """What NumPy and SciPy write for functions in C: `add_newdoc(..., doc)`."""
    if (
        not isinstance(call, ast.Call)
        or getattr(call.func, "id", "") != "add_newdoc"
        or not call.args
    ):
        return
    # (place, name, doc), (name, doc) or (place, name, (method, doc)).
    *names, last = call.args
    if isinstance(last, ast.Tuple):
        names, last = [*names, *last.elts[:-1]], last.elts[-1]
    if isinstance(last, ast.Constant) and isinstance(last.value, str):
        name = ".".join(str(getattr(n, "value", "")) for n in names)
        yield name, inspect.cleandoc(last.value).strip()


def _statements(node):
    """Statements of a body, also under `if`, `try` and `with`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _statements(child)
        elif isinstance(child, ast.stmt):
            yield child


def _is_held_out(module, fraction):
    digest = hashlib.blake2b(module.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64


def _collect(sources, settings, show_progress):
    dropped = collections.Counter()
    found = []
    files = [(s, *pair) for s in sources for pair in s.files()]
    fraction = settings["held_out_fraction"]
    bar = progress(files, "Reading docstrings", show_progress, files, "file")
    for source, path, module in bar:
        try:
            data = path.read_bytes()
            # Parsing is what takes the time; no docstring, no parsing.
            if b'"""' not in data and b"'''" not in data:
                continue
            with warnings.catch_warnings():
                # Other people's invalid escapes are not our user's business.
                warnings.simplefilter("ignore")
                tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, OSError):
            dropped["files that cannot be parsed"] += 1
            continue
        where = "held_out" if _is_held_out(module, fraction) else "train"
        names = collections.Counter()
        for name, text in _docstrings(tree):
            if len(text) < settings["minimum_characters"]:
                reason = f"below {settings['minimum_characters']} characters"
                dropped[reason] += 1
                continue
            # Properties and their setters, overloads: one name, many strings.
            names[name] += 1
            identity = f"{module}:{name}" if name else module
            if names[name] > 1:
                identity += f"#{names[name]}"
            # A lone surrogate is legal in a docstring, and nowhere else.
            text = text.encode("utf-8", "replace").decode("utf-8")
            found.append((where, text, identity, source.label, module))
    found = _without_exact_copies(found, dropped)
    # Training documents first: of a pair across the splits, the held-out one
    # goes.
    found.sort(key=lambda row: row[0] == "held_out")
    originals = find_near_duplicates(
        [row[1] for row in found], settings["similarity"], show_progress
    )
    kept = []
    for row, original in zip(found, originals):
        if original is None:
            kept.append(row)
        elif row[0] == found[original][0]:
            dropped[f"near copies within {row[0]}"] += 1
        else:
            dropped["held-out documents with a near copy in train"] += 1
    return {"settings": settings, "dropped": dropped, "documents": kept}


def _without_exact_copies(rows, dropped):
    seen, kept = set(), []
    # Training documents claim a text first, as below.
    for row in sorted(rows, key=lambda row: row[0] == "held_out"):
        key = hashlib.blake2b(
            " ".join(row[1].split()).encode(), digest_size=16
        ).digest()
        if key in seen:
            dropped["exact copies"] += 1
        else:
            seen.add(key)
            kept.append(row)
    return kept


def _cache_path(settings, cache):
    folder = home() if cache is True else pathlib.Path(cache)
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return folder / f"installed_docs-{digest}.json.gz"


def _read_cache(path):
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError) as error:
        warnings.warn(
            f"The cache file {path} is damaged ({error}); it is made anew.",
            stacklevel=3,
        )
        return None


def _write_cache(path, record):
    try:
        with write_atomically(path) as file:
            # Level 1: a third of the size, in half a second.
            data = json.dumps(record).encode("utf-8")
            file.write(gzip.compress(data, compresslevel=1, mtime=0))
    except OSError as error:
        warnings.warn(
            f"Cannot write the cache {path}: {error}. Set KERAS_DINOLM_HOME "
            "to a folder that can be written; until then the sources are "
            "read anew each time.",
            stacklevel=3,
        )
