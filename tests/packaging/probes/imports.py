"""Which imports, at a file's top or inside a function, lead nowhere: followed from the files given, through ours."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def main(given: dict[str, list[str]]) -> list[str]:
    """Return `file: module` of each import that nothing answers."""
    root = Path(given["root"][0])
    todo, seen, lost = [root / path for path in given["files"]], set[Path](), set[str]()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in imported(ast.parse(file.read_text(encoding="utf-8"))):
            found = origin(module)
            if found is None:
                lost.add(f"{file.relative_to(root)}: {module}")
            elif found.suffix == ".py" and found.is_relative_to(root):
                todo.append(found)
    return sorted(lost)


def imported(node: ast.AST) -> Iterator[str]:
    """Yield what is imported below a node when the code runs, not when types are checked."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names if is_module(child.module, alias.name))
        yield from imported(child)


def is_module(package: str, name: str) -> bool:
    """Tell a submodule from any other name of a package; of ours by its file, which may be missing there."""
    try:
        return find_spec(f"{package}.{name}") is not None
    except (ImportError, AttributeError):
        return False


def origin(module: str) -> Path | None:
    """Return the file behind a module, or the folder of a package without one; None when there is no such module."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return None if spec is None else Path(spec.origin or ".")
