"""The ledger: what a tenant may spend, what its runs hold of that, and what their calls have cost.

Three rows, each with a version: a tenant's `Account`, a run's `Lease`, a call's `Draw`. Every decision is a function of
rows as they are stored to a `Posting` of rows as they will be, each one version on; an empty posting says that there is
nothing to do. Money is integer micro-USD. Nothing here reads a clock: `at` is seconds since the epoch.

What holds in every stored state, whoever else is at work:

1. a lease: settled + held ≤ amount, where held is the sum of the worst cases of its open draws (in `core.draws`), of
   which there are `calls`;
2. a window: open = the sum of amount - booked over the open leases in it;
3. a window: settled + open ≤ its limit + the overruns of its leases; only a provider that counts more than the worst
   case of a call makes an overrun;
4. a lease that ended is booked as what it charged: amount = booked = settled + held;
5. a lease that is closed or expired has no open draw, and its task's bill says what it charged: a lease that ends while
   calls are out, and one of which a call is told after its end, is closing until somebody has seen to both.

So after the last lease has ended nothing is open and no run is counted, whatever became of its calls. A call can be out
until its lease's `busy_until`, and no longer: of a draw that is open then nobody will ever know the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Literal, NamedTuple

from shared.core.buckets import Bucket
from shared.core.money import usd
from shared.errors import Forbidden, Permanent
from shared.events.ids import MAX_NUMBER
from shared.events.task import Priority

LeaseState = Literal["open", "closing", "closed", "expired"]
DUE: tuple[LeaseState, ...] = ("open", "closing")  # somebody has to look after these when their time is over
DrawState = Literal["open", "settled", "unknown", "released"]

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_KEPT = 2  # windows of a kind that stay although nothing is open in them: replicas' clocks differ


class Book(NamedTuple):
    """One window's money: charged for good, and set aside by open leases."""

    settled: int = 0
    open: int = 0


class Wait(NamedTuple):
    """Work that asked for money which others hold, since when, and how much it is."""

    amount: int
    priority: Priority
    since: float


class Account(NamedTuple):
    """A tenant's row, touched when a lease opens, grows or ends and not by each call.

    `books` go by window, `waits` by the id of the lease that is waited for; `runs` counts open leases, `yielding` is
    what background ones hold of their money, who give it back when they are asked to.
    """

    tenant: str
    version: int = 0
    books: Mapping[str, Book] = {}
    runs: int = 0
    requests: Bucket = Bucket()
    tokens: Bucket = Bucket()
    turned_away: int = 0
    waits: Mapping[str, Wait] = {}
    yielding: int = 0


class Lease(NamedTuple):
    """Money set aside for a run: `amount` in all, of which `settled` is spent and `held` is drawn and not yet known.

    `booked` is what earlier closings have charged to the books already; `overrun` what providers charged beyond the
    worst case that was set aside for their calls. `expires_at` is when somebody has to look after it: until then it may
    be drawn from, or, while it is closing, calls may end by themselves. No call is out after `busy_until`.
    """

    id: str
    tenant: str
    task: str
    workflow: str
    priority: Priority
    amount: int
    windows: tuple[str, ...]
    expires_at: float
    settled: int = 0
    held: int = 0
    booked: int = 0
    overrun: int = 0
    state: LeaseState = "open"
    version: int = 1
    calls: int = 0
    busy_until: float = 0.0


class Draw(NamedTuple):
    """A call's money: its worst case until its cost is known. `answer` is JSON text, so that no retry pays again.

    `price_version` names the prices that it was made at, `note` says why (`core.notes`), and `remaining` what its lease
    had left then: who finds it after a crash can tell. `paid` is what a settled call was paid for.
    """

    id: str
    tenant: str
    lease: str
    document: int
    step: str
    deployment: str
    worst: int
    input_sha256: str
    windows: tuple[str, ...]
    actual: int = 0
    state: DrawState = "open"
    tokens_in: int = 0
    tokens_out: int = 0
    answer: str = ""
    version: int = 1
    price_version: str = ""
    paid: str = ""
    remaining: int = 0
    note: str = ""


class Posting(NamedTuple):
    """What is written in one transaction, or nothing of it."""

    account: Account | None = None
    lease: Lease | None = None
    draw: Draw | None = None


class Limits(NamedTuple):
    """What a tenant may spend, in the order of `windows_at`."""

    day: int = MAX_NUMBER
    month: int = MAX_NUMBER


class LeaseAsk(NamedTuple):
    """What a run asks for: `amount` is all it may cost from its beginning to its end, whatever it spent before."""

    id: str
    task: str
    workflow: str
    priority: Priority
    amount: int
    at: float
    expires_at: float


NOTHING = Posting()
UNLIMITED = Limits()
_EMPTY = Book()
_UNUSED = (0, 0, 0, 0, "open", 1, 0, 0.0)  # the rest of a lease that was just opened
_row = tuple.__new__  # makes a row as its class does, in half the time: admission opens a lease for each request


@lru_cache(maxsize=8)
def _windows(day: int) -> tuple[str, str]:
    name = date.fromordinal(_EPOCH + day).isoformat()
    return f"day:{name}", f"month:{name[:7]}"


def windows_at(at: float) -> tuple[str, str]:
    """Return the windows that money leased at this time counts in: a day and a month, in UTC."""
    return _windows(int(at // _DAY))


def left(account: Account, windows: Iterable[str], limits: Limits) -> int:
    """Return what may still be leased in all of these windows; negative when a limit was lowered below what is out."""
    books = account.books
    return min(limit - sum(books.get(window, _EMPTY)) for window, limit in zip(windows, limits, strict=True))


def open_lease(account: Account, lease: Lease | None, ask: LeaseAsk, limits: Limits) -> Posting:
    """Set the run's worst case aside. A lease that exists, in whatever state, stays as it is.

    Raises Forbidden when a window's limit does not allow it.
    """
    return begin(account, ask, limits, account[4:7]) if lease is None else NOTHING


def begin(account: Account, ask: LeaseAsk, limits: Limits, asking: tuple[Bucket, Bucket, int]) -> Posting:
    """Open a lease that nobody has, by a request that leaves these buckets and this count of who was turned away."""
    id_, task, workflow, priority, amount, at, expires_at = ask
    windows = _windows(int(at // _DAY))
    tenant, version, books, runs, _, _, _, waits, yielding = account
    if amount < 0:
        amount = _sum(amount)
    if id_ in waits:
        waits = _without(waits, id_)
    if priority == "background":
        yielding += amount
    after = (tenant, version + 1, _set_aside(books, windows, limits, amount), runs + 1, *asking, waits, yielding)
    mine = (id_, tenant, task, workflow, priority, amount, windows, expires_at, *_UNUSED)
    return _row(Posting, (_row(Account, after), _row(Lease, mine), None))


def extend(account: Account, lease: Lease, amount: int, limits: Limits, *, until: float = 0.0) -> Posting:
    """Let an open lease grow to `amount` in all and live until `until`; one that has that much stays as it is.

    Raises Forbidden when a window's limit does not allow it, Permanent when the lease is over.
    """
    check_open(lease)
    more, until = max(0, amount - lease.amount), max(until, lease.expires_at)
    if not more and until == lease.expires_at:
        return NOTHING
    grown = lease._replace(amount=lease.amount + more, expires_at=until, version=lease.version + 1)
    if not more:
        return Posting(None, grown)
    books = _set_aside(account.books, lease.windows, limits, more)
    return Posting(with_books(account, lease, books, more), grown)


def reopen(account: Account, lease: Lease, ask: LeaseAsk, limits: Limits) -> Posting:
    """Let a run that gave its lease back go on: what it charged stays charged, the rest of its amount is leased anew.

    An open lease stays as it is. Raises Forbidden when a window's limit does not allow it.
    """
    if lease.state == "open":
        return NOTHING
    windows = windows_at(ask.at)
    more = max(0, _sum(ask.amount) - lease.amount)
    books = _set_aside(account.books, windows, limits, more)
    again = lease._replace(
        priority=ask.priority,
        amount=lease.amount + more,
        windows=windows,
        expires_at=ask.expires_at,
        state="open",
        version=lease.version + 1,
    )
    after = with_books(account, again, books, more)
    return Posting(after._replace(runs=account.runs + 1, waits=_without(account.waits, lease.id)), again)


def close(account: Account, lease: Lease) -> Posting:
    """End a lease: what it charged is booked, the rest is returned. Closing what is over changes nothing.

    Calls that are still out are charged at their worst case; what they cost less comes back when they settle. One that
    is closing and was put off is looked after as soon as its calls are over.
    """
    if lease.state == "closing" and lease.expires_at > lease.busy_until:
        return Posting(None, lease._replace(expires_at=lease.busy_until, version=lease.version + 1))
    return _ended(account, lease, "closed")


def expire(account: Account, lease: Lease, now: float) -> Posting:
    """End a lease that outlived its time, as `close` does; one that did not is left alone."""
    return _ended(account, lease, "expired") if lease.expires_at <= now else NOTHING


def busy(lease: Lease, at: float) -> bool:
    """Tell whether a call of the lease can still be out."""
    return lease.calls > 0 and lease.busy_until > at


def rest(lease: Lease, again_at: float) -> Posting:
    """Close a closing lease whose task's bill says what it charged; one with open draws is put off."""
    if lease.state != "closing":
        return NOTHING
    if lease.calls > 0:
        return Posting(None, lease._replace(expires_at=again_at, version=lease.version + 1))
    return Posting(None, lease._replace(state="closed", version=lease.version + 1))


def check_open(lease: Lease, at: float = 0.0) -> None:
    """Raise Permanent when the lease has ended or, at that time, should have: whoever still uses it is too late."""
    if lease.state != "open" or at >= lease.expires_at:
        over = "expired" if lease.state == "open" else lease.state
        raise Permanent(f"lease {lease.id} is {over}: its money went back to {lease.tenant}", code="lease-over")


def _sum(amount: int) -> int:
    if amount < 0:
        raise Permanent(f"{amount} micro-USD cannot be leased", code="invalid", where="amount")
    return amount


def with_books(account: Account, lease: Lease, books: Mapping[str, Book], more: int) -> Account:
    """Return the account with other books, in which the lease has so much more open."""
    yielding = max(0, account.yielding + more) if lease.priority == "background" else account.yielding
    return account._replace(version=account.version + 1, books=books, yielding=yielding)


def _without(waits: Mapping[str, Wait], lease: str) -> Mapping[str, Wait]:
    """Return who waits, without whoever waits no longer."""
    return {name: wait for name, wait in waits.items() if name != lease}


def _set_aside(books: Mapping[str, Book], windows: tuple[str, ...], limits: Limits, more: int) -> Mapping[str, Book]:
    """Return the books with so much more open in these windows; Forbidden when a limit does not allow it."""
    after = dict(books)
    for window, limit in zip(windows, limits, strict=True):
        book = after.get(window)
        if book is None:
            after, book = _recent(after, window), _EMPTY
        settled, opened = book
        if settled + opened + more > limit and more:
            raise _used_up(window, settled, opened, limit, more)
        after[window] = _row(Book, (settled, opened + more))
    return after


def _used_up(window: str, settled: int, opened: int, limit: int, more: int) -> Forbidden:
    room = max(0, limit - settled - opened)
    return Forbidden(
        f"{usd(more)} are more than the {usd(room)} left of {usd(limit)} for {window.replace(':', ' ')}"
        f" ({usd(settled)} spent, {usd(opened)} set aside)",
        code="quota-used-up",
    )


def booked(books: Mapping[str, Book], windows: Iterable[str], *, settled: int, opened: int) -> Mapping[str, Book]:
    """Return the books with so much more settled and open in these windows."""
    after = dict(books)
    for window in windows:
        if window not in after:
            after = _recent(after, window)
        before = after.get(window, _EMPTY)
        after[window] = Book(before.settled + settled, before.open + opened)
    return after


def _recent(books: Mapping[str, Book], coming: str) -> dict[str, Book]:
    """Leave out the windows of that kind that are long over; money that is out keeps its window."""
    kind = coming.partition(":")[0]
    names = sorted((name for name in books if name.partition(":")[0] == kind), reverse=True)
    over = {name for name in names[_KEPT:] if not books[name].open and name < coming}
    return {name: book for name, book in books.items() if name not in over}


def _ended(account: Account, lease: Lease, state: LeaseState) -> Posting:
    if lease.state != "open":
        return NOTHING
    charged = lease.settled + lease.held
    less = lease.booked - lease.amount
    books = booked(account.books, lease.windows, settled=charged - lease.booked, opened=less)
    return Posting(
        with_books(account, lease, books, less)._replace(runs=account.runs - 1),
        lease._replace(
            amount=charged,
            booked=charged,
            state="closing" if lease.calls > 0 else state,
            expires_at=lease.busy_until if lease.calls > 0 else lease.expires_at,
            version=lease.version + 1,
        ),
    )
