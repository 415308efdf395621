"""Reads source files for the rules: which files there are, what one imports, which names it uses.

Knows Python's syntax and git; knows no rule.
"""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = frozenset({"node_modules", "build", "dist", "__pycache__"})

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file as the rules see it: its path from the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; a file that does not parse is an error in itself."""
        return ast.parse(self.text, self.path)

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's parts, the last one without `.py`."""
        return Path(self.path).with_suffix("").parts

    @property
    def package(self) -> tuple[str, ...]:
        """The package that relative imports start from."""
        return self.parts[:-1]

    def at(self, node: ast.AST, message: str) -> str:
        """Say where something is wrong, the way editors understand it."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {message}"

    def imports(self) -> Iterator[tuple[ast.AST, str]]:
        """Yield each imported thing by its dotted name, also under TYPE_CHECKING and in functions."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = self._module(node)
                yield from ((node, f"{module}.{alias.name}") for alias in node.names)

    def uses(self) -> Iterator[tuple[ast.AST, str]]:
        """Yield each name and attribute chain, aliases undone: `dt.now` is `datetime.datetime.now`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                name = self.dotted(node)
                if name:
                    yield node, name

    def dotted(self, node: ast.AST) -> str:
        """Return the dotted name of a chain of attributes, or nothing when it starts otherwise."""
        if isinstance(node, ast.Name):
            return self._aliases.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            start = self.dotted(node.value)
            return f"{start}.{node.attr}" if start else ""
        return ""

    def functions(self) -> Iterator[Function]:
        """Yield every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, type_of_function):
                yield node

    @cached_property
    def _aliases(self) -> dict[str, str]:
        """What each imported name stands for."""
        names: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom):
                module = self._module(node)
                names |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
        return names

    def _module(self, node: ast.ImportFrom) -> str:
        """Return the absolute module that `from … import` names."""
        if not node.level:
            return node.module or ""
        base = self.package[: len(self.package) - node.level + 1]
        return ".".join((*base, node.module) if node.module else base)


@cache
def tracked() -> tuple[str, ...]:
    """Return the files that are, or would be, committed; without git, everything that is not hidden."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = listing.stdout.split("\0") if not listing.returncode else walked()
    return tuple(sorted(path for path in found if path and (ROOT / path).is_file()))


def walked() -> list[str]:
    """Return the files below the root that no tool made."""
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
    return [str(path) for path in files if not any(part in NOT_OURS or hidden(part) for part in path.parts[:-1])]


def hidden(part: str) -> bool:
    """Tell hidden folders apart from the one that belongs to the project."""
    return part.startswith(".") and part != ".ci"


@cache
def texts() -> tuple[Source, ...]:
    """Return every text file of the project."""
    return tuple(Source(path, text) for path in tracked() if (text := decoded(ROOT / path)) is not None)


@cache
def pythons() -> tuple[Source, ...]:
    """Return every Python file of the project."""
    return tuple(source for source in texts() if source.path.endswith(".py"))


def decoded(path: Path) -> str | None:
    """Return a file's text, or None for a binary file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
