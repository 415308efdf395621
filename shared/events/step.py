"""What is said about the steps of a run. A step works on one document, named by its position in the task."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.events.envelope import Fact
from shared.events.ids import MicroUsd, Position


class StepStarted(Fact):
    """The intent to do a step, written before anything is paid for."""

    type: ClassVar[str] = "step.started"

    document: Position
    step: str
    tool: str
    attempt: int = Field(ge=1)
    input_sha256: str
    reserved_micro_usd: MicroUsd


class StepCompleted(Fact):
    """A step's result is in the journal; the digest lets a reader compare runs without the text."""

    type: ClassVar[str] = "step.completed"

    document: Position
    step: str
    attempt: int = Field(ge=1)
    output_sha256: str
    cost_micro_usd: MicroUsd


class StepFailed(Fact):
    """An attempt failed; `final` says that no further attempt will help. What is left is of the task's budget."""

    type: ClassVar[str] = "step.failed"

    document: Position
    step: str
    attempt: int = Field(ge=1)
    code: str
    reason: str
    final: bool
    price_version: str = ""
    left_micro_usd: MicroUsd | None = None
