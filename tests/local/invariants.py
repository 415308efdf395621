"""What must hold in a fabric at rest, however it got there: checked against its tables, not by its own reports.

May read every table and fold events with the task's own transitions; must write nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from local.sqlite.ledger import SqliteLedger
from local.sqlite.records import SqliteRecords
from shared.app.leases import lease_id
from shared.core.recording import EntityRecord, extend
from shared.core.task import Progress, Status, Task, evolve
from shared.errors import Permanent
from shared.events.catalog import AnyEvent, parse

if TYPE_CHECKING:
    import sqlite3

    from local.sqlite.database import Database

_ENDS = ("document.reviewed", "document.failed")
_EMPTY_AT_REST = ("outbox", "messages", "dead_letters", "record_parked")


def problems(database: Database, submitted: Collection[Path] = ()) -> list[str]:
    """Return what is wrong, a sentence each; `submitted` are documents that must have ended or wait for a human."""
    seen = _Seen(database)
    return [
        *_lost(seen, submitted),
        *_not_ended_once(seen),
        *_out_of_order(seen),
        *_told_otherwise(seen),
        *_miscounted(seen),
        *_left_behind(seen),
    ]


@dataclass(frozen=True)
class _Seen:
    """The tables, read once each."""

    database: Database

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query."""
        return self._connection.execute(query, values).fetchall()

    @property
    def _connection(self) -> sqlite3.Connection:
        return self.database.connection

    @cached_property
    def tasks(self) -> list[Task]:
        """All tasks."""
        return [Task.model_validate_json(body) for (body,) in self.rows("SELECT body FROM tasks ORDER BY id")]

    @cached_property
    def events(self) -> dict[str, list[AnyEvent]]:
        """The recorded events, by task, in their order."""
        found: dict[str, list[AnyEvent]] = defaultdict(list)
        for (body,) in self.rows("SELECT body FROM record_audit ORDER BY entity, sequence"):
            event = parse(body)
            found[event.taskid].append(event)
        return found

    @cached_property
    def pending(self) -> set[tuple[str, int]]:
        """Task and document of each approval that nobody decided."""
        stored = (json.loads(body) for (body,) in self.rows("SELECT body FROM approvals WHERE status = 'pending'"))
        over = {task.id for task in self.tasks if task.over}
        return {(each["task"], each["document"]) for each in stored if each["task"] not in over}


def _lost(seen: _Seen, submitted: Collection[Path]) -> Iterator[str]:
    tasks = Counter(ref.uri for task in seen.tasks for ref in task.documents)
    for path in submitted:
        found = tasks["file://" + quote(str(path.resolve()), errors="surrogateescape")]
        if found != 1:
            yield f"{path.name} is in {found} tasks"


def _not_ended_once(seen: _Seen) -> Iterator[str]:
    for task in seen.tasks:
        ends = Counter(event.data.document for event in seen.events[task.id] if event.type in _ENDS)
        for position in range(len(task.documents)):
            waits = (task.id, position) in seen.pending
            allowed = {0, 1} if task.status in {Status.CANCELLED, Status.REJECTED} else {1}
            if ends[position] + waits not in allowed:
                yield f"document {position} of task {task.id} ended {ends[position]} times, waits: {waits}"


def _out_of_order(seen: _Seen) -> Iterator[str]:
    records = SqliteRecords(seen.database)
    home = seen.rows("SELECT tenant, entity, last FROM sequences")
    for tenant, entity, last in home:
        rows = records.history(tenant, entity=entity, limit=1_000_000)
        numbers = [row.sequence for row in rows]
        if numbers != list(range(1, last + 1)):
            yield f"{entity} has the numbers {numbers}, not 1 to {last}"
        chained = extend(EntityRecord(tenant, entity), rows)
        if chained != records.head(tenant, entity) or chained.last != last:
            yield f"the chain of {entity} holds up to {chained.last} of {last}"
    strangers = {entity for (entity,) in seen.rows("SELECT entity FROM record_entities")} - {row[1] for row in home}
    for entity in sorted(strangers):
        yield f"{entity} is recorded and was never committed"


def _told_otherwise(seen: _Seen) -> Iterator[str]:
    """Fold each task's events with the task's own transitions: they must tell what is stored."""
    for task in seen.tasks:
        fresh = task.model_copy(update={"status": Status.NEW, "progress": (Progress.QUEUED,) * len(task.documents)})
        try:
            mine = (event for event in seen.events[task.id] if event.type != "task.throttled")  # it was no task then
            told = evolve(fresh, *(event.data for event in mine))
        except Permanent as impossible:
            yield f"the events of task {task.id} cannot be: {impossible}"
            continue
        if (told.status, told.progress) != (task.status, task.progress):
            yield f"the events of task {task.id} tell {told.status} {told.progress}, stored is {task.progress}"
        if task.waiting != sum(owner == task.id for owner, _ in seen.pending):
            yield f"{task.waiting} documents of task {task.id} wait, but not as many approvals"


_BILLED = frozenset({"usage.metered", "usage.corrected", "usage.saved"})


def _billed(event: AnyEvent) -> int:
    """Return what an event adds to the bill."""
    used = event.data
    if event.type == "usage.saved":
        return 0
    return int(used.cost_micro_usd - getattr(used, "was_micro_usd", 0))


def _miscounted(seen: _Seen) -> Iterator[str]:
    """Compare four accounts of the same money: the events, the bill, the task, and the ledger."""
    bills = dict(seen.rows("SELECT event_id, cost_micro_usd FROM record_billing WHERE outcome != 'closed'"))
    used = {event.id: _billed(event) for events in seen.events.values() for event in events if event.type in _BILLED}
    if bills != used:
        yield f"{len(bills)} bills and {len(used)} usages differ"
    for task in seen.tasks:
        lines, wrong = _lines_of(seen.events[task.id])
        yield from (f"the bill of task {task.id} {what}" for what in wrong)
        if sorted(lines) != list(range(1, task.lines + 1)):
            yield f"the bill of task {task.id} has the lines {sorted(lines)}, not 1 to {task.lines}"
        billed = seen.rows("SELECT COALESCE(SUM(cost_micro_usd), 0) FROM record_billing WHERE task = ?", task.id)[0][0]
        if task.spent != billed:
            yield f"task {task.id} spent {task.spent} and was billed {billed}"
        yield from _paid_twice(seen, task)
        yield from _unsettled(seen, task)


def _lines_of(events: list[AnyEvent]) -> tuple[dict[int, int], list[str]]:
    """Return the lines of a bill with their last amounts, and what is wrong with how they came about."""
    lines: dict[int, int] = {}
    wrong = []
    for said in (event.data for event in events if event.type in {"usage.metered", "usage.corrected"}):
        if lines.get(said.line) != getattr(said, "was_micro_usd", None):
            wrong.append(f"says something else of line {said.line} than before")
        lines[said.line] = said.cost_micro_usd
    return lines, wrong


def _paid_twice(seen: _Seen, task: Task) -> Iterator[str]:
    answers = Counter(
        (event.data.document, event.data.step)
        for event in seen.events[task.id]
        if event.type == "usage.metered" and event.data.outcome == "answered"
    )
    twice = [what for what, count in answers.items() if count > 1]
    if twice:
        yield f"task {task.id} paid more than once for {twice}"


def _unsettled(seen: _Seen, task: Task) -> Iterator[str]:
    """A task that is over holds no money, and its lease paid what its bill says."""
    lease = SqliteLedger(seen.database).lease(task.tenant, lease_id(task.id))
    if lease is None:
        if task.status is not Status.REJECTED:
            yield f"task {task.id} has no lease"
        return
    if task.over and lease.state == "open":
        yield f"the lease of task {task.id} is still open"
    if lease.held or lease.settled != task.spent:
        yield f"task {task.id} spent {task.spent}, its lease paid {lease.settled} and holds {lease.held}"


def _left_behind(seen: _Seen) -> Iterator[str]:
    for table in _EMPTY_AT_REST:
        count = seen.rows(f"SELECT COUNT(*) FROM {table}")[0][0]  # noqa: S608  fixed words
        if count:
            yield f"{count} rows are left in {table}"
    if not seen.rows("SELECT 1 FROM sqlite_master WHERE name = 'durable_instances'"):
        return
    running = Counter(
        name
        for (name,) in seen.rows(
            "SELECT name FROM durable_instances WHERE status IN ('Pending', 'Running', 'Suspended')"
        )
    )
    waiting = {"approval_checkpoint_v1": len(seen.pending), "review_v1": len({task for task, _ in seen.pending})}
    if running != Counter(waiting):
        yield f"orchestrations at work: {dict(running)}, for the humans needed: {waiting}"
