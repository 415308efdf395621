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
_CREDIT = re.compile(r"\W*(?:copyright|©|\(c\)).*?(?:\b(?:19|20)\d\d\b|©|\(c\))", re.IGNORECASE)
_ADDRESS = re.compile(r"\S+@\S+|\S+://\S+|\b(?:19|20)\d\d\b")  # with the years of a copyright
_DECIDES = re.compile(  # on such a line, too
    r"an?|all|any|but|each|either|every|except|if|many|may|more|most|must|neither|never|none?|nor|not|nothing|one|only"
    r"|or|other|shall|should|some|such|than|this|those|under|unless|until|with|without"
    r"|confidential\w*|distribut\w*|domain|forbid\w*|grant\w*|licen[cs]\w*|patents?|permi\w*|prohibit\w*|proprietary"
    r"|public|rights?|secrets?|terms?|trademarks?|us(?:e|age)|version",
    re.IGNORECASE,
)
_HOLDING = frozenset("© c copyright and authors by contributors de et for of team the und van von".split())  # noqa: SIM905
_QUOTES = frozenset({"quote", "quotes"})
_SOMEBODY = "*"


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
    """Digest what decides: all words and numbers in their order, but for who holds a copyright, and since when.

    Two texts with the same digest differ in their layout, their capitals, their punctuation, or in names of holders.
    """
    lines = unicodedata.normalize("NFKC", text).splitlines()
    said: list[str] = []
    for word in (word for line in lines for word in _words(line)):
        if word != _SOMEBODY or said[-1:] != [_SOMEBODY]:
            said.append(word)
    return sha256(" ".join(said).encode(errors="backslashreplace")).hexdigest()


def holds_for(answer: Any, text: str) -> bool:  # noqa: ANN401  JSON
    """Tell whether all that an answer quotes stands in the text."""
    return all(_stands(quote, text) for quote in _quotes(answer))


def _words(line: str) -> Iterator[str]:
    credit = _CREDIT.match(line) is not None
    for word in _TOKEN.findall(_ADDRESS.sub(" ", line) if credit else line):
        yield _SOMEBODY if credit and _is_name(word) else word.casefold().rstrip(".,")


def _is_name(word: str) -> bool:
    """Tell a name by its capital from words that mean something; what is all capitals may be a licence's name."""
    if word.casefold() in _HOLDING:
        return True
    return word[0].isupper() and (len(word) == 1 or not word.isupper()) and not _DECIDES.fullmatch(word)


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
