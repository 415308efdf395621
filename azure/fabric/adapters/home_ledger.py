"""The ledger of the home store on another cloud, asked over HTTPS. Rows travel as the texts of `core.ledger_rows`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core.ledger_rows import account_from, draw_from, encode, lease_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from azure.fabric.adapters.home import Home
    from shared.core.ledger import Account, Draw, Lease, Posting


class HomeLedger:
    """The `Ledger` port."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def account(self, tenant: str) -> Account:
        """Return the tenant's account; one that was never written is empty, at version 0."""
        return account_from(self._home.ask("ledger.account", tenant=tenant)["account"])

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease, or None when there never was one of that id."""
        told = self._home.ask("ledger.lease", tenant=tenant, lease=lease)["lease"]
        return None if told is None else lease_from(told)

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw, or None when there never was one of that id."""
        told = self._home.ask("ledger.draw", tenant=tenant, lease=lease, draw=draw)["draw"]
        return None if told is None else draw_from(told)

    def post(self, posting: Posting) -> None:
        """Write all rows or none; Conflict unless each is stored at one version less than it brings."""
        self._home.ask("ledger.post", **as_texts(posting))

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return up to `limit` of the tenant's leases in the order of their ids: as many as one answer holds."""
        told = self._home.ask("ledger.leases", tenant=tenant, limit=limit, after=after)
        return [lease_from(row) for row in told["leases"]]

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return up to `limit` of the lease's draws in the order of their ids: as many as one answer holds."""
        told = self._home.ask("ledger.draws", tenant=tenant, lease=lease, limit=limit, after=after)
        return [draw_from(row) for row in told["draws"]]

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return up to `limit` leases that are due by `at`, the oldest first: as many as one answer holds."""
        told = self._home.ask("ledger.overdue", at=at.isoformat(), limit=limit)
        return [lease_from(row) for row in told["leases"]]


def as_texts(posting: Posting) -> dict[str, str | None]:
    """Return a posting as it travels: each row as its text."""
    return {name: None if row is None else encode(row) for name, row in posting._asdict().items()}
