"""The files at and below paths: each file once, and what is no readable file with the reason why.

Knows the file system's links, folders and permissions; opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OUTSIDE = "links to a file outside the folder; name it to include it"
_NOWHERE = "cannot read it: its links lead nowhere"


@dataclass(frozen=True, slots=True)
class Found:
    """One file: where it was found, its name below the path it was found by, and where it really is."""

    path: Path
    name: str
    real: str
    problem: str = ""


def found_in(paths: Sequence[Path]) -> Iterator[Found]:
    """Yield the files at and below the paths, hidden ones left out.

    A link inside a folder is followed to a file below any of the paths, and no further. Where a file is found by
    several ways, its own name goes before a link's, and an earlier path before a later one.
    """
    roots = [Path(os.path.realpath(path)) for path in paths]
    seen: set[str] = set()
    for top in paths:
        for found in _below(top, roots) if top.is_dir() else [Found(top, top.name, os.path.realpath(top))]:
            if found.real not in seen:
                seen.add(found.real)
                yield found


def _below(top: Path, roots: Sequence[Path]) -> Iterator[Found]:
    refused: list[OSError] = []
    paths = list(_visible(top, refused))
    links = [path for path in paths if _is_link(path)]
    linked = frozenset(links)
    for path in sorted(path for path in paths if path not in linked):
        yield Found(path, _name(path, top), os.path.realpath(path))
    for path in sorted(links):
        yield from _followed(path, top, roots)
    for error in refused:
        path = Path(error.filename)
        yield Found(path, _name(path, top), os.path.realpath(path), f"cannot look into it: {error.strerror}")


def _visible(top: Path, refused: list[OSError]) -> Iterator[Path]:
    """Yield what is no folder, and links to folders; folders that cannot be looked into are put into `refused`."""
    for place, folders, files in os.walk(top, onerror=refused.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = (name for name in folders if _is_link(Path(place, name)))
        yield from (Path(place, name) for name in (*files, *links) if not name.startswith("."))


def _followed(link: Path, top: Path, roots: Sequence[Path]) -> Iterator[Found]:
    """Yield what a link leads to; one to a folder below the roots says nothing new."""
    name, real = _name(link, top), Path(os.path.realpath(link))
    if not _exists(real):
        yield Found(link, name, f"{link.parent.resolve()}/{link.name}", _NOWHERE)
    elif not any(real.is_relative_to(root) for root in roots):
        yield Found(link, name, f"{link.parent.resolve()}/{link.name}", OUTSIDE)
    elif not real.is_dir():
        yield Found(link, name, str(real))


def _name(path: Path, top: Path) -> str:
    return path.relative_to(top).as_posix()


def _is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114  a plain no where nobody may look


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  likewise
