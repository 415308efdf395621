"""Whoever looks after the money while it moves: ports that check what is posted against the tenants' limits.

Money must be set aside when a provider is asked, and nowhere may there ever be more in the books than the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.core.ledger import Account, Draw, Lease, Posting
    from shared.core.policy import Policy
    from shared.core.task import Task
    from shared.ports import Change, Ledger, Tasks

_KINDS = ("day", "month")


@dataclass
class Watch:
    """The `Ledger` port."""

    ledger: Ledger
    policy: Policy
    over: list[str] = field(default_factory=list)  # postings that put more into the books than a limit
    most: int = 0  # that was ever settled and open together in one window
    peak: int = 0  # runs that held money at a time
    runs: dict[str, int] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)  # the state of each draw

    def post(self, posting: Posting) -> None:
        """Post, and look what is there then."""
        self.ledger.post(posting)
        self.see(posting)

    def see(self, posting: Posting) -> None:
        """Look at rows that have just been written."""
        if posting.account is not None:
            self._check(posting.account)
        if posting.draw is not None:
            self.drawn[posting.draw.id] = posting.draw.state

    def _check(self, account: Account) -> None:
        limits = self.policy.tenants[account.tenant].money
        self.runs[account.tenant] = account.runs
        self.peak = max(self.peak, self.open)
        for window, (settled, opened) in account.books.items():
            limit = limits[_KINDS.index(window.partition(":")[0])]
            self.most = max(self.most, settled + opened)
            if settled + opened > limit:
                self.over.append(f"{account.tenant} {window}: {settled} + {opened} of {limit}")

    def is_reserved(self, draw: str) -> bool:
        """Tell whether money is set aside for a call of that name."""
        return self.drawn.get(draw) in {"open", "unknown"}  # unknown: it was charged at its worst meanwhile

    @property
    def open(self) -> int:
        """How many runs hold money."""
        return sum(self.runs.values())

    def quiet(self, tenants: Sequence[str]) -> bool:
        """Tell whether no run of these holds money any more."""
        return not any(self.runs.get(tenant) for tenant in tenants)

    def account(self, tenant: str) -> Account:
        """Return the account."""
        return self.ledger.account(tenant)

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease."""
        return self.ledger.lease(tenant, lease)

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw."""
        return self.ledger.draw(tenant, lease, draw)

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return the tenant's leases."""
        return self.ledger.leases(tenant, limit=limit, after=after)

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return the lease's draws."""
        return self.ledger.draws(tenant, lease, limit=limit, after=after)

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return leases that are overdue."""
        return self.ledger.overdue(at, limit=limit)


@dataclass
class Seen:
    """The `Tasks` port; what a commit posts to the ledger is looked at as well."""

    tasks: Tasks
    watch: Watch

    def commit(self, change: Change) -> None:
        """Commit, and look at the money."""
        self.tasks.commit(change)
        if change.posting is not None:
            self.watch.see(change.posting)

    def load(self, tenant: str, task: str) -> Task:
        """Return the task."""
        return self.tasks.load(tenant, task)

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return the number of the entity's latest event."""
        return self.tasks.last_sequence(tenant, entity)

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return tasks."""
        return self.tasks.page(tenant, limit=limit, after=after)

    def parked(self, *, limit: int) -> Sequence[Task]:
        """Return parked tasks."""
        return self.tasks.parked(limit=limit)
