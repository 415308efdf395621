"""The replay hub's rows in SQLite.

May know the tables and the records that they hold. Must not decide anything, and must not know the SDK
or a clock. Every method works inside whatever transaction is open; `transaction` belongs to the database
it was given, so the hub's writes join those of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from local.durable.records import Activity, Event, EventType, Instance, Message, Parent, Query, Status
from local.durable.schema import STATEMENTS


class Transactional(Protocol):
    """A SQLite connection whose transactions nest (`local.sqlite.database.Database` is one)."""

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection, used by one thread at a time."""
        ...

    def transaction(self) -> AbstractContextManager[object]:
        """Commit all that happens inside or nothing; inside another transaction, as a part of that one."""
        ...

    def joined(self) -> AbstractContextManager[object]:
        """Open a transaction where none is; inside another one, its end is what counts."""
        ...


class Store:
    """Instances, histories, messages and activities."""

    def __init__(self, database: Transactional) -> None:
        self._database = database
        self._run = database.connection.execute
        self._run_many = database.connection.executemany
        with self.transaction():
            for statement in STATEMENTS:
                self._run(statement)

    def transaction(self) -> AbstractContextManager[object]:
        """Open a transaction, or a part of the one that is open."""
        return self._database.transaction()

    def joined(self) -> AbstractContextManager[object]:
        """Open a transaction where none is."""
        return self._database.joined()

    # instances

    def instance(self, instance: str) -> Instance | None:
        """Return the instance, None when there is none of this id."""
        row = self._run("SELECT * FROM durable_instances WHERE id = ?", (instance,)).fetchone()
        return None if row is None else _instance(row)

    def save(self, instances: Iterable[Instance]) -> None:
        """Write instances, new or changed."""
        self._run_many(
            "INSERT OR REPLACE INTO durable_instances VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [_row(instance) for instance in instances],
        )

    def children(self, instance: str) -> list[str]:
        """Return the ids of the instance and of all that it started, itself first."""
        rows = self._run(
            "WITH RECURSIVE family (id) AS (SELECT ?1 UNION SELECT child.id FROM durable_instances AS child"
            " JOIN family ON child.parent = family.id) SELECT id FROM family",
            (instance,),
        )
        return [row[0] for row in rows]

    def instances(self, query: Query) -> list[Instance]:
        """Return instances in the order of their creation."""
        created, after = query.after or (None, None)
        statuses = f",{','.join(query.statuses)}," if query.statuses else None
        rows = self._run(
            "SELECT * FROM durable_instances WHERE (?1 IS NULL OR created >= ?1)"
            " AND (?2 IS NULL OR created <= ?2) AND (?3 IS NULL OR instr(?3, ',' || status || ','))"
            " AND substr(id, 1, length(?4)) = ?4 AND (?5 IS NULL OR (created, id) > (?5, ?6))"
            " ORDER BY created, id LIMIT ?7",
            (query.created_from, query.created_to, statuses, query.prefix, created, after, query.limit),
        )
        return [_instance(row) for row in rows]

    def forget(self, instances: Iterable[str]) -> None:
        """Delete instances with all that belongs to them."""
        ids = [(instance,) for instance in instances]
        self._run_many("DELETE FROM durable_history WHERE instance = ?", ids)
        self._run_many("DELETE FROM durable_messages WHERE instance = ?", ids)
        self._run_many("DELETE FROM durable_activities WHERE instance = ?", ids)
        self._run_many("DELETE FROM durable_instances WHERE id = ?", ids)

    # history

    def history(self, instance: str) -> list[Event]:
        """Return the events of the current generation."""
        rows = self._run(
            "SELECT type, body, task, name, action, attempt, remaining FROM durable_history"
            " WHERE instance = ? ORDER BY position",
            (instance,),
        )
        return [Event(EventType(row[0]), *row[1:]) for row in rows]

    def append(self, instance: str, position: int, events: Sequence[Event]) -> None:
        """Add events to a history that has `position` events."""
        self._run_many(
            "INSERT INTO durable_history VALUES (?,?,?,?,?,?,?,?,?)",
            [
                (instance, place, e.type, e.body, e.task, e.name, e.action, e.attempt, e.remaining)
                for place, e in enumerate(events, position)
            ],
        )

    def clear_history(self, instance: str) -> None:
        """Forget the events of an instance."""
        self._run("DELETE FROM durable_history WHERE instance = ?", (instance,))

    # messages

    def send(self, messages: Iterable[Message]) -> None:
        """Put messages on their way."""
        self._run_many(
            "INSERT INTO durable_messages (instance, type, body, due, generation, task, name) VALUES (?,?,?,?,?,?,?)",
            [(m.instance, m.type, m.body, m.due, m.generation, m.task, m.name) for m in messages],
        )

    def first_message(self) -> tuple[int, str] | None:
        """Return when the earliest deliverable message is due, and its instance."""
        row: tuple[int, str] | None = self._run(
            "SELECT due, instance FROM durable_messages WHERE parked = 0 ORDER BY due, id LIMIT 1"
        ).fetchone()
        return row

    def due_messages(self, instance: str, now: int, limit: int) -> list[Message]:
        """Return the instance's deliverable messages, earliest first."""
        rows = self._run(
            "SELECT instance, type, body, due, generation, task, name, id FROM durable_messages"
            " WHERE instance = ? AND parked = 0 AND due <= ? ORDER BY due, id LIMIT ?",
            (instance, now, limit),
        )
        return [Message(row[0], EventType(row[1]), *row[2:]) for row in rows]

    def drop(self, messages: Iterable[Message]) -> None:
        """Delete messages that were taken in, or came too late."""
        self._run_many("DELETE FROM durable_messages WHERE id = ?", [(m.id,) for m in messages])

    def park(self, messages: Iterable[Message]) -> None:
        """Keep messages until `unpark`."""
        self._run_many("UPDATE durable_messages SET parked = 1 WHERE id = ?", [(m.id,) for m in messages])

    def unpark(self, instance: str, names: Iterable[str] | None = None) -> None:
        """Make parked messages deliverable again: events of these names, or all messages."""
        if names is None:
            self._run("UPDATE durable_messages SET parked = 0 WHERE instance = ? AND parked = 1", (instance,))
            return
        self._run_many(
            "UPDATE durable_messages SET parked = 0 WHERE instance = ? AND parked = 1 AND name = ?",
            [(instance, name) for name in names],
        )

    def clear_messages(self, instance: str, *, keep_events: bool = False) -> None:
        """Delete what is on its way to an instance; external events may outlive a generation."""
        kept = EventType.EVENT_RAISED if keep_events else None
        self._run("DELETE FROM durable_messages WHERE instance = ? AND type IS NOT ?", (instance, kept))

    def cancel_timers(self, instance: str, tasks: Iterable[int]) -> None:
        """Delete timers that have not fired."""
        self._run_many(
            "DELETE FROM durable_messages WHERE instance = ? AND type = ? AND task = ?",
            [(instance, EventType.TIMER_FIRED, task) for task in tasks],
        )

    # activities

    def queue(self, activities: Iterable[Activity]) -> None:
        """Let activities wait for being run."""
        self._run_many(
            "INSERT INTO durable_activities (instance, generation, task, name, input, due) VALUES (?,?,?,?,?,?)",
            [(a.instance, a.generation, a.task, a.name, a.input, a.due) for a in activities],
        )

    def first_activity(self) -> int | None:
        """Return when the oldest waiting activity was queued."""
        row = self._run("SELECT due FROM durable_activities WHERE claimed = 0 ORDER BY due, id LIMIT 1").fetchone()
        return None if row is None else row[0]

    def claim(self) -> Activity | None:
        """Take the oldest waiting activity; nobody else gets it until `release_claims`."""
        row = self._run(
            "SELECT instance, generation, task, name, input, due, id FROM durable_activities"
            " WHERE claimed = 0 ORDER BY due, id LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        activity = Activity(*row)
        self._run("UPDATE durable_activities SET claimed = 1 WHERE id = ?", (activity.id,))
        return activity

    def finish(self, activity: Activity) -> bool:
        """Delete a claimed activity; False when it is no longer wanted or was finished by somebody else."""
        return self._run("DELETE FROM durable_activities WHERE id = ?", (activity.id,)).rowcount == 1

    def drop_activities(self, instance: str) -> None:
        """Forget an instance's activities; the result of one that is running will not be wanted."""
        self._run("DELETE FROM durable_activities WHERE instance = ?", (instance,))

    def release_claims(self) -> int:
        """Let activities that were claimed by a dead process wait again; return how many."""
        return self._run("UPDATE durable_activities SET claimed = 0 WHERE claimed = 1").rowcount


def _instance(row: Sequence[Any]) -> Instance:
    parent = None if row[10] is None else Parent(row[10], row[11], row[12])
    fields = (row[0], row[1], row[2], Status(row[3]), *row[4:10], parent, row[13], row[14])
    return Instance(*fields)


def _row(instance: Instance) -> tuple[object, ...]:
    i, parent = instance, instance.parent
    above = (None, None, None) if parent is None else (parent.instance, parent.generation, parent.task)
    head = (i.id, i.name, i.version, i.status, i.generation, i.revision, i.length)
    return (*head, i.input, i.output, i.custom_status, *above, i.created, i.updated)
