"""Documents in a blob container, under their own hash."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContentSettings

from azure.fabric.adapters.verdicts import verdicts
from shared.errors import Permanent
from shared.events.document import DocumentRef

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

MAX_BYTES = 20 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}")


class BlobDocuments:
    """The `Documents` port: references are `blob:<sha256>`, and nothing else can be read here."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def read(self, ref: DocumentRef) -> bytes:
        """Return the bytes; Permanent when missing, changed since referenced, too large, or out of bounds."""
        if ref.size > MAX_BYTES:
            raise Permanent(f"{ref.size} bytes are more than the {MAX_BYTES} a document may have", code="oversize")
        scheme, _, name = ref.uri.partition(":")
        if scheme != "blob":
            raise Permanent(f"cannot read {scheme}: references here; use blob:", code="unknown-scheme", where="uri")
        if not _NAME.fullmatch(name):
            raise Permanent("not the name of one of our documents", code="out-of-bounds", where="uri")
        content = self._download(name)
        if hashlib.sha256(content).hexdigest() != ref.sha256:
            raise Permanent("the document changed since it was submitted; submit it again", code="document-changed")
        return content

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Store bytes under their own hash and return the reference; writing twice is writing once."""
        if len(content) > MAX_BYTES:
            raise Permanent(f"{len(content)} bytes are more than the {MAX_BYTES} a document may have", code="oversize")
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            with verdicts("the document store"):
                settings = ContentSettings(content_type=media_type)
                self._container.upload_blob(sha256, content, overwrite=False, content_settings=settings)
        except ResourceExistsError:
            pass  # the same bytes: the name says so
        return DocumentRef(uri=f"blob:{sha256}", sha256=sha256, size=len(content), media_type=media_type, name=name)

    def _download(self, name: str) -> bytes:
        try:
            with verdicts("the document store"):
                stored = self._container.download_blob(name)
                if stored.size > MAX_BYTES:
                    raise Permanent(f"larger than the {MAX_BYTES} bytes a document may have", code="oversize")
                return stored.readall()
        except ResourceNotFoundError as error:
            raise Permanent("no such blob", code="document-missing", where="uri") from error
