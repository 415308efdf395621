"""Calls and their money: drawn from a run's lease before a call is made, settled when its cost is known.

Who decides here knows three rows and nothing of the world; the rules that hold are those of `core.ledger`. A draw's
state decides what may become of it, so everything may be said twice:

| state    | it is charged | what may follow                                                                       |
|----------|---------------|---------------------------------------------------------------------------------------|
| open     | at its worst  | settled, unknown, released                                                            |
| unknown  | at its worst  | settled or corrected when its answer turns up, released when it was surely not served |
| released | nothing       | drawn again; settled, should it have been served after all                            |
| settled  | what it cost  | nothing                                                                               |

A provider may count more than the worst case. The truth is charged: what the lease cannot cover it grows by, and as it
is full then, it refuses the next draw. A draw that outlives its lease, or the windows that its lease counted in when
it was made, is corrected in the books of those windows; a lease that had ended is closing then, for the bill's sake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shared.core.ledger import NOTHING, Account, Book, Draw, DrawState, Lease, Posting, booked, check_open, with_books
from shared.core.money import usd
from shared.errors import Permanent


class DrawAsk(NamedTuple):
    """A call about to be made: `worst` is its most, at the prices of `price_version`; `note` says why it is made.

    It ends within `seconds`, one way or another. Equal calls of a run have equal ids.
    """

    id: str
    document: int
    step: str
    deployment: str
    worst: int
    input_sha256: str
    at: float
    seconds: float
    price_version: str = ""
    note: str = ""


class Outcome(NamedTuple):
    """What a call has cost and said; `answer` is JSON text, `paid` what it was paid for."""

    cost: int
    tokens_in: int = 0
    tokens_out: int = 0
    answer: str = ""
    paid: str = ""


def draw(lease: Lease, found: Draw | None, ask: DrawAsk) -> Posting:
    """Set a call's worst case aside. One that was drawn before stays as it is, unless it was released.

    Raises Permanent: `budget-used-up` when the lease has not that much left, `lease-over` when it ended or should have.
    """
    if found is not None and found.state != "released":
        return NOTHING
    check_open(lease, ask.at)
    id_, document, step, deployment, worst, input_sha256, at, seconds, price_version, note = ask
    room = lease.amount - lease.settled - lease.held
    if not 0 <= worst <= room:
        raise Permanent(
            f"a call of step {step} may cost {usd(worst)}, {usd(room)} of {usd(lease.amount)} are left",
            code="budget-used-up",
        )
    version = found.version + 1 if found is not None else 1
    drawn = Draw(
        *(id_, lease.tenant, lease.id, document, step, deployment, worst, input_sha256, lease.windows),
        version=version,
        price_version=price_version,
        remaining=room - worst,
        note=note,
    )
    busy_until = max(lease.busy_until, at + seconds)
    calls, version = lease.calls + 1, lease.version + 1
    return Posting(
        None, lease._replace(held=lease.held + worst, calls=calls, busy_until=busy_until, version=version), drawn
    )


def needs_account(lease: Lease, drawn: Draw, cost: int) -> bool:
    """Tell whether charging this cost changes the tenant's books and not the lease alone."""
    change = cost - charge(drawn)
    if _counts_here(lease, drawn):
        return lease.settled + lease.held + change > lease.amount
    return change != 0


def settle(account: Account | None, lease: Lease, drawn: Draw, outcome: Outcome) -> Posting:
    """Charge what the call has cost, whatever was thought of it before; once settled it stays."""
    if drawn.state == "settled":
        return NOTHING
    return _told(account, lease, drawn, "settled", outcome)


def correct(account: Account | None, lease: Lease, drawn: Draw, outcome: Outcome) -> Posting:
    """Charge what a call of unknown outcome turns out to have cost; a call that is not one stays as it is."""
    return _told(account, lease, drawn, "settled", outcome) if drawn.state == "unknown" else NOTHING


def unknown(lease: Lease, drawn: Draw) -> Posting:
    """Charge a call whose end nobody knows at its worst case."""
    return _told(None, lease, drawn, "unknown", Outcome(drawn.worst)) if drawn.state == "open" else NOTHING


def release(account: Account | None, lease: Lease, drawn: Draw) -> Posting:
    """Charge nothing for a call that was surely not served."""
    return _told(account, lease, drawn, "released", Outcome(0)) if drawn.state in {"open", "unknown"} else NOTHING


def charge(drawn: Draw) -> int:
    """Return what the call is charged at now."""
    return drawn.worst if drawn.state == "open" else drawn.actual


def _counts_here(lease: Lease, drawn: Draw) -> bool:
    """Tell whether the lease still owes for this draw: it is open, and in the windows in which it was drawn."""
    return lease.state == "open" and drawn.windows == lease.windows


def _told(account: Account | None, lease: Lease, drawn: Draw, state: DrawState, outcome: Outcome) -> Posting:
    cost, tokens_in, tokens_out, answer, paid = outcome
    if cost < 0:
        raise Permanent(f"a call cannot cost {cost} micro-USD", code="invalid", where="cost")
    told = drawn._replace(
        actual=cost,
        state=state,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        answer=answer,
        paid=paid,
        version=drawn.version + 1,
    )
    before = charge(drawn)
    freed = before if drawn.state == "open" else 0
    charged = lease._replace(
        held=lease.held - freed,
        calls=lease.calls - (drawn.state == "open"),
        settled=lease.settled + freed + cost - before,
        overrun=lease.overrun + max(0, cost - before),
        version=lease.version + 1,
    )
    if lease.state != "open":
        charged = charged._replace(state="closing", expires_at=lease.busy_until)
    if _counts_here(lease, drawn):
        return _covered(account, charged, told)
    return _returned(account, charged, told, cost - before)


def _covered(account: Account | None, lease: Lease, told: Draw) -> Posting:
    """Let the lease grow by what it has charged and does not hold, which is nothing as long as worst cases are."""
    more = lease.settled + lease.held - lease.amount
    if more <= 0:
        return Posting(None, lease, told)
    account = _brought(account)
    books = booked(account.books, lease.windows, settled=0, opened=more)
    return Posting(with_books(account, lease, books, more), lease._replace(amount=lease.amount + more), told)


def _returned(account: Account | None, lease: Lease, told: Draw, change: int) -> Posting:
    """Change what was booked in the windows of the draw, as far as the account still remembers them."""
    if not change:
        return Posting(None, lease, told)
    account = _brought(account)
    known = [window for window in told.windows if window in account.books]
    books = booked(account.books, known, settled=change, opened=0)
    corrected = lease._replace(amount=lease.amount + change, booked=lease.booked + change)
    return Posting(_with(account, books), corrected, told)


def _brought(account: Account | None) -> Account:
    if account is None:
        raise ValueError("this charge changes the tenant's books: bring its account")
    return account


def _with(account: Account, books: Mapping[str, Book]) -> Account:
    return account._replace(books=books, version=account.version + 1)
