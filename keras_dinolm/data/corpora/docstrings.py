"""Reading docstrings from Python source, without importing it."""

import ast
import inspect
import warnings
from collections.abc import Iterator
from typing import Any


def parse_with_docstrings(data: bytes) -> ast.Module | None:
    """Parses Python source, or returns `None` if it can have no docstring.

    Raises:
        SyntaxError, ValueError, RecursionError: if the source is no Python.
    """
    # Parsing takes nearly all of the time.
    if b'"""' not in data and b"'''" not in data:
        return None
    with warnings.catch_warnings():
        # Invalid escapes in other people's code do not concern the user.
        warnings.simplefilter("ignore")
        return ast.parse(data)


def find_docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yields the name and cleaned docstring of each definition, in order.

    Names are dotted, from the module down; that of the module is empty.
    """
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    stack: list[tuple[str, Any]] = [("", tree)]
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
    """The docstring of a function in C, from a call `add_newdoc(..., doc)`.

    NumPy and SciPy write such calls.
    """
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
    """Yields statements of a body, also under `if`, `try` and `with`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _statements(child)
        elif isinstance(child, ast.stmt):
            yield child
