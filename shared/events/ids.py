"""Names that are derived, not drawn: a retry, a replay and a duplicate compute the same id."""

from __future__ import annotations

import hashlib
from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.events.attributes import MAX_INTEGER

_NAMESPACE = UUID("6f0c5f0e-3f3f-5d0a-9d53-0c7c0d8e4a11")
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_SEPARATOR = "\x1f"  # refused in every id below, so joined parts cannot be confused

Tenant = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
TaskId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]
Entity = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
Position = Annotated[int, Field(ge=0, lt=1000)]
MAX_NUMBER = 2**53 - 1  # what every JSON reader and every store keeps exact
MAX_SEQUENCE = MAX_INTEGER  # an attribute of the envelope, so CloudEvents bounds it
Sequence = Annotated[int, Field(ge=1, le=MAX_SEQUENCE)]
Tokens = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
MicroUsd = Annotated[int, Field(ge=0, le=MAX_NUMBER)]


def derive(*parts: object) -> str:
    """Return the uuid5 of the parts, as text."""
    # uuid5 without its objects: an event, a lease and a draw each have a name, several for each call of a model.
    named = hashlib.sha1(_NAMESPACE.bytes + _SEPARATOR.join(map(str, parts)).encode(), usedforsecurity=False).digest()
    text = named.hex()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def trace_id(task: str) -> str:
    """Return the id of a task's trace, as W3C wants it: whoever knows the task knows its trace."""
    return hashlib.sha256(task.encode()).hexdigest()[:32]


def span_id(about: str) -> str:
    """Return the id of the span that is about something; about the same thing there is one span."""
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def traceparent(task: str, about: str) -> str:
    """Return a W3C `traceparent`: the task's trace, and in it the span of what the event comes from."""
    return f"00-{trace_id(task)}-{span_id(about)}-01"
