"""Reading what tools are given: texts and taxonomies by reference. Declares no tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core.taxonomy import Taxonomy, parse_taxonomy
from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.events.document import DocumentRef
    from shared.ports import Documents

MAX_BYTES = 20 * 1024 * 1024
MAX_TAXONOMY_BYTES = 256 * 1024
_REMEMBERED = 16
_taxonomies: dict[str, Taxonomy] = {}


def read_bytes(ref: DocumentRef, documents: Documents, limit: int = MAX_BYTES, where: str = "document") -> bytes:
    """Return a document's bytes; Permanent when there are too many or none."""
    if ref.size > limit:
        raise Permanent(f"{ref.size} bytes are more than the {limit} allowed", code="oversize", where=where)
    content = documents.read(ref)
    if len(content) > limit:
        raise Permanent(f"{len(content)} bytes are more than the {limit} allowed", code="oversize", where=where)
    if not content:
        raise Permanent("the file is empty (0 bytes)", code="empty", where=where)
    return content


def read_text(ref: DocumentRef, documents: Documents) -> str:
    """Return a text that `extract` made or passed on; Permanent when it is not UTF-8."""
    return _decoded(read_bytes(ref, documents, where="text"), "text")


def read_taxonomy(ref: DocumentRef, documents: Documents) -> Taxonomy:
    """Return the taxonomy of that reference, parsed once per process: the same hash is the same taxonomy."""
    known = _taxonomies.get(ref.sha256)
    if known is None:
        content = read_bytes(ref, documents, MAX_TAXONOMY_BYTES, "taxonomy")
        known = parse_taxonomy(_decoded(content, "taxonomy"))
        while len(_taxonomies) >= _REMEMBERED:
            _taxonomies.pop(next(iter(_taxonomies)), None)
        _taxonomies[ref.sha256] = known
    return known


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Permanent(f"not UTF-8 at byte {error.start}", code="not-text", where=where) from error
