"""Switches by which operators stop work: of one tenant, of one workflow, or all of it.

Values and their text; who keeps it is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import Throttled, Transient
from shared.events.attributes import Moment

Scope = Literal["all", "tenant", "workflow"]
LOOK_AGAIN = 15.0  # seconds; only an operator knows when work may go on
_KEPT = 16


class Switch(BaseModel):
    """What is stopped, by whom, why, and since when; `name` is empty for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: Scope
    name: str = Field(default="", max_length=64)
    reason: str = Field(min_length=1, max_length=500)
    by: str = Field(min_length=1, max_length=200)
    since: Moment

    @property
    def stops(self) -> str:
        """Name what is stopped, for people."""
        return "everything" if self.scope == "all" else f"{self.scope} {self.name}"


_LIST = TypeAdapter(tuple[Switch, ...])


@lru_cache(maxsize=_KEPT)
def switches_in(text: str) -> tuple[Switch, ...]:
    """Return the switches a text holds; Transient when it cannot be read: then nobody knows what may go on."""
    if not text:
        return ()
    try:
        return _LIST.validate_json(text)
    except ValidationError as error:
        raise Transient(f"the switches cannot be read: {error.error_count()} errors", retry_after=LOOK_AGAIN) from error


def text_of(switches: Iterable[Switch]) -> str:
    """Return the text that holds these switches."""
    return json.dumps([one.model_dump(mode="json") for one in switches])


def stopped(switches: tuple[Switch, ...], tenant: str, workflow: str) -> Switch | None:
    """Return the switch that stops this tenant's work on this workflow, or None."""
    named = {"all": "", "tenant": tenant, "workflow": workflow}
    return next((one for one in switches if one.name == named[one.scope]), None)


def refuse(switches: tuple[Switch, ...], tenant: str, workflow: str) -> None:
    """Raise Throttled (`stopped`) when a switch stops this work."""
    found = stopped(switches, tenant, workflow)
    if found is not None:
        said = f"{found.stops} is stopped by {found.by}: {found.reason}"
        raise Throttled(said, retry_after=LOOK_AGAIN, code="stopped")


def without(switches: tuple[Switch, ...], scope: Scope, name: str) -> tuple[Switch, ...]:
    """Return the switches without that one."""
    return tuple(one for one in switches if (one.scope, one.name) != (scope, name))
