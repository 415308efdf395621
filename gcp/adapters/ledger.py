"""The `Ledger` port on Spanner: a posting's rows change in one transaction, each from the version before, or none does.

The function given to Spanner reads versions and buffers mutations, nothing else: it runs anew after an abort.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.cloud.spanner_v1 import KeyRange, KeySet, param_types

from gcp.adapters.verdicts import verdicts
from shared.core.buckets import Bucket
from shared.core.ledger import DUE, Account, Book, Draw, Lease, Posting, Wait
from shared.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from google.cloud.spanner_v1.database import Database
    from google.cloud.spanner_v1.transaction import Transaction

_ACCOUNT = (
    *("Tenant", "Version", "Runs", "RequestsLevel", "RequestsAt", "TokensLevel", "TokensAt"),
    *("TurnedAway", "Waits", "Yielding"),
)
_BOOK = ("Tenant", "Period", "Settled", "Open")
# One statement, and so one moment, for an account and its books.
_ACCOUNT_OF = (
    f"SELECT {', '.join(_ACCOUNT)}, ARRAY(SELECT AS STRUCT Period, Settled, Open FROM Books"  # noqa: S608  words above
    " WHERE Books.Tenant = Accounts.Tenant ORDER BY Period) FROM Accounts WHERE Tenant = @tenant"
)
# In the order of the rows' fields.
_LEASE = (
    *("Lease", "Tenant", "Task", "Workflow", "Priority", "Amount", "Periods", "ExpiresAt"),
    *("Settled", "Held", "Booked", "Overrun", "State", "Version", "Calls", "BusyUntil"),
)
_DRAW = (
    *("Draw", "Tenant", "Lease", "Document", "Step", "Deployment", "Worst", "InputSha256", "Periods"),
    *("Actual", "State", "TokensIn", "TokensOut", "Answer", "Version", "PriceVersion", "Paid", "Remaining", "Note"),
)
_LEASE_PERIODS, _DRAW_PERIODS = _LEASE.index("Periods"), _DRAW.index("Periods")


class SpannerLedger:
    """The `Ledger` port.

    `patience` is how long aborted transactions are run anew; `retry_delay` is the pause before that where the
    server names none (the emulator does not).
    """

    def __init__(self, database: Database, *, patience: float = 20.0, retry_delay: float | None = None) -> None:
        self._database = database
        self._retry = {"timeout_secs": patience, "default_retry_delay": retry_delay}

    def account(self, tenant: str) -> Account:
        """Return the tenant's account; one that was never written is empty, at version 0."""
        with verdicts(), self._database.snapshot() as snapshot:
            asked, types = {"tenant": tenant}, {"tenant": param_types.STRING}
            found = list(snapshot.execute_sql(_ACCOUNT_OF, params=asked, param_types=types))
        return _account(found[0]) if found else Account(tenant)

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease, or None when there never was one of that id."""
        with verdicts(), self._database.snapshot() as snapshot:
            found = list(snapshot.read("Leases", _LEASE, KeySet(keys=[(tenant, lease)])))
        return _lease(found[0]) if found else None

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw, or None when there never was one of that id."""
        with verdicts(), self._database.snapshot() as snapshot:
            found = list(snapshot.read("Draws", _DRAW, KeySet(keys=[(tenant, lease, draw)])))
        return _draw(found[0]) if found else None

    def post(self, posting: Posting) -> None:
        """Write all rows or none; Conflict unless each is stored at one version less than it brings."""

        def once(transaction: Transaction) -> None:
            for table, key, row in _rows(posting):
                found = list(transaction.read(table, ("Version",), KeySet(keys=[key])))
                if (found[0][0] if found else 0) != row.version - 1:
                    raise Conflict(f"{table} {key[-1]} is no longer at version {row.version - 1}")
            _write(transaction, posting)

        with verdicts():
            self._database.run_in_transaction(once, **self._retry)

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return up to `limit` of the tenant's leases in the order of their ids."""
        following = KeySet(ranges=[KeyRange(start_open=(tenant, after), end_closed=(tenant,))])
        with verdicts(), self._database.snapshot() as snapshot:
            return [_lease(row) for row in snapshot.read("Leases", _LEASE, following, limit=limit)]

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return up to `limit` of the lease's draws in the order of their ids."""
        following = KeySet(ranges=[KeyRange(start_open=(tenant, lease, after), end_closed=(tenant, lease))])
        with verdicts(), self._database.snapshot() as snapshot:
            return [_draw(row) for row in snapshot.read("Draws", _DRAW, following, limit=limit)]

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return up to `limit` leases of any tenant, open or closing, whose time is over by `at`, the oldest first.

        The index names them; what they are by now is read next.
        """
        due = KeySet(ranges=[KeyRange(start_closed=[], end_closed=[at.timestamp()])])
        with verdicts(), self._database.snapshot() as snapshot:
            keys = list(snapshot.read("Leases", ("Tenant", "Lease"), due, index="LeasesDue", limit=limit))
        if not keys:
            return []
        with verdicts(), self._database.snapshot() as snapshot:
            found = [_lease(row) for row in snapshot.read("Leases", _LEASE, KeySet(keys=keys))]
        still = [lease for lease in found if lease.state in DUE and lease.expires_at <= at.timestamp()]
        return sorted(still, key=lambda lease: (lease.expires_at, lease.tenant, lease.id))


def _rows(posting: Posting) -> list[tuple[str, tuple[str, ...], Account | Lease | Draw]]:
    account, lease, draw = posting
    rows: list[tuple[str, tuple[str, ...], Account | Lease | Draw]] = []
    if account is not None:
        rows.append(("Accounts", (account.tenant,), account))
    if lease is not None:
        rows.append(("Leases", (lease.tenant, lease.id), lease))
    if draw is not None:
        rows.append(("Draws", (draw.tenant, draw.lease, draw.id), draw))
    return rows


def _write(transaction: Transaction, posting: Posting) -> None:
    """Buffer the rows, a parent's before those that lie under it."""
    account, lease, draw = posting
    if account is not None:
        transaction.insert_or_update("Accounts", _ACCOUNT, [_account_values(account)])
        transaction.delete("Books", _books_of(account.tenant))
        books = [(account.tenant, period, *book) for period, book in account.books.items()]
        if books:
            transaction.insert_or_update("Books", _BOOK, books)
    if lease is not None:
        due = lease.expires_at if lease.state in DUE else None
        values = (*_values(lease, _LEASE_PERIODS), due)
        transaction.insert_or_update("Leases", (*_LEASE, "DueAt"), [values])
    if draw is not None:
        transaction.insert_or_update("Draws", _DRAW, [_values(draw, _DRAW_PERIODS)])


def _books_of(tenant: str) -> KeySet:
    return KeySet(ranges=[KeyRange(start_closed=(tenant,), end_closed=(tenant,))])


def _account_values(account: Account) -> tuple[Any, ...]:
    tenant, version, _, runs, requests, tokens, turned_away, waits, yielding = account
    return (tenant, version, runs, *map(float, (*requests, *tokens)), turned_away, json.dumps(waits), yielding)


def _account(row: Sequence[Any]) -> Account:
    tenant, version, runs, requests, requests_at, tokens, tokens_at, turned_away, waits, yielding, books = row
    waiting: Mapping[str, Any] = json.loads(waits)
    return Account(
        tenant,
        version,
        {period: Book(settled, opened) for period, settled, opened in books},
        runs,
        Bucket(requests, requests_at),
        Bucket(tokens, tokens_at),
        turned_away,
        {lease: Wait(*wait) for lease, wait in waiting.items()},
        yielding,
    )


def _values(row: Lease | Draw, periods: int) -> tuple[Any, ...]:
    return (*row[:periods], list(row.windows), *row[periods + 1 :])


def _lease(row: Sequence[Any]) -> Lease:
    return Lease._make([*row[:_LEASE_PERIODS], tuple(row[_LEASE_PERIODS]), *row[_LEASE_PERIODS + 1 :]])


def _draw(row: Sequence[Any]) -> Draw:
    return Draw._make([*row[:_DRAW_PERIODS], tuple(row[_DRAW_PERIODS]), *row[_DRAW_PERIODS + 1 :]])
