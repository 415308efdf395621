"""The `Ledger` port on SQLite: a posting's rows change together, each from the version before, or none does.

Knows how rows lie in tables; must not know what they mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from local.sqlite.database import Database
from shared.core.ledger import Account, Draw, Lease, Posting
from shared.core.ledger_rows import account_from, encode
from shared.errors import Conflict

_ACCOUNT = ("tenant", "version", "body")


def _statements(table: str, keys: Sequence[str], columns: Sequence[str]) -> tuple[str, str]:
    """Return how a row is made and how it is changed; every word is one of this file's or a field's name."""
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    same = " AND ".join(f"{key} = ?" for key in keys)
    return (
        f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608  as the docstring says
        f"UPDATE {table} SET ({names}) = ({marks}) WHERE {same} AND version = ?",  # noqa: S608
    )


_WRITES = {
    Account: _statements("ledger_accounts", ("tenant",), _ACCOUNT),
    Lease: _statements("ledger_leases", ("tenant", "id"), Lease._fields),
    Draw: _statements("ledger_draws", ("tenant", "lease", "id"), Draw._fields),
}
_LEASES = f"SELECT {', '.join(Lease._fields)} FROM ledger_leases"  # noqa: S608  fields' names
_DRAWS = f"SELECT {', '.join(Draw._fields)} FROM ledger_draws"  # noqa: S608
_LEASE_WINDOWS, _DRAW_WINDOWS = Lease._fields.index("windows"), Draw._fields.index("windows")


class SqliteLedger:
    """The `Ledger` port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = database.connection.execute

    def account(self, tenant: str) -> Account:
        """Return the tenant's account; one that was never written is empty, at version 0."""
        row = self._read("SELECT body FROM ledger_accounts WHERE tenant = ?", (tenant,)).fetchone()
        return account_from(row[0]) if row else Account(tenant)

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease, or None when there never was one of that id."""
        row = self._read(f"{_LEASES} WHERE tenant = ? AND id = ?", (tenant, lease)).fetchone()
        return _lease(row) if row else None

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw, or None when there never was one of that id."""
        row = self._read(f"{_DRAWS} WHERE tenant = ? AND lease = ? AND id = ?", (tenant, lease, draw)).fetchone()
        return _draw(row) if row else None

    def post(self, posting: Posting) -> None:
        """Write all rows or none; Conflict unless each is stored at one version less than it brings."""
        with self._database.transaction() as connection:
            write_posting(connection, posting)

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return up to `limit` of the tenant's leases in the order of their ids."""
        return [
            _lease(row)
            for row in self._read(f"{_LEASES} WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?", (tenant, after, limit))
        ]

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return up to `limit` of the lease's draws in the order of their ids."""
        asked = f"{_DRAWS} WHERE tenant = ? AND lease = ? AND id > ? ORDER BY id LIMIT ?"
        return [_draw(row) for row in self._read(asked, (tenant, lease, after, limit))]

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return up to `limit` leases of any tenant, open or closing, whose time is over by `at`, the oldest first."""
        due = "state IN ('open', 'closing') AND expires_at <= ?"
        asked = f"{_LEASES} WHERE {due} ORDER BY expires_at, tenant, id LIMIT ?"
        return [_lease(row) for row in self._read(asked, (at.timestamp(), limit))]


def write_posting(connection: sqlite3.Connection, posting: Posting) -> None:
    """Write a posting's rows in the transaction that is open; Conflict when one of them moved on."""
    account, lease, draw = posting
    if account is not None:
        values = (account.tenant, account.version, encode(account))
        _write(connection, account, values, (account.tenant,))
    if lease is not None:
        _write(connection, lease, _values(lease, _LEASE_WINDOWS), (lease.tenant, lease.id))
    if draw is not None:
        _write(connection, draw, _values(draw, _DRAW_WINDOWS), (draw.tenant, draw.lease, draw.id))


def _write(connection: sqlite3.Connection, row: Account | Lease | Draw, values: Any, key: tuple[str, ...]) -> None:  # noqa: ANN401  a row of columns
    made, changed = _WRITES[type(row)]
    if row.version == 1:
        done = connection.execute(made, values)
    else:
        done = connection.execute(changed, (*values, *key, row.version - 1))
    if done.rowcount == 0:
        raise Conflict(f"{type(row).__name__.lower()} {key[-1]} is no longer at version {row.version - 1}")


def _values(row: Lease | Draw, windows: int) -> tuple[Any, ...]:
    return (*row[:windows], " ".join(row.windows), *row[windows + 1 :])


def _lease(row: tuple[Any, ...]) -> Lease:
    return Lease._make([*row[:_LEASE_WINDOWS], tuple(row[_LEASE_WINDOWS].split()), *row[_LEASE_WINDOWS + 1 :]])


def _draw(row: tuple[Any, ...]) -> Draw:
    return Draw._make([*row[:_DRAW_WINDOWS], tuple(row[_DRAW_WINDOWS].split()), *row[_DRAW_WINDOWS + 1 :]])
