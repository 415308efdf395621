"""The shape of a summary and how one is put together from places in a text. Declares no tool."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from shared.core.text import collapsed
from shared.errors import Permanent

MAX_CHARACTERS = 1000
_STRICT = ConfigDict(frozen=True, extra="forbid")


class Span(BaseModel):
    """A part of the text, in characters: `text[start:end]`."""

    model_config = _STRICT

    start: int = Field(ge=0)
    end: int = Field(ge=0)


class Summary(BaseModel):
    """What the text says in short, and the sentences it rests on."""

    model_config = _STRICT

    summary: str = Field(max_length=MAX_CHARACTERS)
    spans: tuple[Span, ...]


def summary_of(text: str, spans: Sequence[tuple[int, int]], prose: str = "") -> Summary:
    """Return a summary that quotes these spans, or says `prose` and rests on them."""
    if not spans:
        raise Permanent("the text has no sentence to quote", code="empty", where="text")
    said = collapsed(prose) or " ".join(collapsed(text[start:end]) for start, end in spans)
    if len(said) > MAX_CHARACTERS:
        said = said[: said.rfind(" ", 0, MAX_CHARACTERS - 2)] + " …"
    return Summary(summary=said, spans=tuple(Span(start=start, end=end) for start, end in spans))
