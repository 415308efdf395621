"""What is said about tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shared.events.attributes import Moment
from shared.events.document import DocumentRef
from shared.events.envelope import Fact
from shared.events.ids import MicroUsd

Cloud = Literal["aws", "azure", "gcp"]
Priority = Literal["interactive", "standard", "background"]
ParkedFor = Literal["budget", "quota", "throttled", "preempted", "stopped"]


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
    """The task may spend up to its budget, which is leased from its tenant's.

    `left_micro_usd` is what the tenant has left after that; `turned_away` counts its requests that came too fast
    since the one admitted before: those were answered with 429 and are no tasks.
    """

    type: ClassVar[str] = "task.admitted"

    budget_micro_usd: MicroUsd
    reason: str
    left_micro_usd: MicroUsd | None = None
    turned_away: int = Field(default=0, ge=0)


class TaskRejected(Fact):
    """The task was refused before any spend; `code` is stable, `reason` is for people."""

    type: ClassVar[str] = "task.rejected"

    code: str
    reason: str


class TaskThrottled(Fact):
    """A submission came too fast and is no task; asked again, it may become the one of this id.

    It is about the entity `limits:<tenant>`, and one of very many: `others` counts those of the same `code` that were
    turned away since the last event of this kind and have none of their own. `limit` is what the tenant may have, a
    minute or at a time, and `level` what of it was there, or was out; after `retry_after_seconds` it will do.
    """

    type: ClassVar[str] = "task.throttled"

    code: str
    reason: str
    retry_after_seconds: float = Field(ge=0, allow_inf_nan=False)
    workflow: str
    priority: Priority
    policy_version: str
    left_micro_usd: MicroUsd
    others: int = Field(ge=0)
    limit: float | None = Field(default=None, allow_inf_nan=False)
    level: float | None = Field(default=None, allow_inf_nan=False)


class TaskPlaced(Fact):
    """Where the task runs and why there."""

    type: ClassVar[str] = "task.placed"

    cloud: Cloud
    reason: str
    run: int = Field(ge=1)
    documents: int = Field(ge=1)
    priority: Priority = "standard"


class TaskParked(Fact):
    """The task gave its place back and waits; nothing of it is lost. `until` is when to look again, if that is known.

    `code`: `budget` (a person is asked for more), `quota` (its tenant's money is leased by others), `throttled` (no
    provider takes calls), `preempted` (more urgent work waits), `stopped` (an operator's switch).
    """

    type: ClassVar[str] = "task.parked"

    code: ParkedFor
    reason: str
    run: int = Field(ge=1)
    until: Moment | None = None


class TaskResumed(Fact):
    """The task goes on as its next run; steps that were done answer from the journal."""

    type: ClassVar[str] = "task.resumed"

    reason: str
    run: int = Field(ge=2)
    budget_micro_usd: MicroUsd


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
