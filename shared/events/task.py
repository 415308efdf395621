"""What is said about tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shared.events.document import DocumentRef
from shared.events.envelope import Fact
from shared.events.ids import MicroUsd

Cloud = Literal["aws", "azure", "gcp"]
Priority = Literal["interactive", "standard", "background"]


class TaskSubmitted(Fact):
    """A client asked for work. Version 1 had a single `document`."""

    type: ClassVar[str] = "task.submitted"
    version: ClassVar[int] = 2

    workflow: str
    documents: tuple[DocumentRef, ...] = Field(min_length=1)
    taxonomy: DocumentRef
    submitted_by: str
    budget_micro_usd: MicroUsd
    priority: Priority = "standard"


class TaskAdmitted(Fact):
    """The task may spend up to its budget."""

    type: ClassVar[str] = "task.admitted"

    budget_micro_usd: MicroUsd
    reason: str


class TaskRejected(Fact):
    """The task was refused before any spend; `code` is stable, `reason` is for people."""

    type: ClassVar[str] = "task.rejected"

    code: str
    reason: str


class TaskPlaced(Fact):
    """Where the task runs and why there."""

    type: ClassVar[str] = "task.placed"

    cloud: Cloud
    reason: str
    run: int = Field(ge=1)
    documents: int = Field(ge=1)
    priority: Priority = "standard"


class TaskCompleted(Fact):
    """Every document is settled and at least one was reviewed."""

    type: ClassVar[str] = "task.completed"

    reviewed: int
    failed: int
    cost_micro_usd: MicroUsd


class TaskFailed(Fact):
    """Every document is settled and none was reviewed."""

    type: ClassVar[str] = "task.failed"

    reason: str
    cost_micro_usd: MicroUsd


class TaskCancelled(Fact):
    """Somebody stopped the task; what was reviewed before stays reviewed."""

    type: ClassVar[str] = "task.cancelled"

    by: str
    reason: str
    placed_on: Cloud | None = None  # encoding leaves out what is None, so it must not be missed
    run: int
