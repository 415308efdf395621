"""Which files Azure Functions Core Tools upload from a folder with a .funcignore. Knows names only, opens nothing.

Not gitignore: a line is a prefix from the root that ends at a word's end (`aws` drops `aws-notes.py`, too), `*` is
one character or more of one name, `**` one or more of anything (`**/x` does not drop a top-level `x`), a leading
`!` takes back, the order of lines means nothing. Some names are never uploaded, wherever they lie.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER_FOLDERS = frozenset({".git", ".vscode"})
NEVER_FILES = frozenset({".funcignore", ".gitignore", "appsettings.json", "local.settings.json", "project.lock.json"})
STARS = {"**": "(?:.+)", "*": "(?:[^/]+)"}


def uploaded(files: Iterable[str], rules: str) -> set[str]:
    """Return those of a folder's files that are uploaded."""
    lines = [line.strip() for line in rules.split("\n") if line.strip() and not line.strip().startswith("#")]
    drops = [pattern(line) for line in lines if not line.startswith("!")]
    keeps = [pattern(line[1:]) for line in lines if line.startswith("!")]
    return {file for file in files if not never(file) and (matches(keeps, file) or not matches(drops, file))}


def matches(patterns: Iterable[re.Pattern[str]], file: str) -> bool:
    """Tell whether any pattern fits the file's beginning."""
    return any(found.match(file) for found in patterns)


def never(file: str) -> bool:
    """Tell names that are left out without a rule."""
    path = PurePosixPath(file)
    return path.name in NEVER_FILES or not NEVER_FOLDERS.isdisjoint(path.parts[:-1])


def pattern(line: str) -> re.Pattern[str]:
    """Return the expression that a line means; as in .NET's ECMAScript mode, words are ASCII."""
    parts = re.split(r"(\*\*|\*)", line.removeprefix("/"))
    return re.compile("".join(STARS.get(part, re.escape(part)) for part in parts) + r"\b", re.ASCII)
