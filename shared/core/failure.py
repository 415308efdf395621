"""Why a pipeline ended: the failures that its catchers kept, told as one step, code and reason.

An engine reports a failure by a name and a text. The text is either plain, or the JSON in which a function says
the type and the message of what it raised; a message may lead with its verdict's code in square brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import Permanent
from shared.events.strict import load_object

if TYPE_CHECKING:
    from shared.core.workflow import Workflow

_CODED = re.compile(r"\[([a-z0-9-]{1,64})\] (.*)", re.DOTALL)
_NAMES = {"Transient": "attempts-used-up", "States.Timeout": "timeout", "States.HeartbeatTimeout": "timeout"}
_LONGEST = 1000


class Fault(BaseModel):
    """One caught failure, as an engine tells it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    error: str = Field(default="", alias="Error")
    cause: str = Field(default="", alias="Cause")


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a document's run."""

    step: str
    code: str
    reason: str


def last_failure(flow: Workflow, faults: Mapping[str, Fault]) -> Failure:
    """Return the failure of the latest step in the workflow's order; earlier ones were recovered from."""
    for step in reversed(flow.steps):
        if step.name in faults:
            code, reason = explain_fault(faults[step.name])
            return Failure(step.name, code, reason)
    known = ", ".join(step.name for step in flow.steps)
    raise Permanent(f"no failure of any of its steps: {known}", where="failures")


def explain_fault(fault: Fault) -> tuple[str, str]:
    """Return a fault's code and reason."""
    name, message = _said(fault)
    coded = _CODED.fullmatch(message)
    if coded:
        return coded[1], coded[2][:_LONGEST]
    return _NAMES.get(name, "step-failed"), (message or name or "no reason given")[:_LONGEST]


def _said(fault: Fault) -> tuple[str, str]:
    """Return the type and the message of what a function raised, or the engine's own words."""
    try:
        told = load_object(fault.cause)
    except Permanent:
        return fault.error, fault.cause
    return fault.error or str(told.get("errorType", "")), str(told.get("errorMessage", ""))
