"""What is said about tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events.attributes import Moment
from shared.events.document import DocumentRef
from shared.events.envelope import Fact
from shared.events.ids import MicroUsd
from shared.events.routing import Refused

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
    since the one admitted before: those were answered with 429 and are no tasks. The budget is the worst case, or was
    compared with it, among the `candidates`: any of them may be asked. `refused` may not, whatever they cost.
    """

    type: ClassVar[str] = "task.admitted"

    budget_micro_usd: MicroUsd
    reason: str
    left_micro_usd: MicroUsd | None = None
    turned_away: int = Field(default=0, ge=0)
    price_version: str = ""
    candidates: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()


class TaskRejected(Fact):
    """The task was refused before any spend; `code` is stable, `reason` is for people.

    `asked_micro_usd` is what it might have cost, `left_micro_usd` what its tenant had left.
    """

    type: ClassVar[str] = "task.rejected"

    code: str
    reason: str
    asked_micro_usd: MicroUsd | None = None
    left_micro_usd: MicroUsd | None = None
    price_version: str = ""


class NotThere(BaseModel):
    """A cloud on which a task does not run, and why."""

    model_config = ConfigDict(frozen=True, strict=True)

    cloud: Cloud
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
    """Where the task runs and why there, and why not elsewhere. `left_micro_usd` is what is left of its budget."""

    type: ClassVar[str] = "task.placed"

    cloud: Cloud
    reason: str
    run: int = Field(ge=1)
    documents: int = Field(ge=1)
    priority: Priority = "standard"
    refused: tuple[NotThere, ...] = ()
    price_version: str = ""
    left_micro_usd: MicroUsd | None = None


class TaskParked(Fact):
    """The task gave its place back and waits; nothing of it is lost. `until` is when to look again, if that is known.

    `code`: `budget` (a person is asked for more), `quota` (its tenant's money is leased by others), `throttled` (no
    provider takes calls), `preempted` (more urgent work waits), `stopped` (an operator's switch). `refused` says of
    deployments why they are left to others; `left_micro_usd` is what is left of its budget.
    """

    type: ClassVar[str] = "task.parked"

    code: ParkedFor
    reason: str
    run: int = Field(ge=1)
    until: Moment | None = None
    refused: tuple[Refused, ...] = ()
    price_version: str = ""
    left_micro_usd: MicroUsd | None = None


class TaskResumed(Fact):
    """The task goes on as its next run; steps that were done answer from the journal."""

    type: ClassVar[str] = "task.resumed"

    reason: str
    run: int = Field(ge=2)
    budget_micro_usd: MicroUsd
    price_version: str = ""
    left_micro_usd: MicroUsd | None = None


class TaskCompleted(Fact):
    """Every document is settled and at least one was reviewed. `lines` is how many its bill has, as of all ends."""

    type: ClassVar[str] = "task.completed"

    reviewed: int
    failed: int
    cost_micro_usd: MicroUsd
    lines: int | None = Field(default=None, ge=0)


class TaskFailed(Fact):
    """Every document is settled and none was reviewed."""

    type: ClassVar[str] = "task.failed"

    reason: str
    cost_micro_usd: MicroUsd
    lines: int | None = Field(default=None, ge=0)


class TaskCancelled(Fact):
    """Somebody stopped the task; what was reviewed before stays reviewed."""

    type: ClassVar[str] = "task.cancelled"

    by: str
    reason: str
    placed_on: Cloud | None = None  # encoding leaves out what is None, so it must not be missed
    run: int
    lines: int | None = Field(default=None, ge=0)
