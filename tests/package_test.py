"""The package as a whole: light imports, one-way rooms, backends, style."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

import keras_dinolm

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "keras_dinolm"
FILES = sorted(PACKAGE.rglob("*.py"))
BACKENDS = {"jax", "torch", "tensorflow"}

# Which rooms a room may import. Reading down, each knows only rooms above it,
# so that there is no circle.
MAY_IMPORT = {
    "files": set(),
    "text": set(),
    "schedules": set(),
    "losses": set(),
    "layers": {"losses"},
    "views": {"schedules"},
    "training": {"schedules"},
    "objectives": {"losses", "layers", "schedules"},
    "models": {
        "text",
        "losses",
        "layers",
        "objectives",
        "training",
        "schedules",
    },
    "teachers": {"text", "models"},
    # The order of documents is drawn by the hash of the views.
    "data": {"text", "models", "views", "teachers"},
    "evaluation": {"models", "data"},
    # Texts come as `data` has them, neighbours as `evaluation` finds them.
    "curation": {"text", "data", "evaluation"},
    "callbacks": {"models", "evaluation"},
    "runs": {"training", "callbacks", "data"},
    "recipes": {
        "schedules",
        "layers",
        "views",
        "training",
        "objectives",
        "models",
        "teachers",
        "data",
        "evaluation",
        "callbacks",
        "runs",
        "pictures",
    },
    # No part of `evaluation`, which returns numbers and imports no keras-hub.
    "pictures": {"models", "data", "evaluation", "layers", "views"},
}

# Every room may read these.
FREE = {"version", "typing", "arguments", "files", "shipped"}

# Where a backend may be named, apart from `training`.
MAY_NAME = {
    "data/tf_dataset.py": "tensorflow",
    "data/tf_namespace.py": "tensorflow",
    "text/tf_words.py": "tensorflow",
    # Each backend keeps random state, and is made deterministic, its own way.
    "runs/random_state.py": "any",
    "runs/determinism.py": "any",
    # The same function by a faster formula, see there.
    "layers/gelu.py": "jax",
    # The same sum without its largest array, see there.
    "layers/weighted_rows.py": "any",
    # Attention in float16 fails on its CPU, see there.
    "layers/attention.py": "jax",
    # Each backend compiles, and lends weights, in its own way.
    "models/tasks/network_call.py": "any",
    # It has kernels of its own for what is eager there, see there.
    "training/optimizers/optimizer.py": "torch",
    "training/optimizers/torch_update.py": "torch",
    # Compiling takes 40 s there: no default for short runs.
    "recipes/parts.py": "torch",
}


def _name(path):
    return path.relative_to(PACKAGE).as_posix()


def _imports(path):
    """Yields the absolute name of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{_name(path)}: a relative import"
            yield from (f"{node.module}.{a.name}" for a in node.names)


def _fresh(code, **env):
    """Runs code in a new interpreter; returns what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# === Imports ===


def test_import_of_the_package_imports_nothing_else():
    code = (
        "import sys, importlib; before = set(sys.modules)\n"
        "import keras_dinolm\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert _fresh(code).split() == ["keras_dinolm", "keras_dinolm.version"]


def test_rooms_load_when_touched_and_import_no_keras_hub_in_vain():
    """And so, except on its own backend, no TensorFlow either."""
    code = (
        "import sys, keras_dinolm as kd\n"
        "assert 'losses' in dir(kd)\n"
        "assert 'keras_dinolm.losses' not in sys.modules\n"
        "assert kd.losses is sys.modules['keras_dinolm.losses']\n"
        "kd.views, kd.objectives, kd.schedules, kd.optimizers, kd.evaluation\n"
        "assert 'keras_dinolm.models' not in sys.modules\n"
        "print(*{'keras_hub', 'tensorflow'} & set(sys.modules))"
    )
    expected = {"tensorflow"} & {keras.backend.backend()}
    assert set(_fresh(code).split()) == expected


def test_every_room_loads_without_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "sys.modules['tensorflow_text'] = None\n"
        "import keras_dinolm as kd\n"
        "for room in kd._ROOMS: getattr(kd, room)"
    )
    _fresh(code)


@pytest.mark.once
def test_unknown_room_lists_the_rooms():
    rooms = "'no_room'.*callbacks, curation, data"
    with pytest.raises(AttributeError, match=rooms):
        keras_dinolm.no_room  # noqa: B018


@pytest.mark.once
@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_one_way(room):
    wrong = []
    for path in (PACKAGE / room).rglob("*.py"):
        for name in _imports(path):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top != "keras_dinolm" or other in {room, "", *FREE}:
                continue
            if other not in MAY_IMPORT[room]:
                wrong.append(f"{_name(path)} imports {name}")
    assert not wrong


@pytest.mark.once
def test_every_room_has_its_line_in_the_table():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)


# === Backends ===


def _backends_named(path):
    """Yields `(line, name)` where code, not prose, names a backend.

    Code is an import, a use of an imported name, or a string that is compared,
    passed to a call, or looked up. A string in a list is no such thing: the
    packages whose documentation is the default corpus stand in one.
    """

    def strings(node):
        for leaf in ast.walk(node):
            if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                root = leaf.value.partition(".")[0]
                if root in BACKENDS and re.fullmatch(r"[\w.]+", leaf.value):
                    yield leaf.lineno, root

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module.partition(".")[0]
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Compare | ast.MatchValue | ast.Subscript):
            yield from strings(node)
        elif isinstance(node, ast.Call):
            for argument in node.args:
                if isinstance(argument, ast.Constant):
                    yield from strings(argument)


@pytest.mark.once
@pytest.mark.parametrize("path", FILES, ids=_name)
def test_backends_are_named_in_their_places_only(path):
    if path.parent.name == "training":
        return
    wrong = {
        f"{_name(path)}:{line}: {name}"
        for line, name in _backends_named(path)
        if name in BACKENDS
    }
    allowed = MAY_NAME.get(_name(path))
    if allowed != "any":
        assert not {p for p in wrong if not p.endswith(f" {allowed}")}


# === The rest of the house ===


@pytest.mark.once
def test_ruff_finds_nothing():
    for command in (["check"], ["format", "--check"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.once
def test_constraints_pin_everything_that_pyproject_names():
    import tomllib

    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *sum(project["optional-dependencies"].values(), []),
    ]
    names = {re.match(r"[\w.-]+", line).group() for line in wanted}
    assert names - set(pins) == set()
    assert "+" not in "".join(pins.values()), "a local version is no pin"


@pytest.mark.once
def test_readme_has_the_command_that_ci_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(
        r"<!-- test-command -->\n+```sh\n(.*?)\n```", readme, re.DOTALL
    )
    assert block and "constraints.txt" in block.group(1)
    assert block.group(1).endswith("tests/run.py")
