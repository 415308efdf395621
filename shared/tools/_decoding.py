"""From bytes to text: which encoding, and is it text at all? Declares no tool."""

from __future__ import annotations

import codecs
import re

from shared.errors import Permanent

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = (
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"SQLite format 3\x00", "a SQLite database"),
)
_OF_MAINFRAMES = ["cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140"]
_LIKELY = ("cp1252", "latin_1")  # of encodings that read the bytes alike, those that people use
_GUESSABLE = 32  # bytes; fewer tell nothing about their encoding
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SAMPLE = 256 * 1024  # bytes that are enough to recognise an encoding by
_MOST_CONTROLS = 0.01


def decoded(content: bytes) -> tuple[str, str]:
    """Return the text and its encoding; Permanent when the bytes are no text."""
    for magic, kind in _KINDS:
        if content.startswith(magic):
            raise _binary(f"this is {kind}")
    encoding = _encoding(content)
    errors = "replace" if encoding == "utf-8" else "strict"  # a damaged character is not a damaged document
    try:
        text = content.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise _binary(f"the bytes are no {encoding} from byte {error.start} on") from error
    controls = len(_CONTROL.findall(text[:_SAMPLE]))
    if "\x00" in text or controls > _MOST_CONTROLS * len(text[:_SAMPLE]):
        raise _binary("there are NUL or control characters in it")
    return text, encoding.removesuffix("-sig")


def _encoding(content: bytes) -> str:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return encoding
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return _guessed(content)
    return _without_a_mark(content) or "utf-8"


def _without_a_mark(content: bytes) -> str | None:
    """Recognise UTF-16 without a byte order mark: of two neighbours, one is almost always NUL."""
    head = content[:4096]
    low, high = head[::2].count(0), head[1::2].count(0)
    if len(content) % 2 or max(low, high) < len(head) * 0.3:
        return None
    return "utf-16-le" if high > low else "utf-16-be"


def _guessed(content: bytes) -> str:
    from charset_normalizer import from_bytes  # noqa: PLC0415  only for what is not UTF-8

    if found := _without_a_mark(content):
        return found
    if b"\x00" in content[:_SAMPLE]:
        raise _binary("there are NUL bytes in it")
    if _mostly_utf8(content[:_SAMPLE]):
        return "utf-8"
    if len(content) < _GUESSABLE:
        return _LIKELY[0]
    best = from_bytes(content[:_SAMPLE], cp_exclusion=_OF_MAINFRAMES).best()
    if best is None:
        raise _binary("its bytes fit no encoding of text")
    return next((name for name in _LIKELY if name in best.could_be_from_charset), best.encoding)


def _mostly_utf8(content: bytes) -> bool:
    """Tell whether UTF-8 sequences outnumber what is none: no other encoding looks like that by chance."""
    text = content.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = len(text) - len(text.encode("ascii", "ignore")) - broken
    return whole > 2 * broken


def _binary(why: str) -> Permanent:
    return Permanent(f"not a text: {why}", code="binary", where="document")
