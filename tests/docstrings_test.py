"""Every public thing is annotated and documented, and its examples run.

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
    for name in sorted(set(keras_dinolm._ROOMS.values())):
        yield importlib.import_module(name)


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


# No tensor of a backend is in the examples of these rooms, or none that the
# examples of the rooms below do not have.
ONCE = tuple(
    f"keras_dinolm.{room}"
    for room in (
        "callbacks",
        "curation",
        "data",
        "evaluation",
        "pictures",
        "recipes",
        "runs",
        "teachers",
        "text",
    )
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.once)
        if name.startswith(ONCE)
        else name
        for name in sorted(EXAMPLES)
    ],
)
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


# === Signatures ===

ENTRY = re.compile(r"^    (\*{0,2}\w+)(?: \(.*\))?:", re.MULTILINE)


def _own(owner, key):
    """Whether a class says by itself what a method does.

    An override without a docstring, such as `call` and `get_config` of a
    layer, has the contract of the base class.
    """
    if vars(owner)[key].__doc__:
        return True
    return not any(key in vars(base) for base in owner.__mro__[1:])


def _contracts(thing):
    """Yields `(name, function, docstring)` of all that a user calls."""
    if not inspect.isclass(thing):
        yield thing.__qualname__, thing, thing.__doc__
        return
    init = vars(thing).get("__init__")
    if inspect.isfunction(init):
        yield thing.__qualname__, init, thing.__doc__
    for key, value in vars(thing).items():
        if key.startswith("_"):
            continue
        value = getattr(value, "__func__", value)  # class methods
        value = getattr(value, "fget", value)  # properties
        value = getattr(value, "func", value)  # cached properties
        if inspect.isfunction(value) and _own(thing, key):
            yield f"{thing.__qualname__}.{key}", value, value.__doc__


def _parameters(function):
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    stars = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    return [(stars.get(p.kind, "") + p.name, p) for p in parameters]


def _documented(docstring):
    """The names in `Args`, or in a data class's `Attributes`, in order."""
    found = re.search(
        r"^(?:Args|Attributes):\n((?:    .*\n|\n)*)",
        docstring + "\n",
        re.MULTILINE,
    )
    return ENTRY.findall(found.group(1)) if found else []


def _missing(function, docstring):
    """What a function's signature and docstring lack, in words."""
    parameters = _parameters(function)
    for name, parameter in parameters:
        if parameter.annotation is inspect.Parameter.empty:
            yield f"`{name}` has no annotation"
    returns = inspect.signature(function).return_annotation
    if function.__name__ != "__init__" and returns is inspect.Signature.empty:
        yield "the return value has no annotation"
    docstring = inspect.cleandoc(docstring or "")
    lines = [*docstring.splitlines(), "", ""]
    if not lines[0].endswith(".") or lines[1]:
        yield "no summary of one line that ends with a full stop"
    names = [name for name, _ in parameters]
    if _documented(docstring) != names:
        yield f"`Args` has {_documented(docstring)}, the signature {names}"


def _incomplete():
    """Returns `{room: {name: [what is missing]}}`."""
    found = {}
    for thing in PUBLIC.values():
        room = thing.__module__.split(".")[1]
        for name, function, docstring in _contracts(thing):
            missing = list(_missing(function, docstring))
            if missing:
                found.setdefault(room, {})[name] = missing
    return found


@pytest.mark.once
def test_signatures_are_annotated_and_documented():
    wrong = [
        f"{room}: {name}: {'; '.join(missing)}"
        for room, names in _incomplete().items()
        for name, missing in names.items()
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.once
def test_the_check_of_signatures_sees_what_is_missing():
    def function(a: int, b, *args: int, **kwargs: int) -> int:
        """Adds.

        Args:
            a: int. The first.
                Indented: no name.
            *args: ints.
            b: int. The second.
            **kwargs: ints.
        """

    def good(a: int, **kwargs: int) -> int:
        """Adds.

        Args:
            a: int.
            **kwargs: ints.

        Returns:
            An int.
        """

    annotation, order = _missing(function, function.__doc__)
    assert annotation == "`b` has no annotation"
    assert "['a', '*args', 'b', '**kwargs']" in order
    assert not list(_missing(good, good.__doc__))
    assert len(list(_missing(lambda: 0, "No full stop"))) == 2
