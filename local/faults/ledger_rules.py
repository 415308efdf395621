"""What must hold in a ledger at every moment: checked against its rows, not by its own reports.

Reads through the port alone, so that it looks the same at every store; must write nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shared.core.ledger import DUE, UNLIMITED, Account, Draw, Lease, Limits

if TYPE_CHECKING:
    from shared.ports import Ledger

_PAGE = 200
_KINDS = ("day", "month")


class Seen(NamedTuple):
    """A tenant's rows as they were at one moment, its draws by lease."""

    account: Account
    leases: list[Lease]
    draws: dict[str, list[Draw]]


def everything(ledger: Ledger, tenant: str) -> Seen:
    """Return all of a tenant's rows, while nobody writes."""
    leases = list(_leases(ledger, tenant))
    return Seen(ledger.account(tenant), leases, {lease.id: list(_draws(ledger, lease)) for lease in leases})


def glimpse(
    ledger: Ledger, tenant: str, known: Mapping[tuple[str, str], Lease] | None = None, tries: int = 20
) -> Seen | None:
    """Return rows that were stored together although others write, or None when they write too fast to tell.

    What the account is made of changes with the account alone, and a lease's draws with the lease alone: rows that
    were read between two equal versions belong together. Leases that changed meanwhile, and those that did not since
    they were `known`, come without their draws.
    """
    for _ in range(tries):
        before = ledger.account(tenant)
        leases = list(_leases(ledger, tenant))
        if ledger.account(tenant).version == before.version:
            fresh = [lease for lease in leases if (known or {}).get((tenant, lease.id)) != lease]
            return Seen(before, leases, dict(_steady(ledger, fresh)))
    return None


def _steady(ledger: Ledger, leases: Sequence[Lease]) -> Iterator[tuple[str, list[Draw]]]:
    for lease in leases:
        draws = list(_draws(ledger, lease))
        again = ledger.lease(lease.tenant, lease.id)
        if again == lease:
            yield lease.id, draws


def problems(seen: Seen, limits: Limits = UNLIMITED) -> list[str]:
    """Return what is wrong with rows that were stored together, a sentence each."""
    return [*_of_the_books(seen, limits), *(wrong for lease in seen.leases for wrong in _of_a_lease(lease, seen))]


def unbooked(seen: Seen) -> list[str]:
    """Return where the books have not what the leases have booked, while no window is so old that it was left out."""
    booked = sum(lease.booked for lease in seen.leases)
    books = seen.account.books.items()
    settled = {kind: sum(book.settled for window, book in books if window.startswith(kind)) for kind in _KINDS}
    return [
        f"the {kind}s' books have {there}, the leases booked {booked}"
        for kind, there in settled.items()
        if there != booked
    ]


def unended(seen: Seen) -> list[str]:
    """Return what has not come to its end although nobody is at work any more and all time is over."""
    left = [f"lease {lease.id} is {lease.state}" for lease in seen.leases if lease.state in DUE]
    left += [f"{book.open} are open in {window}" for window, book in seen.account.books.items() if book.open]
    return left + ([f"{seen.account.runs} runs are counted"] if seen.account.runs else [])


def _of_the_books(seen: Seen, limits: Limits) -> Iterator[str]:
    account, leases, _ = seen
    running = [lease for lease in leases if lease.state == "open"]
    if account.runs != len(running):
        yield f"{account.runs} runs are counted and {len(running)} leases are open"
    yielding = sum(lease.amount - lease.booked for lease in running if lease.priority == "background")
    if account.yielding != yielding:
        yield f"{account.yielding} are said to be held by background leases, they hold {yielding}"
    expected: dict[str, int] = defaultdict(int)
    for lease in running:
        for window in lease.windows:
            expected[window] += lease.amount - lease.booked
    overrun = sum(lease.overrun for lease in leases)
    for window in expected.keys() | account.books.keys():
        book = account.books.get(window)
        settled, opened = book or (0, 0)
        if opened != expected[window]:
            yield f"{opened} are open in {window}, its leases hold {expected[window]}"
        limit = limits[_KINDS.index(window.partition(":")[0])]
        if settled + opened > limit + overrun:
            yield f"{settled} + {opened} in {window} are more than {limit} and the overruns of {overrun}"


def _of_a_lease(lease: Lease, seen: Seen) -> Iterator[str]:
    if lease.settled + lease.held > lease.amount:
        yield f"lease {lease.id} has {lease.settled} + {lease.held} of {lease.amount}"
    if min(lease.settled, lease.held, lease.booked, lease.overrun) < 0:
        yield f"lease {lease.id} has less than nothing: {lease}"
    if lease.state != "open" and not lease.amount == lease.booked == lease.settled + lease.held:
        yield f"lease {lease.id} is {lease.state} and charged {lease.settled} + {lease.held}, not as booked: {lease}"
    if lease.state not in DUE and lease.calls:
        yield f"lease {lease.id} is {lease.state} and has {lease.calls} calls out"
    draws = seen.draws.get(lease.id)
    if draws is None:
        return
    calls = sum(drawn.state == "open" for drawn in draws)
    if lease.calls != calls:
        yield f"lease {lease.id} counts {lease.calls} calls that are out, {calls} are"
    held = sum(drawn.worst for drawn in draws if drawn.state == "open")
    settled = sum(drawn.actual for drawn in draws if drawn.state != "open")
    if (lease.held, lease.settled) != (held, settled):
        yield f"lease {lease.id} has {lease.settled} + {lease.held}, its draws come to {settled} + {held}"
    for drawn in draws:
        if drawn.actual != {"open": 0, "released": 0, "unknown": drawn.worst}.get(drawn.state, drawn.actual):
            yield f"draw {drawn.id} is {drawn.state} at {drawn.actual} of {drawn.worst}"


def _leases(ledger: Ledger, tenant: str) -> Iterator[Lease]:
    after = ""
    while page := ledger.leases(tenant, limit=_PAGE, after=after):
        yield from page
        after = page[-1].id


def _draws(ledger: Ledger, lease: Lease) -> Iterator[Draw]:
    after = ""
    while page := ledger.draws(lease.tenant, lease.id, limit=_PAGE, after=after):
        yield from page
        after = page[-1].id
