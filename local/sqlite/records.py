"""The system of record on SQLite, standing in for Spanner: the same rows, the same one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from local.sqlite.database import Database
from shared.core.recording import (
    WINDOW,
    AuditRow,
    BillingRow,
    EntityRecord,
    Parked,
    Recording,
    Verdict,
    decide,
    keep,
    skip,
)
from shared.events.catalog import AnyEvent
from shared.ports import START, Cursor

_Decision = Callable[[EntityRecord, dict[int, Parked]], Recording]


def _columns(row: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads a row's fields in order (`dataclasses.astuple` copies each of them deeply)."""
    return attrgetter(*(field.name for field in fields(row)))


_entity_values, _billing_values, _parked_values = map(_columns, (EntityRecord, BillingRow, Parked))
# Left to itself, the planner reads a tenant's whole trail in key order to find the few rows of a task.
_AUDIT_OF = {True: "record_audit INDEXED BY record_audit_by_task", False: "record_audit"}
_BILLING_MARKS = ", ".join("?" * len(BillingRow.__dataclass_fields__))
_BILLING_OF = {True: "record_billing INDEXED BY record_billing_by_task", False: "record_billing"}
_PAGE = "AND (entity, sequence) > (?, ?) ORDER BY entity, sequence LIMIT ?"
_MET = """
SELECT IFNULL(MAX(last), 0), IFNULL(MAX(chain), ''),
  EXISTS (SELECT 1 FROM record_parked WHERE tenant = ?1 AND entity = ?2)
FROM record_entities WHERE tenant = ?1 AND entity = ?2
"""
_audit_head = attrgetter("tenant", "entity", "sequence", "event_id", "type", "task")


class SqliteRecords:
    """The `Records` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, event: AnyEvent, at: datetime) -> Verdict:
        """Record the event, all its rows in one transaction."""
        return self._record(
            event.tenant, event.entity, event.sequence, lambda record, waiting: decide(record, waiting, event, at)
        )

    def park(self, poison: Parked) -> Verdict:
        """Keep a message that cannot be read."""
        return self._record(
            poison.tenant, poison.entity, poison.sequence, lambda record, waiting: keep(record, waiting, poison)
        )

    def skip(self, tenant: str, entity: str, sequence: int, *, by: str, reason: str, at: datetime) -> Verdict:
        """Settle the number that holds the entity back."""
        return self._record(
            tenant, entity, sequence, lambda record, waiting: skip(record, waiting, sequence, by, reason, at)
        )

    def head(self, tenant: str, entity: str) -> EntityRecord:
        """Return how far the entity's record goes."""
        return _head(self._database.connection, tenant, entity)

    def history(
        self,
        tenant: str,
        *,
        task: str | None = None,
        entity: str | None = None,
        after: Cursor = START,
        limit: int = 1000,
    ) -> Sequence[AuditRow]:
        """Return applied events in the order of entities and numbers."""
        where, values = _where(tenant=tenant, task=task, entity=entity)
        rows = self._database.connection.execute(
            f"SELECT * FROM {_AUDIT_OF[task is not None]} {where} {_PAGE}",  # noqa: S608  fixed words
            (*values, *after, limit),
        )
        return [AuditRow(*(*row[:6], datetime.fromisoformat(row[6]), *row[7:])) for row in rows]

    def bill(
        self, tenant: str, *, task: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[BillingRow]:
        """Return what was used."""
        where, values = _where(tenant=tenant, task=task)
        rows = self._database.connection.execute(
            f"SELECT * FROM {_BILLING_OF[task is not None]} {where} {_PAGE}",  # noqa: S608  fixed words
            (*values, *after, limit),
        )
        return [BillingRow(*row) for row in rows]

    def spent(self, tenant: str, *, task: str | None = None) -> int:
        """Return the sum of the whole bill."""
        where, values = _where(tenant=tenant, task=task)
        total: int = self._database.connection.execute(
            f"SELECT IFNULL(SUM(cost_micro_usd), 0) FROM {_BILLING_OF[task is not None]} {where}",  # noqa: S608  fixed words
            values,
        ).fetchone()[0]
        return total

    def parked(
        self, tenant: str, *, entity: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[Parked]:
        """Return what waits."""
        where, values = _where(tenant=tenant, entity=entity)
        rows = self._database.connection.execute(
            f"SELECT * FROM record_parked {where} {_PAGE}",  # noqa: S608  fixed words
            (*values, *after, limit),
        )
        return [_parked_from(row) for row in rows]

    def _record(self, tenant: str, entity: str, sequence: int, decision: _Decision) -> Verdict:
        """Write what the decision says, and go on while parked items are due; the first verdict is the message's."""
        recording = self._write_once(tenant, entity, sequence, decision)
        verdict = recording.verdict
        while recording.more:
            recording = self._write_once(tenant, entity, sequence, decision)
        return verdict

    def _write_once(self, tenant: str, entity: str, sequence: int, decision: _Decision) -> Recording:
        with self._database.transaction() as connection:
            record, parked = _met(connection, tenant, entity)
            recording = decision(record, _waiting(connection, record, sequence) if parked else {})
            _write(connection, recording, parked=parked)
        return recording


def _where(**named: str | None) -> tuple[str, tuple[str, ...]]:
    given = {name: value for name, value in named.items() if value is not None}
    return "WHERE " + " AND ".join(f"{name} = ?" for name in given), tuple(given.values())


def _head(connection: sqlite3.Connection, tenant: str, entity: str) -> EntityRecord:
    row = connection.execute(
        "SELECT * FROM record_entities WHERE tenant = ? AND entity = ?", (tenant, entity)
    ).fetchone()
    return EntityRecord(*row) if row else EntityRecord(tenant, entity)


def _met(connection: sqlite3.Connection, tenant: str, entity: str) -> tuple[EntityRecord, bool]:
    """Return how far the entity's record goes, and whether anything is parked for it."""
    last, chain, parked = connection.execute(_MET, (tenant, entity)).fetchone()
    return EntityRecord(tenant, entity, last, chain), bool(parked)


def _waiting(connection: sqlite3.Connection, record: EntityRecord, sequence: int) -> dict[int, Parked]:
    """The first parked items after the last applied number, and the one at `sequence`."""
    rows = connection.execute(
        "SELECT * FROM (SELECT * FROM record_parked WHERE tenant = ?1 AND entity = ?2 AND sequence > ?3"
        " ORDER BY sequence LIMIT ?4)"
        " UNION SELECT * FROM record_parked WHERE tenant = ?1 AND entity = ?2 AND sequence = ?5 AND sequence > ?3",
        (record.tenant, record.entity, record.last, WINDOW, sequence),
    )
    return {item.sequence: item for item in map(_parked_from, rows)}


def _parked_from(row: tuple[Any, ...]) -> Parked:
    return Parked(*(*row[:6], datetime.fromisoformat(row[6])))


def _write(connection: sqlite3.Connection, recording: Recording, *, parked: bool) -> None:
    if recording.park is not None:
        values = (*_parked_values(recording.park)[:6], recording.park.at.isoformat())
        connection.execute("INSERT OR REPLACE INTO record_parked VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    if not recording.audit:
        return
    record = recording.record
    connection.execute("INSERT OR REPLACE INTO record_entities VALUES (?, ?, ?, ?)", _entity_values(record))
    connection.executemany(
        "INSERT INTO record_audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_audit_values, recording.audit)
    )
    if recording.billing:
        connection.executemany(
            f"INSERT INTO record_billing VALUES ({_BILLING_MARKS})",  # noqa: S608  as many marks as fields
            map(_billing_values, recording.billing),
        )
    if parked:
        connection.execute(
            "DELETE FROM record_parked WHERE tenant = ? AND entity = ? AND sequence <= ?",
            (record.tenant, record.entity, record.last),
        )


def _audit_values(row: AuditRow) -> tuple[str | int, ...]:
    return (*_audit_head(row), row.time.isoformat(), row.body, row.hash)
