"""From Markdown, HTML and PDF to plain text, by libraries, within bounds. Declares no tool.

The libraries are imported where they are used: most documents need none of them.
"""

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING

from shared.errors import Permanent

if TYPE_CHECKING:
    from pypdf import PdfReader

MAX_PAGES = 2000
MAX_CHARACTERS = 10_000_000
MAX_DEPTH = 500
_CHUNK = 64 * 1024
_DROPPED = frozenset({"script", "style", "template", "head"})
_INLINE = frozenset(
    {
        *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd"),
        *("mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "u", "var", "wbr"),
    }
)
_BLANK_LINES = re.compile(r"[ \t]*\n(?:[ \t]*\n)+")


class _TooDeep(Exception):  # noqa: N818  caught a few lines below, never seen outside
    """Elements are nested deeper than any honest page."""


class _Collector:
    """Hears elements and characters from the parser and keeps the text; no tree is built."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._dropped = 0
        self._depth = 0

    def start(self, tag: str, _: object) -> None:
        """Note the beginning of an element."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _TooDeep
        self._dropped += tag in _DROPPED
        if tag not in _INLINE:
            self._parts.append("\n")

    def end(self, tag: str) -> None:
        """Note the end of an element."""
        self._depth -= 1
        self._dropped -= tag in _DROPPED
        if tag not in _INLINE:
            self._parts.append("\n")

    def data(self, text: str) -> None:
        """Keep characters that a reader would see; line ends within a paragraph are spaces."""
        if not self._dropped:
            self._parts.append(text.replace("\n", " "))

    def close(self) -> str:
        """Return the text."""
        return tidied("".join(self._parts))


def html_text(html: str) -> str:
    """Return what a reader of the page sees; Permanent when it is nested absurdly deep or no HTML."""
    from lxml import etree  # type: ignore[import-untyped]  # noqa: PLC0415

    parser = etree.HTMLParser(target=_Collector(), encoding="utf-8", no_network=True)
    content = html.encode("utf-8", "replace")
    try:
        for start in range(0, len(content), _CHUNK):
            parser.feed(content[start : start + _CHUNK])
        return str(parser.close())
    except _TooDeep as error:
        raise _unreadable("HTML", f"elements are nested deeper than {MAX_DEPTH}") from error
    except etree.LxmlError as error:
        raise _unreadable("HTML", str(error)) from error


def markdown_text(markdown: str) -> str:
    """Return the Markdown's text without its marks."""
    from markdown_it import MarkdownIt  # noqa: PLC0415

    try:
        tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    except (RecursionError, ValueError, IndexError) as error:
        raise _unreadable("Markdown", type(error).__name__) from error
    parts = []
    for token in tokens:
        if token.type == "inline":
            parts.append("".join(_inline(child.type, child.content) for child in token.children or ()))
        elif token.type == "html_block":
            parts.append(html_text(token.content))
        else:
            parts.append(token.content)
    return tidied("\n\n".join(parts))


def pdf_text(content: bytes) -> tuple[str, int]:
    """Return a PDF's text and its number of pages; Permanent when it is locked, scanned or damaged."""
    from pypdf import PdfReader  # noqa: PLC0415

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings may quote the document
    try:
        return _pages(PdfReader(io.BytesIO(content)))
    except Permanent:
        raise
    except Exception as error:  # a damaged PDF makes the library raise nearly anything
        raise _unreadable("PDF", f"{type(error).__name__}: {str(error)[:200]}") from error


def tidied(text: str) -> str:
    """Return the text with at most one empty line in a row and no blanks at line ends."""
    lines = "\n".join(line.strip() for line in text.replace("\r\n", "\n").split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip()


def _inline(kind: str, content: str) -> str:
    if kind in {"softbreak", "hardbreak"}:
        return "\n"
    return "" if kind == "html_inline" else content


def _pages(reader: PdfReader) -> tuple[str, int]:
    if reader.is_encrypted:
        raise Permanent("the PDF is encrypted; give a copy without a password", code="encrypted", where="document")
    count = len(reader.pages)
    if count > MAX_PAGES:
        raise Permanent(f"the PDF has {count} pages, more than {MAX_PAGES}", code="oversize", where="document")
    parts: list[str] = []
    length = 0
    for page in reader.pages:
        parts.append(page.extract_text())
        length += len(parts[-1])
        if length > MAX_CHARACTERS:
            raise Permanent(f"the PDF holds more than {MAX_CHARACTERS} characters", code="oversize", where="document")
    text = tidied("\n\n".join(parts)).replace("\x00", "")
    if not text:
        raise Permanent(
            "the PDF holds no text; when it is a scan, run character recognition (OCR) on it first",
            code="no-text",
            where="document",
        )
    return text, count


def _unreadable(kind: str, why: str) -> Permanent:
    return Permanent(f"this {kind} cannot be read: {why}", code="damaged", where="document")
