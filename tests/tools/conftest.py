"""What tests of tools use: documents kept in a dict, the embedded model, the product's own taxonomies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from shared.errors import NotFound
from shared.events.document import DocumentRef
from shared.models.extractive import Extractive
from shared.taxonomies import builtin
from shared.tools.registry import Toolbox


class MemoryDocuments:
    """`Documents` in a dict, by hash."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def read(self, ref: DocumentRef) -> bytes:
        """Return the bytes of that hash."""
        try:
            return self.kept[ref.sha256]
        except KeyError:
            raise NotFound(f"no document {ref.uri}") from None

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Keep the bytes under their hash."""
        digest = hashlib.sha256(content).hexdigest()
        self.kept[digest] = content
        return DocumentRef(uri=f"blob:{digest}", sha256=digest, size=len(content), media_type=media_type, name=name)


@pytest.fixture
def documents() -> MemoryDocuments:
    """Return an empty store of documents."""
    return MemoryDocuments()


@pytest.fixture
def toolbox(documents: MemoryDocuments) -> Toolbox:
    """Return that store with the embedded model."""
    return Toolbox(documents, Extractive())


@pytest.fixture
def put(documents: MemoryDocuments) -> Callable[..., DocumentRef]:
    """Return a function that stores text or bytes and returns the reference."""

    def store(content: str | bytes, name: str = "") -> DocumentRef:
        raw = content.encode() if isinstance(content, str) else content
        return documents.write(raw, "application/octet-stream", name)

    return store


@pytest.fixture
def licences(put: Callable[..., DocumentRef]) -> DocumentRef:
    """Return the taxonomy of software licences."""
    return put(builtin("licences"), "licences.toml")


@pytest.fixture
def general(put: Callable[..., DocumentRef]) -> DocumentRef:
    """Return the taxonomy of an ordinary folder."""
    return put(builtin("general"), "general.toml")
