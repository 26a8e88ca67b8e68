"""Writes the reference: a page a room, from what the room's module names.

MkDocs calls `on_files` before it builds (`hooks:` in mkdocs.yml). The package
is parsed, not imported, so the site builds without a backend. A function often
lives in a file of its own name (`losses/koleo.py`), so each public name is
given to mkdocstrings by the place where it is defined.
"""

import ast
import pathlib

from mkdocs.structure.files import File

PACKAGE = "keras_dinolm"
ROOT = pathlib.Path(__file__).parent.parent.parent


def on_files(files, config):
    rooms = _rooms()
    pages = {"index": _index(rooms)}
    pages |= {room: _page(room, module) for room, module in rooms.items()}
    for name, content in pages.items():
        path = f"reference/{name}.md"
        files.append(File.generated(config, path, content=content))
    return files


def _rooms():
    """`{room: module}`, as `keras_dinolm.__getattr__` has them."""
    for node in _parse(PACKAGE).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_ROOMS":
            return dict(sorted(ast.literal_eval(node.value).items()))
    raise ValueError(f"{PACKAGE}/__init__.py has no table `_ROOMS`.")


def _path(module):
    """The file of a module, or `None` if there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def _parse(module):
    return ast.parse(_path(module).read_text(encoding="utf-8"))


def _public(module):
    """Yields `(name, module that defines it, node)` of classes and functions.

    `__all__` decides where there is one. Without it, what a package imports
    and what a file defines is public, unless its name begins with `_`.
    """
    found, listed = {}, None
    is_package = _path(module).name == "__init__.py"
    for node in _parse(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = (module, node)
        elif isinstance(node, ast.ImportFrom):
            if node.module and node.module.startswith(PACKAGE):
                for alias in node.names:
                    name = alias.asname or alias.name
                    if is_package or listed:
                        found[name] = (node.module, alias.name)
        elif isinstance(node, ast.Assign) and isinstance(
            node.targets[0], ast.Name
        ):
            if node.targets[0].id == "__all__":
                listed = ast.literal_eval(node.value)
    for name, (place, node) in sorted(
        found.items(), key=lambda item: item[0].lower()
    ):
        if name.startswith("_") or (listed is not None and name not in listed):
            continue
        if isinstance(node, str):
            place, node = _definition(place, node)
        if node is not None:
            yield name, place, node


def _definition(module, name):
    """Follows imports to where a class or function is defined."""
    for node in _parse(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if node.name == name:
                return module, node
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    if node.module.startswith(PACKAGE):
                        return _definition(node.module, alias.name)
    return module, None  # a constant


def _summary(node):
    lines = (ast.get_docstring(node) or "").splitlines()
    return lines[0] if lines else ""


def _page(room, module):
    public = list(_public(module))
    lines = [f"# kd.{room}", "", ast.get_docstring(_parse(module)) or "", ""]
    lines += ["| name | what it is |", "|---|---|"]
    for name, place, node in public:
        link = f"[`{name}`][{place}.{node.name}]"
        lines.append(f"| {link} | {_summary(node)} |")
    for name, place, node in public:
        lines += [
            "",
            f"::: {place}.{node.name}",
            "    options:",
            f"      heading: kd.{room}.{name}",
            f"      toc_label: {name}",
        ]
    return "\n".join(lines) + "\n"


def _index(rooms):
    lines = [
        "# Reference",
        "",
        "Everything public, from its docstring. `kd` is `keras_dinolm`, as in",
        "`import keras_dinolm as kd`. A room loads when it is first touched.",
        "",
        "| room | what is in it |",
        "|---|---|",
    ]
    for room, module in rooms.items():
        lines.append(f"| [kd.{room}]({room}.md) | {_summary(_parse(module))} |")
    return "\n".join(lines) + "\n"
