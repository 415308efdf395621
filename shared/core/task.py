"""Tasks: their states and transitions as tables, and every decision about one.

A decision takes the stored task and what was asked, and returns the task as it should be and the facts
that say so. A request that changes nothing (a duplicate) returns the task as it was, and no facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.core.decision import Decision
from shared.core.placement import place as where_to
from shared.core.pricing import Prices
from shared.errors import Permanent
from shared.events.document import DocumentFailed, DocumentRef, DocumentReviewed
from shared.events.task import (
    Cloud,
    NotThere,
    ParkedFor,
    Priority,
    TaskAdmitted,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskParked,
    TaskPlaced,
    TaskRejected,
    TaskResumed,
    TaskSubmitted,
)

if TYPE_CHECKING:
    from shared.events.envelope import Fact
    from shared.events.routing import Refused


class Status(StrEnum):
    """Where a task is."""

    NEW = "new"
    SUBMITTED = "submitted"
    ADMITTED = "admitted"
    REJECTED = "rejected"
    PLACED = "placed"
    RUNNING = "running"
    PARKED = "parked"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Progress(StrEnum):
    """Where one document of a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    DECIDED = "decided"
    REVIEWED = "reviewed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OF_A_RUN = (
    "step.started",
    "step.completed",
    "step.failed",
    "tool.called",
    "model.routed",
    "model.unrouted",
    "usage.metered",
    "usage.saved",
    "usage.corrected",
    "approval.requested",
    "approval.escalated",
    "approval.decided",
    "approval.expired",
    "document.reviewed",
    "document.failed",
)
# What was used is billed whenever it becomes known, also when nobody waits for its result any more.
_BILLED = ("model.routed", "model.unrouted", "usage.metered", "usage.saved", "usage.corrected")
# A task that was parked, or has been resumed and not placed yet, still hears of what was under way.
_BETWEEN_RUNS = (Status.ADMITTED, Status.PARKED, Status.PLACED)

TASK_MOVES: Mapping[tuple[Status, str], Status] = (
    {(status, kind): status for status in _BETWEEN_RUNS for kind in _OF_A_RUN}
    | {(Status.RUNNING, kind): Status.RUNNING for kind in _OF_A_RUN}
    | {(status, kind): status for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED) for kind in _BILLED}
    | {
        (status, f"task.{end}"): Status(end)
        for status in (*_BETWEEN_RUNS, Status.RUNNING)
        for end in ("completed", "failed", "cancelled")
    }
    | {(status, "task.parked"): Status.PARKED for status in (Status.ADMITTED, Status.PLACED, Status.RUNNING)}
    | {
        (Status.NEW, "task.submitted"): Status.SUBMITTED,
        (Status.SUBMITTED, "task.admitted"): Status.ADMITTED,
        (Status.SUBMITTED, "task.rejected"): Status.REJECTED,
        (Status.ADMITTED, "task.placed"): Status.PLACED,
        (Status.PLACED, "step.started"): Status.RUNNING,
        (Status.PLACED, "document.failed"): Status.RUNNING,
        (Status.PARKED, "task.resumed"): Status.ADMITTED,
    }
)

DOCUMENT_MOVES: Mapping[tuple[Progress, str], Progress] = {
    (Progress.QUEUED, "step.started"): Progress.RUNNING,
    (Progress.QUEUED, "document.failed"): Progress.FAILED,
    (Progress.RUNNING, "step.started"): Progress.RUNNING,
    (Progress.RUNNING, "step.completed"): Progress.RUNNING,
    (Progress.RUNNING, "step.failed"): Progress.RUNNING,
    (Progress.RUNNING, "tool.called"): Progress.RUNNING,
    (Progress.RUNNING, "approval.requested"): Progress.WAITING,
    (Progress.WAITING, "approval.escalated"): Progress.WAITING,
    (Progress.WAITING, "approval.decided"): Progress.DECIDED,
    (Progress.WAITING, "approval.expired"): Progress.DECIDED,
    (Progress.RUNNING, "document.reviewed"): Progress.REVIEWED,
    (Progress.DECIDED, "document.reviewed"): Progress.REVIEWED,
    (Progress.RUNNING, "document.failed"): Progress.FAILED,
    (Progress.WAITING, "document.failed"): Progress.FAILED,
    (Progress.DECIDED, "document.failed"): Progress.FAILED,
} | {(progress, kind): progress for progress in Progress if progress is not Progress.QUEUED for kind in _BILLED}

_NO_PRICES = Prices()

PARKED = "task-parked"  # the code by which a pipeline says that it stopped and nothing failed
OVER = frozenset({Status.REJECTED, Status.COMPLETED, Status.FAILED, Status.CANCELLED})
_UNPARKED = {"parked_for": None, "parked_at": None, "parked_until": None}
SETTLED = frozenset({Progress.REVIEWED, Progress.FAILED, Progress.CANCELLED})


class Task(BaseModel):
    """What a client asked for and how far it is.

    `version` counts its commits, `lines` those of its bill, `tokens` what they name. Amounts are micro-USD.
    `budget` is leased from the tenant's, and `tokens_taken` from its rate (None: not known); `parked_for` says what a
    parked task waits for.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    tenant: str
    entity: str
    workflow: str
    documents: tuple[DocumentRef, ...]
    taxonomy: DocumentRef
    may_ask: bool
    budget: int
    priority: Priority = "standard"
    submitted_by: str
    submitted_at: AwareDatetime
    status: Status = Status.NEW
    version: int = 0
    run: int = 1
    placed_on: Cloud | None = None
    progress: tuple[Progress, ...] = ()
    spent: int = 0
    lines: int = 0
    tokens: int = 0
    tokens_taken: int | None = None
    reason: str = ""
    parked_for: ParkedFor | None = None
    parked_at: AwareDatetime | None = None
    parked_until: AwareDatetime | None = None

    @property
    def left(self) -> int:
        """What is left of its budget, in micro-USD; nothing is, where providers counted more than was asked for."""
        return max(0, self.budget - self.spent)

    @property
    def run_id(self) -> str:
        """The name of this execution at every engine; starting it twice is starting it once."""
        return f"{self.id}.{self.run}"

    @property
    def in_line(self) -> str:
        """Its place among all that are parked, as text that sorts: who waits longest is first. Empty when it is not."""
        if self.parked_at is None:
            return ""
        return f"{self.parked_at.astimezone(UTC).isoformat()}#{self.tenant}#{self.id}"

    @property
    def over(self) -> bool:
        """Whether nothing can happen to the task any more."""
        return self.status in OVER

    @property
    def waiting(self) -> int:
        """How many of its documents wait for a human."""
        return self.progress.count(Progress.WAITING)

    def at(self, document: int) -> Progress:
        """Return how far a document is; Permanent when the task has no such document."""
        if not 0 <= document < len(self.documents):
            raise Permanent(f"the task has {len(self.documents)} documents, no number {document}", where="document")
        return self.progress[document]


def evolve(task: Task, *facts: Fact) -> Task:
    """Return the task after the facts, by the two tables; Permanent when a table has no such move."""
    for fact in facts:
        task = _moved(task, fact)
    return task


def _moved(task: Task, fact: Fact) -> Task:
    status = TASK_MOVES.get((task.status, fact.type))
    if status is None:
        raise Permanent(f"a task that is {task.status} cannot have {fact.type}", code="illegal-move")
    changes: dict[str, object] = {} if status is task.status else {"status": status}
    document = getattr(fact, "document", None)
    if document is not None and getattr(fact, "about", "document") == "document":
        changes |= _progressed(task, document, fact.type)
    elif isinstance(fact, TaskCancelled):
        rest = (done if done in SETTLED else Progress.CANCELLED for done in task.progress)
        changes["progress"] = tuple(rest)
    return task.model_copy(update=changes) if changes else task


def _progressed(task: Task, document: int, kind: str) -> dict[str, object]:
    before = task.at(document)
    after = DOCUMENT_MOVES.get((before, kind))
    if after is None:
        raise Permanent(f"a document that is {before} cannot have {kind}", code="illegal-move")
    if after is before:
        return {}
    return {"progress": (*task.progress[:document], after, *task.progress[document + 1 :])}


def submit(
    task: Task, *, reason: str = "", left: int | None = None, turned_away: int = 0, prices: Prices = _NO_PRICES
) -> Decision:
    """Accept a new task whose submission was found in order; `left` is what its tenant has left, in micro-USD."""
    admitted = TaskAdmitted(
        budget_micro_usd=task.budget,
        reason=reason or f"within the budget of {task.tenant}",
        left_micro_usd=left,
        turned_away=turned_away,
        price_version=prices.version,
        candidates=prices.candidates,
        refused=prices.refused,
    )
    facts = (_submitted(task), admitted)
    fresh = task.model_copy(update={"progress": (Progress.QUEUED,) * len(task.documents)})
    return Decision(evolve(fresh, *facts), facts)


def _submitted(task: Task) -> TaskSubmitted:
    return TaskSubmitted(
        workflow=task.workflow,
        documents=task.documents,
        taxonomy=task.taxonomy,
        submitted_by=task.submitted_by,
        budget_micro_usd=task.budget,
        priority=task.priority,
    )


def reject(task: Task, code: str, reason: str, *, left: int | None = None, prices: str = "") -> Decision:
    """Refuse a new task, keeping the refusal on record; `left` is what its tenant has left, in micro-USD."""
    rejected = TaskRejected(
        code=code, reason=reason, asked_micro_usd=task.budget, left_micro_usd=left, price_version=prices
    )
    facts = (_submitted(task), rejected)
    stopped = {"reason": reason, "progress": (Progress.CANCELLED,) * len(task.documents)}
    return Decision(evolve(task, *facts).model_copy(update=stopped), facts)


def place(task: Task, *, prices: str = "") -> Decision:
    """Choose the cloud; a task that is placed or over stays as it is. `prices` names those in force, here and below."""
    if task.status is not Status.ADMITTED:
        return Decision(task)
    placement = where_to(task)
    fact = TaskPlaced(
        cloud=placement.cloud,
        reason=placement.reason,
        run=task.run,
        documents=len(task.documents),
        priority=task.priority,
        refused=tuple(NotThere(cloud=cloud, reason=reason) for cloud, reason in placement.refused),
        price_version=prices,
        left_micro_usd=task.left,
    )
    return Decision(evolve(task, fact).model_copy(update={"placed_on": placement.cloud}), (fact,))


def park(
    task: Task,
    code: ParkedFor,
    reason: str,
    now: datetime,
    until: datetime | None = None,
    *,
    refused: tuple[Refused, ...] = (),
    prices: str = "",
) -> Decision:
    """Let the task wait; one that waits, or is over, stays as it is."""
    if (task.status, TaskParked.type) not in TASK_MOVES:
        return Decision(task)
    fact = TaskParked(
        code=code,
        reason=reason,
        run=task.run,
        until=until,
        refused=refused,
        price_version=prices,
        left_micro_usd=task.left,
    )
    waits = {"reason": reason, "parked_for": code, "parked_at": now, "parked_until": until}
    return Decision(evolve(task, fact).model_copy(update=waits), (fact,))


def resume(task: Task, reason: str, *, more: int = 0, prices: str = "") -> Decision:
    """Let a parked task go on as its next run, with `more` micro-USD in its budget; any other stays as it is."""
    if task.status is not Status.PARKED:
        return Decision(task)
    run, budget = task.run + 1, task.budget + more
    left = max(0, budget - task.spent)
    fact = TaskResumed(reason=reason, run=run, budget_micro_usd=budget, price_version=prices, left_micro_usd=left)
    goes = {"run": run, "budget": budget, "reason": "", **_UNPARKED}
    return Decision(evolve(task, fact).model_copy(update=goes), (fact,))


def cancel(task: Task, by: str, reason: str) -> Decision:
    """Stop the task; cancelling a cancelled one changes nothing, any other that is over cannot be stopped."""
    if task.status is Status.CANCELLED:
        return Decision(task)
    if task.over:
        raise Permanent(f"the task is already {task.status}", code="already-over")
    fact = TaskCancelled(by=by, reason=reason, placed_on=task.placed_on, run=task.run, lines=task.lines)
    return Decision(evolve(task, fact).model_copy(update={"reason": reason, **_UNPARKED}), (fact,))


def settle(task: Task, outcome: DocumentReviewed | DocumentFailed) -> Decision:
    """Note what became of a document and, when it was the last one, of the task.

    A document that is settled already changes nothing.
    """
    if is_settled(task, outcome.document):
        return Decision(task)
    after = evolve(task, outcome)
    if not all(done in SETTLED for done in after.progress):
        return Decision(after, (outcome,))
    end = _end_of(after, outcome)
    ended = {"reason": getattr(end, "reason", ""), **_UNPARKED}
    return Decision(evolve(after, end).model_copy(update=ended), (outcome, end))


def is_settled(task: Task, document: int) -> bool:
    """Return whether nothing can become of the document any more; Permanent when the task has no such document."""
    return task.over or task.at(document) in SETTLED


def _end_of(task: Task, last: DocumentReviewed | DocumentFailed) -> TaskCompleted | TaskFailed:
    reviewed, failed = (task.progress.count(kind) for kind in (Progress.REVIEWED, Progress.FAILED))
    if reviewed:
        return TaskCompleted(reviewed=reviewed, failed=failed, cost_micro_usd=task.spent, lines=task.lines)
    return TaskFailed(reason=last.reason, cost_micro_usd=task.spent, lines=task.lines)


def check_open(task: Task) -> None:
    """Raise Permanent when the task is over."""
    if task.over:
        raise Permanent(f"the task is {task.status}: {task.reason or 'nothing more to do'}", code="task-over")


def check_running(task: Task) -> None:
    """Raise Permanent when the task is over or does not run now, so that nothing more is paid for it.

    Whoever works for a parked task stops at its next step; what was done is in the journal.
    """
    check_open(task)
    if task.status not in (Status.PLACED, Status.RUNNING):
        raise Permanent(f"the task is {task.status}: {task.reason or 'it is not placed yet'}", code=PARKED)
