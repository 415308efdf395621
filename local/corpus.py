"""Which documents a run is about, and what became of each: `Item` in, `Item` with an outcome out."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from local.folders import found_in
from local.licences import installed_licences
from shared.events.document import DocumentRef
from shared.events.ids import derive

Outcome = Literal["queued", "done", "waiting", "parked", "failed", "cancelled"]
_CHUNK = 1024 * 1024
_LONGEST_ENTITY, _KEPT_OF_IT = 200, 150  # an entity may have 256 characters
_NOT_PLAIN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})")
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One document of a run. `entity` is what it belongs to; `task` and `position` say where its review is.

    `title` is what a table calls it where its name alone says too little.
    """

    path: Path
    name: str
    entity: str
    declared: tuple[str, ...] = ()
    title: str = ""
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
    """Yield the files at and below the paths, each file once, hidden ones left out, in a stable order.

    What cannot be reviewed is there, too, as failed. The entity is the file itself, whatever path it was found by.
    """
    for found in found_in(paths):
        item = Item(found.path, found.name, entity=_entity(found.real))
        yield replace(item, status="failed", reason=found.problem) if found.problem else item


def installed_packages() -> Iterator[Item]:
    """Yield the licence files of the packages installed in this environment; the entity is the package."""
    for found in sorted(installed_licences(), key=lambda file: (file.package.lower(), str(file.path))):
        name = found.path.name
        yield Item(found.path, name, entity=found.package, declared=found.declared, title=f"{found.package}/{name}")


def _entity(path: str) -> str:
    """A path as the name of an entity: readable, without control characters and bytes that are no text, and short."""
    plain = _NOT_PLAIN.sub(lambda found: quote(found[0], safe="", errors="surrogateescape"), path)
    return plain if len(plain) <= _LONGEST_ENTITY else f"{derive(plain)}~{plain[-_KEPT_OF_IT:]}"


def referenced(item: Item) -> Item:
    """Return the item with a reference to its bytes, or as failed when the file cannot be read.

    The reference is the same whichever path or link led to the file.
    """
    if item.status == "failed":
        return item
    try:
        real = item.path.resolve()
        sha256, size = _digest(real)
    except RuntimeError:  # until Python 3.13 this is a loop of links
        return replace(item, status="failed", reason="cannot read it: its links lead nowhere")
    except OSError as error:
        return replace(item, status="failed", reason=f"cannot read it: {error.strerror}")
    media_type = mimetypes.guess_type(real.name)[0] or "application/octet-stream"
    uri = "file://" + quote(str(real), errors="surrogateescape")
    name = real.name.encode("utf-8", "replace").decode()[:512]
    try:
        ref = DocumentRef(uri=uri, sha256=sha256, size=size, media_type=media_type, name=name)
    except ValueError:
        return replace(item, status="failed", reason="its path is too long to be referenced")
    return replace(item, ref=ref)


def _digest(path: Path) -> tuple[str, int]:
    _check_kind(path)
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _check_kind(path: Path) -> None:
    """Raise OSError for what would be waited for, or never end."""
    mode = path.stat().st_mode
    for is_that, what in _KINDS:
        if is_that(mode):
            raise OSError(0, f"it is {what}, not a file")
