"""Whoever looks after each posting: what was stored before it, and what may follow that.

The rules for rows that are stored together are those of `local.faults.ledger_rules`; here are those for one posting.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from local.faults.ledger_rules import Seen, everything, problems, unbooked
from shared.core.ledger import Draw, Lease, Limits, Posting

if TYPE_CHECKING:
    from shared.ports import Ledger

LIMITS = Limits(day=600, month=900)
TENANTS = ("acme", "other")
STATES = ("open", "unknown", "settled", "released")
MAY_FOLLOW = {
    None: {"open"},
    "open": {"settled", "unknown", "released"},
    "unknown": {"settled", "released"},
    "released": {"open", "settled"},
    "settled": set[str](),
}


class Errand(NamedTuple):
    """What a replica is about: since when, for how much money, and until when a call of it can be out."""

    doing: str
    began: datetime
    asked: int = 0
    until: float = 0.0


class Watch:
    """What was stored before, and what may follow it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.before = {tenant: Seen(ledger.account(tenant), [], {}) for tenant in TENANTS}
        self._dropped: set[str] = set()

    def posted(self, errand: Errand, posting: Posting, now: datetime) -> None:
        """Compare what was posted with what was stored before it."""
        tenant = next(row.tenant for row in posting if row is not None)
        before, after = self.before[tenant], everything(self._ledger, tenant)
        wrong = [*problems(after, LIMITS), *self._unbooked(tenant, before, after)]
        leases = {lease.id: lease for lease in before.leases}
        if posting.lease is not None:
            wrong += _of_the_lease(errand.doing, leases.get(posting.lease.id), posting.lease, now)
            wrong += _too_much(errand, leases.get(posting.lease.id), posting.lease)
        if posting.draw is not None:
            name = posting.draw.lease
            found = {drawn.id: drawn for drawn in before.draws.get(name, [])}
            wrong += _of_the_draw(leases[name], found.get(posting.draw.id), posting.draw, errand.began)
        assert wrong == [], f"{errand.doing}: {posting}"
        self.before[tenant] = after

    def _unbooked(self, tenant: str, before: Seen, after: Seen) -> list[str]:
        """What leases have booked is in the books, as long as no window is so old that it was left out."""
        if before.account.books.keys() - after.account.books.keys():
            self._dropped.add(tenant)
        return [] if tenant in self._dropped else unbooked(after)


def _too_much(errand: Errand, before: Lease | None, after: Lease) -> Iterator[str]:
    amount, overrun = (before.amount, before.overrun) if before else (0, 0)
    most = max(amount, errand.asked) + after.overrun - overrun
    if after.amount > most:
        yield f"lease {after.id} grew from {amount} to {after.amount}, nobody asked for more than {most}"


def _of_the_lease(doing: str, before: Lease | None, after: Lease, now: datetime) -> Iterator[str]:
    was = before.state if before else "nothing"
    if was != after.state and after.state not in _allowed(doing, was):
        yield f"{doing} made a lease {after.state} that was {was}"
    if doing == "open" and before is not None:
        yield f"a lease was opened that was {was}"
    if doing == "expire" and before is not None and before.expires_at > now.timestamp():
        yield f"lease {after.id} expired {before.expires_at - now.timestamp()} s too early"


def _allowed(doing: str, was: str) -> set[str]:
    ends = {"open": {"open"}, "reopen": {"open"}, "close": {"closed", "closing"}, "expire": {"expired", "closing"}}
    if doing in ends:
        return ends[doing]
    late = {"closing"} if was in {"closed", "expired"} else set[str]()
    return late | ({"closed"} if doing == "wind up" and was == "closing" else set[str]())


def _of_the_draw(lease: Lease, before: Draw | None, after: Draw, began: datetime) -> Iterator[str]:
    was = before.state if before else None
    if after.state not in MAY_FOLLOW[was]:
        yield f"draw {after.id} was {was} and became {after.state}"
    if after.state == "open" and (lease.state != "open" or lease.expires_at <= began.timestamp()):
        yield f"draw {after.id} was made from a lease that was {lease.state} until {lease.expires_at}"
