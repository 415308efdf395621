"""The `Ledger` port in the DynamoDB table of the control state: a posting is one transaction.

| item    | pk                   | sk      | besides                                                                   |
|---------|----------------------|---------|---------------------------------------------------------------------------|
| account | tenant#account       | account | version, body                                                             |
| lease   | tenant#leases        | id      | version, body; while it is due unsent, since: the relay's index, in      |
|         |                      |         | partitions of its own, `lease#<shard>`, and by the time it expires        |
| draw    | tenant#draws#<lease> | id      | version, body                                                             |

Knows how rows lie in the table; must not know what they mean.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from zlib import crc32

from aws.adapters.table import NEW, Item, Table, cancelled, checked, put, values
from shared.core.ledger import DUE, Account, Draw, Lease, Posting
from shared.core.ledger_rows import account_from, draw_from, encode, lease_from

_SHARDS = 16  # of the index, so that it bears more than one partition's writes


class DynamoLedger(Table):
    """The `Ledger` port."""

    def account(self, tenant: str) -> Account:
        """Return the tenant's account; one that was never written is empty, at version 0."""
        item = self._get(f"{tenant}#account", "account")
        return account_from(item["body"]["S"]) if item else Account(tenant)

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease, or None when there never was one of that id."""
        item = self._get(f"{tenant}#leases", lease)
        return lease_from(item["body"]["S"]) if item else None

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw, or None when there never was one of that id."""
        item = self._get(_draws(tenant, lease), draw)
        return draw_from(item["body"]["S"]) if item else None

    def post(self, posting: Posting) -> None:
        """Write all rows or none; Conflict unless each is stored at one version less than it brings."""
        reasons = self._transact(list(posted(posting)))
        if reasons:
            raise cancelled(reasons, "the ledger's rows were changed by somebody else")

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return up to `limit` of the tenant's leases in the order of their ids."""
        return [lease_from(item["body"]["S"]) for item in self._below(f"{tenant}#leases", limit=limit, after=after)]

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return up to `limit` of the lease's draws in the order of their ids."""
        items = self._below(_draws(tenant, lease), limit=limit, after=after)
        return [draw_from(item["body"]["S"]) for item in items]

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return up to `limit` leases of any tenant, open or closing, whose time is over by `at`, the oldest first.

        The index names them, perhaps late; what they are by now is read from the table.
        """
        shards = [self._due(f"lease#{shard:02}", at.timestamp(), limit) for shard in range(_SHARDS)]
        items = (self._get(pk, sk) for _, pk, sk in heapq.merge(*shards))
        leases = (lease_from(item["body"]["S"]) for item in items if item is not None)
        due = (lease for lease in leases if lease.state in DUE and lease.expires_at <= at.timestamp())
        return list(islice(due, limit))

    def _due(self, shard: str, at: float, page: int) -> Iterator[tuple[str, str, str]]:
        asked = {
            "IndexName": "unsent",
            "KeyConditionExpression": "unsent = :shard AND since <= :at",
            # Behind the time stands the lease; nothing that does is behind this.
            "ExpressionAttributeValues": values(**{":shard": shard, ":at": f"{_sortable(at)}#\U0010ffff"}),
        }
        return ((item["since"]["S"], item["pk"]["S"], item["sk"]["S"]) for item in self._pages(asked, page))


def posted(posting: Posting) -> Iterator[Item]:
    """Return the writes of a posting, for whatever transaction."""
    return (_from_the_version_before(row) for row in posting if row is not None)


def _draws(tenant: str, lease: str) -> str:
    return f"{tenant}#draws#{lease}"


def _from_the_version_before(row: Account | Lease | Draw) -> Item:
    item = _item(row) | values(version=row.version, body=checked(encode(row)))
    if row.version == 1:
        return put(item, NEW)
    return put(item, "version = :before", before=row.version - 1)


def _item(row: Account | Lease | Draw) -> Item:
    if isinstance(row, Account):
        return values(pk=f"{row.tenant}#account", sk="account")
    if isinstance(row, Draw):
        return values(pk=_draws(row.tenant, row.lease), sk=row.id)
    item = values(pk=f"{row.tenant}#leases", sk=row.id)
    if row.state not in DUE:
        return item
    name = f"{row.tenant}#{row.id}"
    shard = f"lease#{crc32(name.encode()) % _SHARDS:02}"
    return item | values(unsent=shard, since=f"{_sortable(row.expires_at)}#{name}")


def _sortable(at: float) -> str:
    return f"{at:020.6f}"
