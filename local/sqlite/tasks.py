"""Tasks, outbox, journal and approvals on SQLite: one transaction writes what one decision said, its money included."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache

from local.sqlite.database import Database
from local.sqlite.ledger import write_posting
from shared.core.approval import Approval
from shared.core.journal import Entry
from shared.core.task import Task
from shared.errors import Conflict, Duplicate, NotFound
from shared.events.catalog import AnyEvent, encode, parse
from shared.ports import Change


class SqliteTasks:
    """The `Tasks` port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = database.connection.execute

    def load(self, tenant: str, task: str) -> Task:
        """Return the task; NotFound when the tenant has none of that id."""
        row = self._read("SELECT body FROM tasks WHERE tenant = ? AND id = ?", (tenant, task)).fetchone()
        if row is None:
            raise NotFound(f"no task {task!r}")
        return _task(row[0])

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return the number of the entity's latest event."""
        row = self._read("SELECT last FROM sequences WHERE tenant = ? AND entity = ?", (tenant, entity)).fetchone()
        return row[0] if row else 0

    def commit(self, change: Change) -> None:
        """Write all of a decision or nothing; Conflict or Duplicate when it came too late."""
        with self._database.transaction() as connection:
            _claim(connection, change)
            _write_task(connection, change)
            _note_parked(connection, change.task)
            _write_events(connection, change.events)
            _write_belongings(connection, change)
            if change.posting is not None:
                write_posting(connection, change.posting)

    def note(self, events: tuple[AnyEvent, ...]) -> None:
        """Write events that change no task, all or none; Conflict when they came too late."""
        with self._database.transaction() as connection:
            _write_events(connection, events)

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` tasks in the order of their ids."""
        rows = self._read(
            "SELECT body FROM tasks WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?", (tenant, after, limit)
        )
        return [Task.model_validate_json(body) for (body,) in rows]

    def parked(self, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` parked tasks of any tenant, those that wait longest first, behind the one named."""
        asked = "SELECT tenant, id FROM parked WHERE in_line > ? ORDER BY in_line LIMIT ?"
        rows = self._read(asked, (after, limit)).fetchall()
        return [self.load(tenant, task) for tenant, task in rows]


@lru_cache(maxsize=256)
def _task(body: str) -> Task:
    """Return what a text says; nearly every task is read again before anything changes it."""
    return Task.model_validate_json(body)


def _claim(connection: sqlite3.Connection, change: Change) -> None:
    if change.claim is None:
        return
    done = connection.execute(
        "INSERT INTO inbox VALUES (?) ON CONFLICT DO NOTHING", (f"{change.task.tenant}:{change.claim}",)
    )
    if done.rowcount == 0:
        raise Duplicate(f"{change.claim} was handled before")


def _write_task(connection: sqlite3.Connection, change: Change) -> None:
    task = change.task
    if change.expected == 0:
        done = connection.execute(
            "INSERT INTO tasks VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (task.tenant, task.id, task.version, task.model_dump_json()),
        )
    else:
        done = connection.execute(
            "UPDATE tasks SET version = ?, body = ? WHERE tenant = ? AND id = ? AND version = ?",
            (task.version, task.model_dump_json(), task.tenant, task.id, change.expected),
        )
    if done.rowcount == 0:
        raise Conflict(f"task {task.id} is no longer at version {change.expected}")


def _note_parked(connection: sqlite3.Connection, task: Task) -> None:
    """Keep the index of parked tasks; only one that goes on or ends can have been parked."""
    if task.parked_at is not None:
        connection.execute("INSERT OR REPLACE INTO parked VALUES (?, ?, ?)", (task.tenant, task.id, task.in_line))
    elif task.over or task.run > 1:
        connection.execute("DELETE FROM parked WHERE tenant = ? AND id = ?", (task.tenant, task.id))


def _write_events(connection: sqlite3.Connection, events: tuple[AnyEvent, ...]) -> None:
    if not events:
        return
    first, last = events[0], events[-1]
    if not _advance(connection, first.tenant, first.entity, first.sequence - 1, last.sequence):
        raise Conflict(f"the events of {first.entity} are no longer at {first.sequence - 1}")
    connection.executemany(
        "INSERT INTO outbox (id, tenant, entity, body) VALUES (?, ?, ?, ?)",
        [(event.id, event.tenant, event.entity, encode(event)) for event in events],
    )


def _advance(connection: sqlite3.Connection, tenant: str, entity: str, before: int, after: int) -> bool:
    """Move the entity's sequence, if it still is where it was when the decision was made."""
    if before == 0:
        done = connection.execute(
            "INSERT INTO sequences VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (tenant, entity, after)
        )
    else:
        done = connection.execute(
            "UPDATE sequences SET last = ? WHERE tenant = ? AND entity = ? AND last = ?",
            (after, tenant, entity, before),
        )
    return done.rowcount == 1


def _write_belongings(connection: sqlite3.Connection, change: Change) -> None:
    entry = change.entry
    if entry is not None:
        connection.execute(
            "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?, ?)",
            (entry.tenant, entry.task, entry.document, entry.step, entry.model_dump_json()),
        )
    for approval in change.approvals:
        connection.execute(
            "INSERT OR REPLACE INTO approvals VALUES (?, ?, ?, ?)",
            (approval.tenant, approval.id, approval.status, approval.model_dump_json()),
        )


class SqliteOutbox:
    """The `Outbox` port; a sent event leaves the table, the record keeps it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unsent(self, *, limit: int, tenant: str | None = None, entity: str | None = None) -> Sequence[AnyEvent]:
        """Return the oldest unsent events."""
        rows = self._database.connection.execute(
            "SELECT body FROM outbox WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR entity = ?2)"
            " ORDER BY position LIMIT ?3",
            (tenant, entity, limit),
        )
        return [parse(body) for (body,) in rows]

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Forget events that were published."""
        with self._database.joined() as connection:
            connection.executemany("DELETE FROM outbox WHERE id = ?", [(event.id,) for event in events])


class SqliteJournal:
    """The `Journal` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, tenant: str, task: str, document: int, step: str) -> Entry | None:
        """Return the step's entry, or None."""
        row = self._database.connection.execute(
            "SELECT body FROM journal WHERE tenant = ? AND task = ? AND document = ? AND step = ?",
            (tenant, task, document, step),
        ).fetchone()
        return Entry.model_validate_json(row[0]) if row else None


class SqliteApprovals:
    """The `Approvals` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, tenant: str, approval: str) -> Approval:
        """Return the approval; NotFound when the tenant has none of that id."""
        row = self._database.connection.execute(
            "SELECT body FROM approvals WHERE tenant = ? AND id = ?", (tenant, approval)
        ).fetchone()
        if row is None:
            raise NotFound(f"no approval {approval!r}")
        return Approval.model_validate_json(row[0])

    def pending(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Approval]:
        """Return up to `limit` undecided approvals in the order of their ids."""
        rows = self._database.connection.execute(
            "SELECT body FROM approvals WHERE tenant = ? AND status = 'pending' AND id > ? ORDER BY id LIMIT ?",
            (tenant, after, limit),
        )
        return [Approval.model_validate_json(body) for (body,) in rows]
