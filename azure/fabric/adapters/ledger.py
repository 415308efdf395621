"""The `Ledger` port in the Azure table of the control state: a posting is one batch in the tenant's partition.

Rows are changed under the ETag they were read with and created when they must not exist. Knows how rows lie in the
table; must not know what they mean.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.data.tables import TransactionOperation, UpdateMode

from azure.fabric.adapters import rows
from azure.fabric.adapters.verdicts import verdicts
from shared.core.ledger import DUE, Account, Draw, Lease, Posting
from shared.core.ledger_rows import account_from, draw_from, encode, lease_from
from shared.errors import Conflict, Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from azure.fabric.adapters.tables import Operation, Table

_ACCOUNT, _LEASE, _DRAW = "account", "lease|", "draw|"
# The SDK finds parameters between blanks, and nowhere else.
_DUE = "RowKey gt @low and RowKey lt @high and ExpiresAt le @at and ( State eq @open or State eq @closing )"


class TableLedger:
    """The `Ledger` port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def account(self, tenant: str) -> Account:
        """Return the tenant's account; one that was never written is empty, at version 0."""
        found = self._table.get(tenant, _ACCOUNT)
        return account_from(rows.body_of(found)) if found else Account(tenant)

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease, or None when there never was one of that id."""
        found = self._table.get(tenant, _LEASE + lease) if rows.is_key(lease) else None
        return lease_from(rows.body_of(found)) if found else None

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw, or None when there never was one of that id."""
        known = rows.is_key(lease) and rows.is_key(draw)
        found = self._table.get(tenant, f"{_DRAW}{lease}|{draw}") if known else None
        return draw_from(rows.body_of(found)) if found else None

    def post(self, posting: Posting) -> None:
        """Write all rows or none; Conflict unless each is stored at one version less than it brings."""
        if self._table.write(list(posted(self._table, posting))) is not None:
            raise Conflict("the ledger's rows were changed by somebody else")

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return up to `limit` of the tenant's leases in the order of their ids."""
        found = self._table.between(tenant, _LEASE, after=after, limit=limit)
        return [lease_from(rows.body_of(one)) for one in found]

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return up to `limit` of the lease's draws in the order of their ids."""
        found = self._table.between(tenant, f"{_DRAW}{lease}|", after=after, limit=limit)
        return [draw_from(rows.body_of(one)) for one in found]

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return up to `limit` leases of any tenant whose time is over by `at`, the oldest first; reads all of them."""
        high = _LEASE[:-1] + chr(ord(_LEASE[-1]) + 1)
        words: dict[str, Any] = {"low": _LEASE, "high": high, "at": at.timestamp(), **{state: state for state in DUE}}
        with verdicts("the table"):
            found = self._table.client.query_entities(_DUE, parameters=words)
            due = (lease_from(rows.body_of(one)) for one in found)
            return heapq.nsmallest(limit, due, key=lambda lease: (lease.expires_at, lease.tenant, lease.id))


def posted(table: Table, posting: Posting) -> Iterator[Operation]:
    """Yield what writes a posting, in whatever batch; Conflict when a row has moved on already."""
    for row in posting:
        if row is not None:
            yield _replaced(table, row)


def _replaced(table: Table, row: Account | Lease | Draw) -> Operation:
    key, fields = _key(row)
    fresh = rows.row(row.tenant, key, encode(row), Version=row.version, **fields)
    if row.version == 1:
        return TransactionOperation.CREATE, fresh
    found = table.get(row.tenant, key)
    if found is None or int(found["Version"]) != row.version - 1:
        raise Conflict(f"{key} is no longer at version {row.version - 1}")
    unchanged = {"etag": found.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
    return TransactionOperation.UPDATE, fresh, {"mode": UpdateMode.REPLACE, **unchanged}


def _key(row: Account | Lease | Draw) -> tuple[str, dict[str, object]]:
    """Return the key of a row, and what is asked for besides it."""
    if isinstance(row, Account):
        return _ACCOUNT, {}
    if isinstance(row, Lease):
        return _LEASE + _checked(row.id), {"State": row.state, "ExpiresAt": row.expires_at}
    return f"{_DRAW}{_checked(row.lease)}|{_checked(row.id)}", {}


def _checked(name: str) -> str:
    if not rows.is_key(name):
        raise Permanent("the id has characters that no key can have", code="invalid", where="id")
    return name
