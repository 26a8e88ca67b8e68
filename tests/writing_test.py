"""Everything is written through `keras_dinolm.files`, with few exceptions."""

import ast
import pathlib

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ("keras_dinolm", "examples", "benchmarks")
# What touches a disk by these names, whatever the object.
METHODS = {
    "write_text", "write_bytes", "unlink", "rmdir", "rename", "touch",
    "symlink_to", "hardlink_to", "chmod",
}  # fmt: skip
FUNCTIONS = {
    "os": {
        "rename", "replace", "remove", "unlink", "rmdir", "removedirs",
        "truncate", "link", "symlink", "fdopen",
    },
    "shutil": {
        "rmtree", "move", "copy", "copy2", "copyfile", "copytree",
    },
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile"},
    "json": {"dump"},
    "pickle": {"dump"},
}  # fmt: skip
# These take a path, or a file that `files.write_file` has opened.
INTO_A_FILE = {"save", "savez", "savez_compressed", "savefig", "savetxt"}

# `(file, call) -> why it may`.
_HIDDEN = "into a folder that nobody reads before it is whole"
_MOVED = "a name that becomes free in one step"
_PIPE = "a pipe between two processes"
EXCEPTIONS = {
    ("keras_dinolm/data/shard.py", "open"): _HIDDEN,
    ("keras_dinolm/data/shard.py", "os.replace"): "out of that folder",
    (
        "keras_dinolm/data/shard.py",
        "shard_path(directory, index, 'json').unlink",
    ): "the old header of a shard, before the new one",
    ("keras_dinolm/data/tokenization.py", "path.unlink"): "an empty store",
    ("keras_dinolm/data/worker.py", "os.fdopen"): _PIPE,
    ("keras_dinolm/data/worker.py", "pickle.dump"): _PIPE,
    ("keras_dinolm/data/worker_pool.py", "pickle.dump"): _PIPE,
    ("keras_dinolm/models/presets/write_preset.py", "open"): _HIDDEN,
    ("keras_dinolm/models/presets/write_preset.py", "path.unlink"): _HIDDEN,
    ("keras_dinolm/models/presets/write_preset.py", "shutil.copy2"): _HIDDEN,
    (
        "keras_dinolm/recipes/run_folder.py",
        "(self.directory / 'tokenizer.json').unlink",
    ): "of a run that has not begun",
    ("keras_dinolm/runs/ablation.py", "self.folder.write_text"): (
        "a method that calls `files`"
    ),
    ("keras_dinolm/runs/checkpoint_folder.py", "os.rename"): _MOVED,
    ("keras_dinolm/runs/state_file.py", "open"): _HIDDEN,
    (
        "keras_dinolm/runs/state_file.py",
        "(folder / HEADER).write_bytes",
    ): _HIDDEN,
    ("benchmarks/gram_anchoring.py", "shutil.copytree"): _HIDDEN,
    ("benchmarks/shipped_preset.py", "shutil.copytree"): _HIDDEN,
}
# The room itself, what tries to break files, and what also runs on code of
# before there was such a room.
EXEMPT = (
    "benchmarks/defect_cases.py",
    "benchmarks/defects.py",
    "keras_dinolm/files/",
    "benchmarks/trials/",
    "benchmarks/hostile_files.py",
)


def calls(path):
    """`(name, node)` of each call in a file, as `shutil.rmtree` or `open`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def mode_of(node, place):
    """The mode of a call of `open`, if it is written there."""
    values = [k.value for k in node.keywords if k.arg == "mode"]
    values += node.args[place : place + 1]
    return values[0].value if values and _is_text(values[0]) else "r"


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def writes(name, node):
    """Whether a call writes to a disk on its own."""
    owner, _, function = name.rpartition(".")
    if name == "open" or name.endswith(("gzip.open", "bz2.open", "lzma.open")):
        return bool(set(mode_of(node, 1)) & set("wax+"))
    if function == "open" and "files" not in owner:
        return bool(set(mode_of(node, 0)) & set("wax+"))
    if function in FUNCTIONS.get(owner, ()):
        return True
    if function in INTO_A_FILE and node.args:
        # `folder.save(step, ...)` and the like are methods of ours.
        into = ast.unparse(node.args[0])
        numpy_or_figure = owner in ("np", "numpy") or function == "savefig"
        return numpy_or_figure and into not in ("file", "image")
    # `files.write_text` is ours; a string has a `replace` of two arguments.
    if owner in ("files", "kd.files"):
        return False
    if function == "replace" and owner not in ("dataclasses", "copy"):
        return len(node.args) == 1 and not node.keywords
    return function in METHODS


def test_nothing_is_written_past_the_room_of_files():
    found = set()
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if name.startswith(EXEMPT):
                continue
            found |= {
                (name, call, node.lineno)
                for call, node in calls(path)
                if writes(call, node)
            }
    unknown = [
        f"{name}:{line}: {call}"
        for name, call, line in sorted(found)
        if (name, call) not in EXCEPTIONS
    ]
    assert not unknown, "\n".join(unknown)
    used = {(name, call) for name, call, _ in found}
    assert used == set(EXCEPTIONS), "an exception that nothing needs"


@pytest.mark.parametrize(
    "line",
    [
        "open('a', 'w')",
        "open('a', mode='ab')",
        "path.open('x')",
        "path.write_text('x')",
        "self.path.write_bytes(b'')",
        "path.replace(target)",
        "np.save(path, x)",
        "figure.savefig(path)",
        "shutil.rmtree(folder)",
        "os.rename(a, b)",
        "json.dump(x, file)",
        "gzip.open(path, 'wt')",
    ],
)
def test_a_raw_write_is_seen(line):
    node = ast.parse(line).body[0].value
    assert writes(ast.unparse(node.func), node)


@pytest.mark.parametrize(
    "line",
    [
        "open('a')",
        "open('a', 'rb')",
        "path.open()",
        "files.write_text(path, 'x')",
        "text.replace('a', 'b')",
        "np.save(file, x)",
        "figure.savefig(file, format='png')",
        "dataclasses.replace(layout, a=1)",
        "self.folder.save(step, groups)",
    ],
)
def test_what_writes_nothing_is_left_alone(line):
    node = ast.parse(line).body[0].value
    assert not writes(ast.unparse(node.func), node)
