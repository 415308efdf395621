"""The system of record on SQLite, standing in for Spanner: the same rows, the same one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime

from local.sqlite.database import Database
from shared.core.recording import AuditRow, BillingRow, EntityRecord, Parked, Recording, Verdict, decide
from shared.events.catalog import AnyEvent, parse


class SqliteRecords:
    """The `Records` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, event: AnyEvent, at: datetime) -> Verdict:
        """Record the event, all its rows in one transaction."""
        with self._database.transaction() as connection:
            record = _record(connection, event.tenant, event.entity)
            recording = decide(record, _waiting(connection, record), event, at)
            _write(connection, recording)
        return recording.verdict

    def park(self, poison: Parked) -> None:
        """Keep a message that cannot be read; the first one of a number stays."""
        with self._database.transaction() as connection:
            _park(connection, poison)

    def history(
        self,
        tenant: str,
        *,
        task: str | None = None,
        entity: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> Sequence[AuditRow]:
        """Return applied events in their entity's order."""
        rows = self._database.connection.execute(
            "SELECT * FROM record_audit WHERE tenant = ?1 AND (?2 IS NULL OR task = ?2) AND (?3 IS NULL OR entity = ?3)"
            " AND sequence > ?4 ORDER BY entity, sequence LIMIT ?5",
            (tenant, task, entity, after, limit),
        )
        return [
            AuditRow(*head, datetime.fromisoformat(time), body, chained)
            for *head, time, body, chained in rows
        ]

    def bill(self, tenant: str, *, task: str | None = None) -> Sequence[BillingRow]:
        """Return what was used."""
        rows = self._database.connection.execute(
            "SELECT * FROM record_billing WHERE tenant = ?1 AND (?2 IS NULL OR task = ?2) ORDER BY entity, sequence",
            (tenant, task),
        )
        return [BillingRow(*row) for row in rows]

    def parked(self, tenant: str, *, entity: str | None = None) -> Sequence[Parked]:
        """Return what waits."""
        rows = self._database.connection.execute(
            "SELECT * FROM record_parked WHERE tenant = ?1 AND (?2 IS NULL OR entity = ?2) ORDER BY entity, sequence",
            (tenant, entity),
        )
        return [Parked(*head, datetime.fromisoformat(at)) for *head, at in rows]


def _record(connection: sqlite3.Connection, tenant: str, entity: str) -> EntityRecord:
    row = connection.execute(
        "SELECT * FROM record_entities WHERE tenant = ? AND entity = ?", (tenant, entity)
    ).fetchone()
    return EntityRecord(*row) if row else EntityRecord(tenant, entity)


def _waiting(connection: sqlite3.Connection, record: EntityRecord) -> dict[int, AnyEvent]:
    rows = connection.execute(
        "SELECT sequence, body FROM record_parked WHERE tenant = ? AND entity = ? AND cause = 'gap'",
        (record.tenant, record.entity),
    )
    return {sequence: parse(body) for sequence, body in rows}


def _write(connection: sqlite3.Connection, recording: Recording) -> None:
    if recording.park is not None:
        _park(connection, recording.park)
    if recording.record is None:
        return
    connection.execute(
        "INSERT OR REPLACE INTO record_entities VALUES (?, ?, ?, ?)", astuple(recording.record)
    )
    connection.executemany(
        "INSERT INTO record_audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [_audit_values(row) for _, row in recording.applied],
    )
    connection.executemany(
        "INSERT INTO record_billing VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [astuple(row) for row in recording.billing],
    )
    connection.execute(
        "DELETE FROM record_parked WHERE tenant = ? AND entity = ? AND sequence <= ?",
        astuple(recording.record)[:3],
    )


def _audit_values(row: AuditRow) -> tuple[str | int, ...]:
    return (*astuple(row)[:6], row.time.isoformat(), row.body, row.hash)


def _park(connection: sqlite3.Connection, parked: Parked) -> None:
    values = (*astuple(parked)[:6], parked.at.isoformat())
    connection.execute(
        "INSERT INTO record_parked VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values
    )
