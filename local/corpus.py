"""Which documents a run is about, and what became of each: `Item` in, `Item` with an outcome out."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from local.licences import installed_licences
from shared.events.document import DocumentRef
from shared.events.ids import derive

Outcome = Literal["queued", "done", "waiting", "failed", "cancelled"]
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One document of a run. `entity` is what it belongs to; `task` and `position` say where its review is."""

    path: Path
    name: str
    entity: str
    declared: tuple[str, ...] = ()
    ref: DocumentRef | None = None
    task: str = ""
    position: int = 0
    status: Outcome = "queued"
    label: str = ""
    score: float = 0.0
    summary: str = ""
    verdict: str = ""
    reason: str = ""
    approval: str = ""
    cost: int = 0

    def line(self) -> dict[str, Any]:
        """Return what `--json` prints for the document."""
        return {
            "path": str(self.path),
            "entity": self.entity,
            "label": self.label or None,
            "score": round(self.score, 4) if self.label else None,
            "summary": self.summary or None,
            "status": self.status,
            "reason": self.reason or None,
            "cost_micro_usd": self.cost,
            "verdict": self.verdict or None,
            "task": self.task or None,
            "approval": self.approval or None,
        }


def documents_in(paths: list[Path]) -> Iterator[Item]:
    """Yield the files at and below the paths, hidden ones left out, in a stable order."""
    for top in paths:
        if top.is_dir():
            for path in _files(top):
                yield Item(path, path.relative_to(top).as_posix(), entity=_entity(path.relative_to(top).as_posix()))
        else:
            yield Item(top, top.name, entity=_entity(top.name))


def installed_packages() -> Iterator[Item]:
    """Yield the licence files of the packages installed in this environment; the entity is the package."""
    for found in sorted(installed_licences(), key=lambda file: (file.package.lower(), str(file.path))):
        yield Item(found.path, found.path.name, entity=found.package, declared=found.declared)


def _files(top: Path) -> list[Path]:
    found = (path for path in top.rglob("*") if not _hidden(path.relative_to(top)) and path.is_file())
    return sorted(found)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _entity(name: str) -> str:
    """An entity's name has no control characters and at most 256 others."""
    printable = quote(name, safe="/ !#$&'()*+,;=@[]~", encoding="utf-8", errors="surrogateescape")
    return printable if len(printable) <= 200 else f"{printable[:150]}~{derive(name)}"  # noqa: PLR2004  fits 256


def referenced(item: Item) -> Item:
    """Return the item with a reference to its bytes, or as failed when the file cannot be read."""
    try:
        sha256, size = _digest(item.path)
    except OSError as error:
        return replace(item, status="failed", reason=f"cannot read it: {error.strerror}")
    media_type = mimetypes.guess_type(item.path.name)[0] or "application/octet-stream"
    uri = "file://" + quote(str(item.path.resolve()), errors="surrogateescape")
    name = item.name.encode("utf-8", "replace").decode()[:512]
    try:
        ref = DocumentRef(uri=uri, sha256=sha256, size=size, media_type=media_type, name=name)
    except ValueError:
        return replace(item, status="failed", reason="its path is too long to be referenced")
    return replace(item, ref=ref)


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
