"""The rows of one run as a store would keep them, for the tests of what is decided about them."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.core import draws, ledger
from shared.core.draws import DrawAsk, Outcome
from shared.core.ledger import (
    UNLIMITED,
    Account,
    Draw,
    Lease,
    LeaseAsk,
    Limits,
    Posting,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0
TODAY, MONTH, TOMORROW = "day:2026-11-21", "month:2026-11", "day:2026-11-22"


def ask(amount: int = 100, *, name: str = "run-1", at: float = NOON) -> LeaseAsk:
    """Return what a run asks for; it has an hour."""
    return LeaseAsk(name, "task-1", "document-review", "standard", amount, at, at + 3600)


def call(worst: int, *, name: str = "call-1", at: float = NOON) -> DrawAsk:
    """Return a call about to be made."""
    return DrawAsk(name, 0, "classify", "embedded", worst, "a" * 64, at, 30.0)


class Rows:
    """The rows of one run, posted to as a store would."""

    def __init__(self, limits: Limits = UNLIMITED) -> None:
        self.limits = limits
        self.account = Account("acme")
        self.leases: dict[str, Lease] = {}
        self.draws: dict[str, Draw] = {}

    def post(self, posting: Posting) -> Posting:
        """Write the rows, each one version on."""
        account, lease, draw = posting
        if account is not None:
            assert account.version == self.account.version + 1
            self.account = account
        if lease is not None:
            assert lease.version == (self.leases[lease.id].version if lease.id in self.leases else 0) + 1
            self.leases[lease.id] = lease
        if draw is not None:
            assert draw.version == (self.draws[draw.id].version if draw.id in self.draws else 0) + 1
            self.draws[draw.id] = draw
        return posting

    @property
    def lease(self) -> Lease:
        """The first run's lease."""
        return self.leases["run-1"]

    @property
    def books(self) -> dict[str, tuple[int, int]]:
        """What is settled and open, by window."""
        return {window: (book.settled, book.open) for window, book in self.account.books.items()}

    def open(self, amount: int = 100, *, name: str = "run-1", at: float = NOON) -> Posting:
        """Lease."""
        asked = ask(amount, name=name, at=at)
        return self.post(ledger.open_lease(self.account, self.leases.get(name), asked, self.limits))

    def draw(self, worst: int, *, name: str = "call-1", at: float = NOON) -> Posting:
        """Draw."""
        return self.post(draws.draw(self.lease, self.draws.get(name), call(worst, name=name, at=at)))

    def settle(self, cost: int, *, name: str = "call-1") -> Posting:
        """Settle, bringing the account only where it is needed."""
        drawn = self.draws[name]
        account = self.account if draws.needs_account(self.lease, drawn, cost) else None
        return self.post(draws.settle(account, self.lease, drawn, Outcome(cost, 1, 2, "{}")))

    def close(self) -> Posting:
        """Close."""
        return self.post(ledger.close(self.account, self.lease))

    def reopen(self, amount: int, *, at: float = NOON) -> Posting:
        """Go on."""
        return self.post(ledger.reopen(self.account, self.lease, ask(amount, at=at), self.limits))
