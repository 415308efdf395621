"""Tasks, changes and what belongs to them, as the contract of control state stores them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from shared.core import task as tasks
from shared.core.approval import Approval, ApprovalPolicy, Level
from shared.core.journal import Entry
from shared.core.ledger import UNLIMITED, Account, LeaseAsk, Posting, close, open_lease
from shared.core.routes import Route
from shared.core.task import Task
from shared.errors import Transient
from shared.events.catalog import AnyEvent, Cause, follow
from shared.events.document import DocumentRef
from shared.events.task import TaskThrottled
from shared.ports import Approvals, Bus, Change, Journal, Ledger, Outbox, Ports, Tasks
from tests.contracts.fakes import Unneeded, ports_with

if TYPE_CHECKING:
    from shared.core.decision import Decision

AT = datetime(2025, 6, 1, 12, 30, 15, 250_000, tzinfo=UTC)
REF = DocumentRef(uri="blob:" + "a" * 64, sha256="a" * 64, size=5, name="a.txt")


class Store(Protocol):
    """A store of control state under test."""

    tasks: Tasks
    outbox: Outbox
    journal: Journal
    approvals: Approvals
    ledger: Ledger

    def busy(self) -> AbstractContextManager[None]:
        """Make every write inside be refused for a passing reason."""
        ...


@dataclass
class Flaky:
    """A bus that loses the connection, until it is mended."""

    broken: bool = True
    sent: int = 0

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Count the messages, or lose the connection."""
        if self.broken:
            raise Transient("no connection")
        self.sent += len(messages)


def control_ports(store: Store, bus: Bus) -> Ports:
    """Return ports around the store under test and a bus."""
    none: Any = Unneeded()
    return replace(
        ports_with(none, lambda: AT),
        tasks=store.tasks,
        outbox=store.outbox,
        journal=store.journal,
        approvals=store.approvals,
        ledger=store.ledger,
        bus=bus,
    )


def make(name: str = "task-1", *, tenant: str = "acme", entity: str = "package-a") -> Task:
    """Return a task that nobody stored yet."""
    return Task(
        id=name,
        tenant=tenant,
        entity=entity,
        workflow="document-review",
        documents=(REF,),
        taxonomy=REF,
        may_ask=False,
        budget=100_000,
        submitted_by="ann",
        submitted_at=AT,
    )


def cause_of(task: Task, name: str = "cause") -> Cause:
    """Return what leads to a task's events."""
    return Cause(f"{name}-{task.id}", task.tenant, task.id, task.entity, "/test")


def said(task: Task, decision: Decision, after: int, at: datetime = AT) -> tuple[AnyEvent, ...]:
    """Return a decision's events."""
    return follow(cause_of(task), decision.facts, after=after, at=at)


def refusal(*numbers: int) -> tuple[AnyEvent, ...]:
    """Return refusals of acme's, with these numbers."""
    fact = TaskThrottled(
        code="requests",
        reason="too fast",
        retry_after_seconds=0.5,
        workflow="document-review",
        priority="standard",
        policy_version="p1",
        left_micro_usd=7,
        others=3,
    )
    entity = "limits:acme"
    cause = Cause(f"refusal-{numbers[0]}", "acme", "task-1", entity, "/test")
    return follow(cause, [fact] * len(numbers), after=numbers[0] - 1, at=AT)


def submitted(task: Task, *, after: int = 0, claim: str | None = None, at: datetime = AT) -> Change:
    """Return the change that stores a new task with its two events."""
    decision = tasks.submit(task)
    stored = decision.task.model_copy(update={"version": 1})
    return Change(stored, 0, said(task, decision, after, at), claim or f"submit:{task.id}")


def placed(task: Task, *, after: int = 2, claim: str | None = "dispatch") -> Change:
    """Return the change that places a stored task."""
    decision = tasks.place(task)
    moved = decision.task.model_copy(update={"version": task.version + 1})
    return Change(moved, task.version, said(task, decision, after), claim)


def waits(task: Task, *, since: datetime = AT) -> Change:
    """Return the change that parks a stored task."""
    parked = tasks.park(task, "throttled", "too many calls", since, since + timedelta(minutes=5)).task
    return Change(parked.model_copy(update={"version": task.version + 1}), task.version, ())


def onward(task: Task, decision: Decision) -> Change:
    """Return the change that a decision on a stored task is, without what it says."""
    return Change(decision.task.model_copy(update={"version": task.version + 1}), task.version, ())


def parked(store: Store, name: str = "task-1", *, minutes: float = 0, tenant: str = "acme") -> Task:
    """Store a task that was parked that late, and return it as it is loaded."""
    store.tasks.commit(submitted(make(name, tenant=tenant, entity=f"package-of-{name}")))
    store.tasks.commit(waits(store.tasks.load(tenant, name), since=AT + timedelta(minutes=minutes)))
    return store.tasks.load(tenant, name)


def entry_of(task: Task, **values: object) -> Entry:
    """Return an entry of the first document's first step."""
    made = Entry(tenant=task.tenant, task=task.id, document=0, step="extract", tool="extract", input_sha256="b" * 64)
    return made.model_copy(update=values)


def with_text(task: Task, size: int) -> Entry:
    """Return an entry whose result is a text of so many bytes."""
    return entry_of(task, output={"text": "x" * size})


def approval_of(task: Task, name: str = "approval-1") -> Approval:
    """Return an approval of the first document that nobody decided."""
    return Approval(
        id=name,
        tenant=task.tenant,
        task=task.id,
        entity=task.entity,
        run=1,
        document=0,
        name="a.txt",
        reason="copyleft",
        digest="c" * 64,
        policy=ApprovalPolicy(levels=(Level(approvers=("reviewer",), wait=60),)),
        requested_by="ann",
        requested_at=AT,
        deadline=AT + timedelta(seconds=60),
    )


def also(task: Task, **belongings: Entry | tuple[Approval, ...]) -> Change:
    """Return a change of a stored task that says nothing and writes what belongs to it."""
    change = Change(task.model_copy(update={"version": task.version + 1}), task.version, ())
    return replace(change, **belongings)  # type: ignore[arg-type]


def leased(name: str = "lease-1") -> Posting:
    """Return the posting that leases a run's money to it, first of all of its tenant."""
    at = AT.timestamp()
    asked = LeaseAsk(name, "task-1", "document-review", "standard", 100, at, at + 3600)
    return open_lease(Account("acme"), None, asked, UNLIMITED)


def ended(store: Store) -> Posting:
    """Return the posting that ends the stored lease."""
    lease = store.ledger.lease("acme", "lease-1")
    assert lease is not None
    return close(store.ledger.account("acme"), lease)
