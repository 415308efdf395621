"""Documents on a laptop: files under folders the user named, and blobs by their own hash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from stat import S_ISREG
from urllib.parse import unquote, urlsplit

from local.sqlite.database import Database
from shared.errors import Permanent
from shared.events.document import DocumentRef

MAX_BYTES = 20 * 1024 * 1024


class LocalDocuments:
    """The `Documents` port. A file is read only when it lies under a root that was added, links resolved."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last = ("", "", b"")  # the content read last, and where: each step of a review reads the same again

    def add_root(self, path: Path) -> None:
        """Allow reading below (or exactly) `path`."""
        with self._database.joined() as connection:
            connection.execute("INSERT INTO roots VALUES (?) ON CONFLICT DO NOTHING", (_key(path.resolve()),))

    def read(self, ref: DocumentRef) -> bytes:
        """Return the bytes; Permanent when missing, changed since referenced, too large, or out of bounds."""
        if ref.size > MAX_BYTES:
            raise Permanent(f"{ref.size} bytes are more than the {MAX_BYTES} a document may have", code="oversize")
        if self._last[:2] == (ref.uri, ref.sha256):
            return self._last[2]
        content = self._found(ref)
        if hashlib.sha256(content).hexdigest() != ref.sha256:
            raise Permanent("the document changed since it was submitted; submit it again", code="document-changed")
        self._last = (ref.uri, ref.sha256, content)
        return content

    def _found(self, ref: DocumentRef) -> bytes:
        scheme = urlsplit(ref.uri).scheme
        if scheme == "blob":
            return self._blob(ref.uri.removeprefix("blob:"))
        if scheme == "file":
            return self._file(ref.uri)
        raise Permanent(
            f"cannot read {scheme}: references here; use file: or blob:",
            code="unknown-scheme",
            where="uri",
        )

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Store bytes under their own hash."""
        sha256 = hashlib.sha256(content).hexdigest()
        with self._database.joined() as connection:
            connection.execute("INSERT INTO blobs VALUES (?, ?) ON CONFLICT DO NOTHING", (sha256, content))
        return DocumentRef(uri=f"blob:{sha256}", sha256=sha256, size=len(content), media_type=media_type, name=name)

    def _blob(self, sha256: str) -> bytes:
        row = self._database.connection.execute("SELECT content FROM blobs WHERE sha256 = ?", (sha256,)).fetchone()
        if row is None:
            raise Permanent("no such blob", code="document-missing", where="uri")
        return bytes(row[0])

    def _file(self, uri: str) -> bytes:
        path = self._allowed(uri)
        try:
            found = path.stat()
            if not S_ISREG(found.st_mode):
                raise Permanent("cannot read it: no regular file", code="document-missing", where="uri")
            if found.st_size > MAX_BYTES:
                raise Permanent(f"larger than the {MAX_BYTES} bytes a document may have", code="oversize")
            return path.read_bytes()
        except OSError as error:
            raise Permanent(f"cannot read it: {error.strerror}", code="document-missing", where="uri") from error

    def _allowed(self, uri: str) -> Path:
        parts = urlsplit(uri)
        decoded = unquote(parts.path, errors="surrogateescape")
        if parts.netloc or "\x00" in decoded or not decoded.startswith("/"):
            raise Permanent("not a local file", code="out-of-bounds", where="uri")
        path = _resolved(decoded)
        if not self._below_a_root(path):
            raise Permanent("outside the folders given to this fabric", code="out-of-bounds", where="uri")
        return path

    def _below_a_root(self, path: Path) -> bool:
        """Look for the path and its ancestors among the roots, however many roots there are."""
        candidates = (_key(path), *map(_key, path.parents))
        marks = ",".join("?" * len(candidates))
        query = f"SELECT 1 FROM roots WHERE path IN ({marks}) LIMIT 1"  # noqa: S608  nothing but question marks
        return self._database.connection.execute(query, candidates).fetchone() is not None


def _key(path: Path) -> bytes:
    """A path as the system knows it: bytes, which need not be text."""
    return os.fsencode(path)


def _resolved(path: str) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:  # until Python 3.13 a loop of links is a RuntimeError
        raise Permanent("cannot read it: its links lead nowhere", code="document-missing", where="uri") from error
