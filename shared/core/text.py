"""Words and sentences of a text, with their places: pure functions, no language's grammar.

Knows characters only; what a word or a sentence is worth is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+")
_SPACED = {code: " " for code in range(128) if not chr(code).isalnum()}
# A sentence ends at a full stop before something that is not lower case, at an empty line, and
# where a list item begins. That each way begins with one of a few characters makes it quick.
_BOUNDARY = re.compile(
    r"[.!?;:\n](?:"
    r"(?<!\n)[\"')\]]*\s+(?![a-zà-ÿ\s])"
    r"|(?<=\n)(?:[^\S\n]*\n\s*|(?=[ \t]*(?:[-*•·]|\(?[0-9a-z]{1,3}[.)])[ \t])))"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[a-z]|\d[\d.]*|e\.g|i\.e|etc|cf|vs|no|inc|ltd|co|corp|mr|mrs|ms|dr|art|sec)\.$", re.IGNORECASE
)
_EDGE = " \t\r\n\f\v*#=_-•·"


def lowered(text: str) -> str:
    """Return the text in lower case, every character in its old place."""
    lower = text.lower()
    # U+0130 is the one character whose lower case is longer than itself.
    return lower if len(lower) == len(text) else text.replace("\u0130", "I").lower()


def words(lower: str) -> list[str]:
    """Return the words of a text that is in lower case: runs of letters and digits."""
    # Translating is four times as fast as matching, but only ASCII has a table this small.
    return lower.translate(_SPACED).split() if lower.isascii() else _WORD.findall(lower)


def locate(lower: str, phrase: list[str], start: int = 0) -> tuple[int, int] | None:
    """Return where these words stand next to each other, whatever lies between them; None when they do not."""
    found = re.compile(r"(?<![^\W_])" + r"[\W_]+".join(phrase) + r"(?![^\W_])").search(lower, start)
    return found.span() if found else None


def collapsed(text: str) -> str:
    """Return the text with every run of white space as one space."""
    return " ".join(text.split())


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the sentences of a text begin and end, list items and paragraphs being sentences, too."""
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        if boundary[0][0] == "." and _ABBREVIATION.search(text, max(start, boundary.start() - 8), boundary.start() + 1):
            continue
        yield from _trimmed(text, start, boundary.end())
        start = boundary.end()
    yield from _trimmed(text, start, len(text))


def clipped(text: str, start: int, end: int, limit: int) -> tuple[int, int]:
    """Return the span cut at the end of a word so that it is at most `limit` characters long."""
    if end - start <= limit:
        return start, end
    cut = max(text.rfind(" ", start, start + limit), text.rfind("\n", start, start + limit))
    return start, cut if cut > start else start + limit


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip(_EDGE))
    right = len(piece.rstrip(_EDGE))
    if left < right:
        yield start + left, start + right
