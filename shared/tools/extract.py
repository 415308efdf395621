"""`extract`: the plain text of a document, whatever it is: text, Markdown, HTML, PDF.

What a document is, is decided by its content and its name; the media type a caller claims is not believed.
"""

import re
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from shared.errors import Permanent
from shared.events.document import DocumentRef
from shared.tools._decoding import decoded
from shared.tools._formats import html_text, markdown_text, pdf_text
from shared.tools._reading import read_bytes
from shared.tools.registry import Toolbox, tool

PLAIN = "text/plain; charset=utf-8"
_PDF_MARK_WITHIN = 1024  # readers accept some bytes before `%PDF-`
_MARKDOWN = frozenset({".md", ".markdown", ".mdown", ".mkd"})
_HTML = frozenset({".html", ".htm", ".xhtml"})
_NAME = 500  # characters of the name that are kept, so that an ending fits
_MAX_MARKUP = 4_000_000  # characters; more of it takes too long and is read as plain text or not at all
_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<[a-zA-Z!/][^<>]{0,2000}>")


class ExtractInput(BaseModel):
    """A document by reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: DocumentRef


class ExtractOutput(BaseModel):
    """Where the plain text lies: a text that was plain already lies where it lay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: DocumentRef
    characters: int
    media_type: str
    encoding: str
    pages: int | None = None


@tool("extract", "Get the plain text of a document (text, Markdown, HTML or PDF).")
def extract(given: ExtractInput, at: Toolbox) -> ExtractOutput:
    """Return a reference to the document's text in UTF-8; Permanent when there is none to get."""
    ref = given.document
    content = read_bytes(ref, at.documents)
    if b"%PDF-" in content[:_PDF_MARK_WITHIN]:
        text, pages = pdf_text(content)
        return _written(at, ref, text, ("application/pdf", "binary"), pages)
    raw, encoding = decoded(content)
    media_type = _media_type(raw, ref.name)
    text = _plain(raw, media_type)
    if not text.strip("\ufeff \t\r\n\f\v\u200b\u00a0"):
        raise Permanent("there is no text in it, only white space or markup", code="empty", where="document")
    if text is raw and text.encode() == content:
        return ExtractOutput(text=ref, characters=len(text), media_type=media_type, encoding=encoding)
    return _written(at, ref, text, (media_type, encoding), None)


def _media_type(text: str, name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    if _PAGE.match(text) or (suffix in _HTML and _TAG.search(text, 0, 100_000)):
        return "text/html"
    return "text/markdown" if suffix in _MARKDOWN and len(text) <= _MAX_MARKUP else "text/plain"


def _plain(text: str, media_type: str) -> str:
    if media_type == "text/markdown":
        return markdown_text(text)
    if media_type != "text/html":
        return text
    if len(text) > _MAX_MARKUP:
        raise Permanent(
            f"{len(text)} characters of HTML are more than {_MAX_MARKUP}", code="oversize", where="document"
        )
    return html_text(text)


def _written(at: Toolbox, ref: DocumentRef, text: str, kind: tuple[str, str], pages: int | None) -> ExtractOutput:
    content = text.encode("utf-8", "replace")
    written = at.documents.write(content, PLAIN, f"{ref.name[:_NAME]}.txt" if ref.name else "")
    media_type, encoding = kind
    return ExtractOutput(text=written, characters=len(text), media_type=media_type, encoding=encoding, pages=pages)
