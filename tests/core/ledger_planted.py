"""Bugs that somebody might really write into the ledger, each of which the state machine must find.

Each plants itself with pytest's monkeypatch and is gone with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local.sqlite import ledger as sqlite
from shared.core import draws
from shared.core import ledger as leases
from shared.core.draws import DrawAsk, Outcome
from shared.core.ledger import NOTHING, Account, Book, Draw, Lease, LeaseAsk, Limits, Posting
from shared.errors import Permanent
from tests.core.ledger_machine import LedgerMachine
from tests.core.replica import Stepping

if TYPE_CHECKING:
    import pytest

    Plant = Callable[[pytest.MonkeyPatch], None]


def _instead(module: Any, name: str, wrong: Callable[..., Any]) -> Plant:
    return lambda patch: patch.setattr(module, name, wrong)


def _settle_twice(account: Account | None, lease: Lease, drawn: Draw, outcome: Outcome) -> Posting:
    """Settle, whatever was settled before."""
    return draws._told(account, lease, drawn, "settled", outcome)


def _pay_twice(account: Account | None, lease: Lease, drawn: Draw, outcome: Outcome) -> Posting:
    """Add the cost to the lease once more each time it is told."""
    if drawn.state != "settled":
        return _RIGHT_SETTLE(account, lease, drawn, outcome)
    return Posting(None, lease._replace(settled=lease.settled + outcome.cost, version=lease.version + 1))


def _release_settled(account: Account | None, lease: Lease, drawn: Draw) -> Posting:
    """Release whatever was drawn."""
    return NOTHING if drawn.state == "released" else draws._told(account, lease, drawn, "released", Outcome(0))


def _close_and_keep(account: Account, lease: Lease) -> Posting:
    """End the lease and leave its money set aside."""
    posting = _RIGHT_CLOSE(account, lease)
    return posting._replace(account=posting.account and posting.account._replace(books=account.books))


def _close_and_forget(account: Account, lease: Lease) -> Posting:
    """End the lease and charge what is settled: what is still out is given back."""
    if not lease.held:
        return _RIGHT_CLOSE(account, lease)
    return _RIGHT_CLOSE(account, lease._replace(held=0))


def _expire_anything(account: Account, lease: Lease, now: float) -> Posting:  # noqa: ARG001  that is the bug
    """End the lease, whether its time is over or not."""
    return leases._ended(account, lease, "expired")


def _close_twice(account: Account, lease: Lease) -> Posting:
    """Give back what the lease holds each time it is closed."""
    return _RIGHT_CLOSE(account, lease._replace(state="open"))


def _draw_from_anything(lease: Lease, at: float = 0.0) -> None:
    """Ask nothing."""


def _draw_without_looking(lease: Lease, found: Draw | None, ask: DrawAsk) -> Posting:
    """Draw more than is left."""
    try:
        return _RIGHT_DRAW(lease, found, ask)
    except Permanent:
        if lease.state != "open" or ask.at >= lease.expires_at:
            raise
        posting = _RIGHT_DRAW(lease._replace(amount=lease.amount + 1000), found, ask)
        return posting._replace(lease=posting.lease and posting.lease._replace(amount=lease.amount))


def _unknown_is_free(lease: Lease, drawn: Draw) -> Posting:
    """Charge nothing for what nobody knows."""
    return draws._told(None, lease, drawn, "unknown", Outcome(0)) if drawn.state == "open" else NOTHING


def _any_limit(account: Account, lease: Lease | None, ask: LeaseAsk, limits: Limits) -> Posting:  # noqa: ARG001  the bug
    """Lease whatever is asked for."""
    return _RIGHT_OPEN(account, lease, ask, leases.UNLIMITED)


def _check_then_act(account: Account, lease: Lease | None, ask: LeaseAsk, limits: Limits) -> Posting:
    """Check the limit against what is settled, not against what is set aside."""
    settled = account._replace(books={name: Book(book.settled, 0) for name, book in account.books.items()})
    _RIGHT_OPEN(settled, lease, ask, limits)
    return _RIGHT_OPEN(account, lease, ask, leases.UNLIMITED)


def _open_again(account: Account, lease: Lease | None, ask: LeaseAsk, limits: Limits) -> Posting:
    """Take the repetition of an old submission for a new one."""
    if lease is not None and lease.state != "open":
        return leases.reopen(account, lease, ask, limits)
    return _RIGHT_OPEN(account, lease, ask, limits)


def _reopen_in_full(account: Account, lease: Lease, ask: LeaseAsk, limits: Limits) -> Posting:
    """Lease all of the amount again, whatever was spent of it."""
    return _RIGHT_REOPEN(account, lease, ask._replace(amount=ask.amount + lease.amount), limits)


def _extend_by(account: Account, lease: Lease, amount: int, limits: Limits, *, until: float = 0.0) -> Posting:
    """Grow by the amount each time, not up to it."""
    return _RIGHT_EXTEND(account, lease, lease.amount + amount, limits, until=until)


def _never_the_books(lease: Lease, drawn: Draw, cost: int) -> bool:  # noqa: ARG001  the bug
    """Think that the lease alone changes."""
    return False


def _lease_alone(account: Account | None, lease: Lease, told: Draw, change: int) -> Posting:  # noqa: ARG001  the bug
    """Correct a call that outlived its lease without telling the books."""
    return Posting(None, lease._replace(amount=lease.amount + change, booked=lease.booked + change), told)


def _overrun_unpaid(account: Account | None, lease: Lease, told: Draw) -> Posting:  # noqa: ARG001  the bug
    """Charge the lease more than it holds."""
    return Posting(None, lease, told)


def _close_for_good(account: Account, lease: Lease) -> Posting:
    """End the lease as if none of its calls were out."""
    posting = _RIGHT_CLOSE(account, lease)
    return posting._replace(lease=posting.lease and posting.lease._replace(state="closed"))


def _settle_in_silence(account: Account | None, lease: Lease, drawn: Draw, outcome: Outcome) -> Posting:
    """Tell nobody that a call of an ended lease has ended."""
    posting = _RIGHT_SETTLE(account, lease, drawn, outcome)
    return posting._replace(lease=posting.lease and posting.lease._replace(state=lease.state))


def _rest_with_calls(lease: Lease, again_at: float) -> Posting:  # noqa: ARG001  the bug
    """Let a lease rest whatever is open."""
    if lease.state != "closing":
        return NOTHING
    return Posting(None, lease._replace(state="closed", version=lease.version + 1))


def _draw_for_no_time(lease: Lease, found: Draw | None, ask: DrawAsk) -> Posting:
    """Forget how long a call may take."""
    return _RIGHT_DRAW(lease, found, ask._replace(seconds=0.0))


def _busy_for_ever(lease: Lease, at: float) -> bool:  # noqa: ARG001  the bug
    """Wait for calls that nobody makes any more."""
    return lease.calls > 0


def _write_anything(connection: Any, row: Account | Lease | Draw, values: Any, key: tuple[str, ...]) -> None:
    """Write the row, whatever its version is by now."""
    made, changed = sqlite._WRITES[type(row)]
    if connection.execute(changed.rpartition(" AND ")[0], (*values, *key)).rowcount == 0:
        connection.execute(made, values)


class _TwoTransactions(Stepping):
    """Writes the account, and then the rest."""

    def post(self, posting: Posting) -> None:
        """Post in two steps."""
        account, lease, draw = posting
        if account is None or (lease, draw) == (None, None):
            super().post(posting)
            return
        self.replica.wait()
        self.inner.post(Posting(account))
        self.replica.wait()
        self.inner.post(Posting(None, lease, draw))
        self.posted(posting)


_RIGHT_OPEN, _RIGHT_REOPEN, _RIGHT_EXTEND = leases.open_lease, leases.reopen, leases.extend
_RIGHT_CLOSE, _RIGHT_DRAW, _RIGHT_SETTLE = leases.close, draws.draw, draws.settle

PLANTED: dict[str, Plant] = {
    "settles twice": _instead(draws, "settle", _settle_twice),
    "pays twice": _instead(draws, "settle", _pay_twice),
    "releases what was settled": _instead(draws, "release", _release_settled),
    "closes without returning": _instead(leases, "close", _close_and_keep),
    "closes without charging what is out": _instead(leases, "close", _close_and_forget),
    "closes twice": _instead(leases, "close", _close_twice),
    "expires a live lease": _instead(leases, "expire", _expire_anything),
    "draws after the close": _instead(draws, "check_open", _draw_from_anything),
    "draws more than is left": _instead(draws, "draw", _draw_without_looking),
    "charges nothing for the unknown": _instead(draws, "unknown", _unknown_is_free),
    "forgets the limit": _instead(leases, "open_lease", _any_limit),
    "counts only what is settled": _instead(leases, "open_lease", _check_then_act),
    "opens an old lease again": _instead(leases, "open_lease", _open_again),
    "reopens in full": _instead(leases, "reopen", _reopen_in_full),
    "extends each time": _instead(leases, "extend", _extend_by),
    "forgets the books": _instead(draws, "_returned", _lease_alone),
    "does not bring the books": _instead(draws, "needs_account", _never_the_books),
    "leaves an overrun unpaid": _instead(draws, "_covered", _overrun_unpaid),
    "closes for good while calls are out": _instead(leases, "close", _close_for_good),
    "settles in silence": _instead(draws, "settle", _settle_in_silence),
    "rests with calls out": _instead(leases, "rest", _rest_with_calls),
    "forgets how long calls take": _instead(draws, "draw", _draw_for_no_time),
    "waits for calls for ever": _instead(leases, "busy", _busy_for_ever),
    "loses the conflict check": _instead(sqlite, "_write", _write_anything),
    "posts in two transactions": _instead(LedgerMachine, "stepping", _TwoTransactions),
}
