"""Every public thing is documented, and its examples run.

An example is a fenced `python` block. The blocks of one docstring run in turn
in one namespace and an empty folder, on the active backend. `keras`, `np`,
`keras_dinolm` and its short name `kd` are taken as imported, as in Keras' own
docstrings. Lines with `>>>` are compared with what they print.
"""

import doctest
import importlib
import inspect
import linecache
import pathlib
import re
import textwrap

import keras
import numpy as np
import pytest

import keras_dinolm

BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def _rooms():
    folder = pathlib.Path(keras_dinolm.__file__).parent
    for path in sorted(folder.glob("*/__init__.py")):
        yield importlib.import_module(f"keras_dinolm.{path.parent.name}")
    yield importlib.import_module("keras_dinolm.training.optimizers")


def _public():
    """Returns `{full name: object}` of classes, functions and their methods."""
    found = {}
    for room in _rooms():
        for name, thing in vars(room).items():
            ours = getattr(thing, "__module__", "") or ""
            if name.startswith("_") or not ours.startswith("keras_dinolm"):
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(f"{ours}.{thing.__qualname__}", thing)
    return found


def _methods(name, thing):
    if inspect.isclass(thing):
        for key, value in vars(thing).items():
            value = getattr(value, "__func__", value)
            if not key.startswith("_") and inspect.isfunction(value):
                yield f"{name}.{key}", value


PUBLIC = _public()
EXAMPLES = {
    name: doc
    for owner, thing in PUBLIC.items()
    for name, part in [(owner, thing), *_methods(owner, thing)]
    if (doc := inspect.cleandoc(part.__doc__ or "")) and BLOCK.search(doc)
}


def _run(source, name, namespace):
    """Executes source so that a traceback shows its lines."""
    if source.lstrip().startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(
            source, namespace, name, None, 0
        )
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        output = []
        runner = doctest.DocTestRunner(optionflags=flags)
        runner.run(test, out=output.append, clear_globs=False)
        assert not runner.failures, "".join(output)
        namespace.update(test.globs)
        return
    file = f"<example of {name}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[file] = (len(source), None, lines, file)
    exec(compile(source, file, "exec"), namespace)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {
        "__name__": "__main__",
        "keras": keras,
        "np": np,
        "keras_dinolm": keras_dinolm,
        "kd": keras_dinolm,
    }
    for _, source in BLOCK.findall(EXAMPLES[name]):
        _run(textwrap.dedent(source), name, namespace)


def test_everything_public_has_a_docstring():
    bare = [name for name, thing in PUBLIC.items() if not thing.__doc__]
    assert not bare


def test_every_example_section_is_a_fenced_block():
    """A block of another form would be an example that nobody runs."""
    loose = []
    for owner, thing in PUBLIC.items():
        for name, part in [(owner, thing), *_methods(owner, thing)]:
            doc = inspect.cleandoc(part.__doc__ or "")
            if re.search(r"^Examples?:", doc, re.MULTILINE):
                if not BLOCK.search(doc):
                    loose.append(name)
    assert not loose
