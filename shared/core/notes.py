"""Why calls were made, as text that lies beside their money until somebody tells of them. Pure.

A draw keeps the choice that led to it, and those before it that came to nothing and cost nothing. Whoever puts the draw
on the bill tells of them: the attempt that made the call, or after a crash the one that finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from pydantic import TypeAdapter

from shared.core.money import usd
from shared.core.routing import Pick, Refusal, Route
from shared.events.routing import ModelRouted, Refused

MOST_NAMED = 40  # deployments that an event names; it says how many there are beside them
_MOST_OF_A_REASON = 200
_MOST_KEPT = 16_000  # characters of a draw's note
_NOTES: TypeAdapter[tuple[ModelRouted, ...]] = TypeAdapter(tuple[ModelRouted, ...])


class Named(NamedTuple):
    """Those that were not asked, as an event can hold them."""

    refused: tuple[Refused, ...]
    more: int


def named(refused: Iterable[tuple[str, str]]) -> Named:
    """Return as many as an event holds (deployment, reason), and how many more there are."""
    found = list(refused)
    return Named(tuple(_refused(*one) for one in found[:MOST_NAMED]), max(0, len(found) - MOST_NAMED))


@lru_cache(maxsize=4096)
def _refused(deployment: str, reason: str) -> Refused:
    """Return the same again: call after call, the same are not asked for the same reasons."""
    return Refused(deployment=deployment, reason=reason[:_MOST_OF_A_REASON])


def refusal(refused: Refusal) -> str:
    """Say why a deployment may not be asked, and for how long."""
    return f"{refused.reason} for {ceil(refused.wait)} s" if refused.code == "busy" else refused.reason


def behind(chosen: Pick, other: Pick, cost: Callable[[Route], int]) -> str:
    """Say why one that might have been asked stands behind the one that is."""
    if other.late and not chosen.late:
        return "slower than asked for"
    if chosen.route.provisioned and not other.route.provisioned:
        return "not needed: there is provisioned capacity"
    its = cost(other.route)
    if its > cost(chosen.route):
        return f"dearer: at most {usd(its)}"
    return "fails more often" if other.success < chosen.success else "no cheaper"


def kept(notes: Sequence[ModelRouted]) -> str:
    """Put the choices into a text; where they are long, those that came to nothing are kept without whom they left."""
    text = _text(notes)
    return text if len(text) <= _MOST_KEPT else _text([*map(_thin, notes[:-1]), *notes[-1:]])


def read(text: str, remaining: int) -> tuple[ModelRouted, ...]:
    """Return the choices; the last one is the draw's own, `remaining` what its lease had left after it."""
    if not text:
        return ()
    *before, own = _NOTES.validate_json(text)
    return (*before, own.model_copy(update={"left_micro_usd": remaining}))


def _text(notes: Sequence[ModelRouted]) -> str:
    return f"[{','.join(note.model_dump_json(exclude_none=True) for note in notes)}]"


def _thin(note: ModelRouted) -> ModelRouted:
    return note.model_copy(update={"refused": (), "more_refused": note.more_refused + len(note.refused)})
