"""What every store of documents must do; each store's test inherits `DocumentsContract`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from shared.errors import Permanent, Transient
from shared.events.document import DocumentRef
from shared.ports import Documents

Busy = Callable[[], AbstractContextManager[None]]
CONTENT = "Permission is hereby granted — ü\n".encode()


class DocumentsContract:
    #: References outside what the store may read, and one of a kind it cannot read.
    foreign: tuple[str, ...]
    unknown: str
    missing: str
    #: Whether a store that takes nothing more at the moment still gives out what it has.
    reads_when_busy: bool

    def test_what_was_written_is_read(self, documents: Documents) -> None:
        """A document is read back byte by byte through the reference that writing it gave."""
        ref = documents.write(CONTENT, "text/plain", "licence.txt")
        assert (ref.size, ref.media_type, ref.name) == (len(CONTENT), "text/plain", "licence.txt")
        assert documents.read(ref) == CONTENT

    def test_writing_twice_is_writing_once(self, documents: Documents) -> None:
        """The same bytes have the same reference."""
        assert documents.write(CONTENT, "text/plain") == documents.write(CONTENT, "text/plain")

    def test_an_empty_document_is_a_document(self, documents: Documents) -> None:
        """No bytes at all can be written and read."""
        assert documents.read(documents.write(b"", "text/plain")) == b""

    def test_a_changed_document_is_refused(self, documents: Documents) -> None:
        """A reference whose hash is another one's does not give out the bytes."""
        ref = documents.write(CONTENT, "text/plain").model_copy(update={"sha256": "0" * 64})
        assert _refusal(documents, ref) == "document-changed"

    def test_a_missing_document_is_refused(self, documents: Documents) -> None:
        """A reference to nothing is refused for good."""
        assert _refusal(documents, _pointing(self.missing)) == "document-missing"

    def test_a_document_too_large_is_refused_unread(self, documents: Documents) -> None:
        """A reference that says it is too large is refused before anything is read."""
        ref = _pointing(self.missing).model_copy(update={"size": 50 * 1024 * 1024})
        assert _refusal(documents, ref) == "oversize"

    def test_nothing_out_of_bounds_is_read(self, documents: Documents) -> None:
        """References that lead outside what was given to the fabric are refused."""
        assert {uri: _refusal(documents, _pointing(uri)) for uri in self.foreign} == dict.fromkeys(
            self.foreign, "out-of-bounds"
        )

    def test_an_unknown_kind_of_reference_is_refused(self, documents: Documents) -> None:
        """A reference of a kind this store cannot read is refused by that name."""
        assert _refusal(documents, _pointing(self.unknown)) == "unknown-scheme"

    def test_a_busy_store_asks_for_another_attempt(self, documents: Documents, busy: Busy) -> None:
        """A store that refuses for a passing reason raises Transient, and afterwards writes and reads."""
        ref = documents.write(CONTENT, "text/plain")
        with busy():
            with pytest.raises(Transient):
                documents.write(b"something else", "text/plain")
            if self.reads_when_busy:
                assert documents.read(ref) == CONTENT
            else:
                with pytest.raises(Transient):
                    documents.read(ref)
        assert documents.read(documents.write(b"something else", "text/plain")) == b"something else"
        assert documents.read(ref) == CONTENT


def _pointing(uri: str) -> DocumentRef:
    return DocumentRef(uri=uri, sha256="a" * 64, size=5)


def _refusal(documents: Documents, ref: DocumentRef) -> str:
    with pytest.raises(Permanent) as refused:
        documents.read(ref)
    return refused.value.code
