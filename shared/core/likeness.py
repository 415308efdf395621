"""When an answer to one text may be given for another that is not quite the same. Pure.

Knows texts, answers and points; not how a text becomes a point, nor where they are kept. A point alone cannot tell
"may" from "may not" (`python -m benchmarks semantic`), so the words of both texts have to agree as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.core import caching
from shared.core.text import locate, lowered, words

if TYPE_CHECKING:
    from shared.core.completion import Prompt

Vector = Sequence[float]
_TOKEN = re.compile(r"[-+]?\d[\d.,]*|[^\W\d_]+|[%$€£<>=≠≤≥]")
_SINCE = re.compile(r"\W*(?:(?:copyright|©|\(c\))[\s:,]*)+(?:\b(?:19|20)\d\d\b[\s,-]*)+", re.IGNORECASE)
_QUOTES = frozenset({"quote", "quotes"})


class Place(NamedTuple):
    """Where a text lies, and what of it must be the same in another text that gets the same answer."""

    vector: Vector
    deciding: str


class Near(NamedTuple):
    """The answer kept under a key belongs to a text that is so similar, from 0 to 1."""

    key: str
    similarity: float


def question(prompt: Prompt, policy: str) -> str:
    """Return the name of the question whatever text it is asked about."""
    return caching.key(replace(prompt, text=""), policy)


def similarity(one: Vector, other: Vector) -> float:
    """Return the cosine of two points at unit length, from 0 to 1."""
    cosine: float = sum(map(mul, one, other))
    return min(1.0, max(0.0, cosine))


def deciding(text: str) -> str:
    """Digest what decides: all words and numbers in their order, but for the years of a copyright.

    Two texts with the same digest differ in their layout, their capitals, their punctuation, or in such years. Names
    decide, too: no rule tells a name from a restriction that somebody wrote behind it.
    """
    lines = unicodedata.normalize("NFKC", text).splitlines()
    said = " ".join(word for line in lines for word in _words(line))
    return sha256(said.encode(errors="backslashreplace")).hexdigest()


def holds_for(answer: Any, text: str) -> bool:  # noqa: ANN401  JSON
    """Tell whether all that an answer quotes stands in the text."""
    return all(_stands(quote, text) for quote in _quotes(answer))


def _words(line: str) -> Iterator[str]:
    since = _SINCE.match(line)
    said = line[since.end() :] if since else line
    return (word.casefold().rstrip(".,") for word in _TOKEN.findall(said))


def _quotes(answer: Any) -> Iterator[str]:  # noqa: ANN401  JSON
    if isinstance(answer, dict):
        for name, value in answer.items():
            yield from _strings(value) if name in _QUOTES else _quotes(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _quotes(value)


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401  JSON
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))


def _stands(quote: str, text: str) -> bool:
    spoken = words(lowered(quote))
    return quote in text or bool(spoken and locate(lowered(text), spoken))
