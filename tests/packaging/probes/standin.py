"""The ports that deployed handlers find through AGENTFABRIC_PORTS=standin:ports: what a request needs, in memory."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.app.learned import Learned
from shared.core.ledger import Account, Posting
from shared.core.policy import Policy, TenantPolicy
from shared.core.task import Status, Task
from shared.errors import NotFound
from shared.events.document import DocumentRef
from shared.ports import Ports, Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.recording import Verdict
    from shared.events.catalog import AnyEvent
    from shared.ports import Change

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TENANTS = {name: TenantPolicy() for name in ("local", "acme", "9188040d-6c67-4c5b-b112-36a304b66dad")}
POLICY = Policy(tenants=TENANTS)


class Memory:
    """Tasks, outbox, bus, documents, approvals and records of one process."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.outbox: list[AnyEvent] = []
        self.kept: dict[str, bytes] = {}
        self.started: list[str] = []

    def load(self, tenant: str, task: str) -> Task:
        """Return the task."""
        if task not in self.tasks:
            raise NotFound(f"{tenant} has no task {task}")
        return self.tasks[task]

    def place(self, tenant: str, task: str) -> None:
        """Keep a task of one document, as if it had been submitted."""
        one = self.write(b"A report.", "text/plain", "report.txt")
        self.tasks[task] = Task(
            id=task,
            tenant=tenant,
            entity="package-a",
            workflow="document-review",
            documents=(one,),
            taxonomy=one,
            may_ask=True,
            budget=1,
            submitted_by="ann",
            submitted_at=NOON,
            status=Status.PLACED,
        )

    def parked(self, **_: Any) -> Sequence[Task]:
        """Return that nothing waits."""
        return ()

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return that nothing was said of the entity yet."""
        return len([event for event in self.outbox if (event.tenant, event.partitionkey) == (tenant, entity)])

    def commit(self, change: Change) -> None:
        """Keep what was decided."""
        self.tasks[change.task.id] = change.task
        self.outbox += change.events

    def unsent(self, **_: Any) -> Sequence[AnyEvent]:
        """Return everything that was said."""
        return self.outbox

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Note nothing."""

    def publish(self, messages: Sequence[Any]) -> None:
        """Send nothing."""

    def account(self, tenant: str) -> Account:
        """Return that nothing was spent yet."""
        return Account(tenant)

    def lease(self, _tenant: str, _lease: str) -> None:
        """Return that nothing is leased."""

    def post(self, posting: Posting) -> None:
        """Book nothing."""

    def start(self, _workflow: str, name: str, _given: Any) -> None:
        """Note the start."""
        self.started.append(name)

    def read(self, ref: DocumentRef) -> bytes:
        """Return the bytes of that hash."""
        return self.kept[ref.sha256]

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Keep the bytes under their hash."""
        digest = hashlib.sha256(content).hexdigest()
        self.kept[digest] = content
        return DocumentRef(uri=f"blob:{digest}", sha256=digest, size=len(content), media_type=media_type, name=name)

    def find(self, tenant: str, approval: str) -> Any:
        """Return that nobody was asked."""
        raise NotFound(f"{tenant} has no approval {approval}")

    def apply(self, event: AnyEvent, at: datetime) -> Verdict:
        """Write the event's id where the test looks."""
        Path(os.environ["APPLIED"]).write_text(f"{event.id} {at:%H:%M}", encoding="utf-8")
        return "applied"


class Unset:
    """Settings that nobody wrote."""

    def read(self, name: str) -> Setting:
        """Return the setting as it is before anybody writes it."""
        return Setting(name)

    def write(self, setting: Setting) -> None:
        """Refuse."""
        raise NotFound(f"nobody keeps {setting.name} here")


@cache
def memory() -> Memory:
    """Return this process's memory."""
    return Memory()


def ports() -> Ports:
    """Return ports on it."""
    all_of_it: Any = memory()
    return Ports(
        tasks=all_of_it,
        outbox=all_of_it,
        bus=all_of_it,
        journal=all_of_it,
        approvals=all_of_it,
        documents=all_of_it,
        models=all_of_it,
        pipelines=all_of_it,
        records=all_of_it,
        ledger=all_of_it,
        cache=None,
        learned=Learned(),
        settings=Unset(),
        policy=lambda: POLICY,
        now=lambda: NOON,
    )
