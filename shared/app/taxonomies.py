"""Taxonomies by reference: read once per process, whatever asks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from shared.core.taxonomy import Taxonomy, parse_taxonomy
from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.events.document import DocumentRef
    from shared.ports import Ports

MAX_BYTES = 256 * 1024


def read_taxonomy(ports: Ports, ref: DocumentRef) -> Taxonomy:
    """Return the taxonomy at `ref`; Permanent when it is too large, not UTF-8 or not a taxonomy."""
    if ref.size > MAX_BYTES:
        raise Permanent(
            f"{ref.size} bytes are more than the {MAX_BYTES} of a taxonomy", code="oversize", where="taxonomy"
        )
    return _parsed(ports.documents.read(ref))


@lru_cache(maxsize=64)
def _parsed(content: bytes) -> Taxonomy:
    try:
        return parse_taxonomy(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Permanent(f"not UTF-8 at byte {error.start}", code="invalid", where="taxonomy") from error
