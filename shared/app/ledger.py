"""Spending, as use cases: load the rows, let `core.ledger` decide, post; once more when somebody else was first.

Each may be called again after any failure: what was done before is found and stays. Nothing here publishes: whoever
asks for money says so in the events of what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from shared.core import draws
from shared.core import ledger as leases
from shared.core.ledger import Account, Draw, Lease, LeaseAsk, Limits, Posting
from shared.errors import Conflict, NotFound, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.draws import DrawAsk, Outcome
    from shared.ports import Ledger

_RACES = 16
_PAGE = 100
_Row = TypeVar("_Row", Lease, Draw)
_Result = TypeVar("_Result")


class Treasury(Protocol):
    """What spending needs of the ports."""

    @property
    def ledger(self) -> Ledger:
        """Where the rows are."""
        ...

    @property
    def now(self) -> Callable[[], datetime]:
        """What time it is."""
        ...


class Drawn(NamedTuple):
    """A draw, and whether it was made just now: one that was found open belongs to an attempt that may still call."""

    draw: Draw
    fresh: bool


def open_lease(ports: Treasury, tenant: str, ask: LeaseAsk, limits: Limits) -> Lease:
    """Lease a run's worst case; one leased before is returned. Forbidden (`quota-used-up`) when it cannot be had."""

    def decide() -> tuple[Posting, Lease]:
        found = ports.ledger.lease(tenant, ask.id)
        posting = leases.open_lease(ports.ledger.account(tenant), found, ask, limits)
        return posting, _known(posting.lease or found, ask.id)

    return posted(ports, decide)


def extend(ports: Treasury, tenant: str, lease: str, amount: int, limits: Limits, *, until: float = 0.0) -> Lease:
    """Let a lease grow to `amount` in all and live until `until`, if that is more than it has."""
    return _changed(
        ports, tenant, lease, lambda account, found: leases.extend(account, found, amount, limits, until=until)
    )


def reopen(ports: Treasury, tenant: str, ask: LeaseAsk, limits: Limits) -> Lease:
    """Lease anew what a run that gave its lease back has not spent of its amount."""
    return _changed(ports, tenant, ask.id, lambda account, found: leases.reopen(account, found, ask, limits))


def close(ports: Treasury, tenant: str, lease: str) -> Lease:
    """Give back what a run has not spent; calls that are still out are charged at their worst case until they end."""
    return _changed(ports, tenant, lease, leases.close)


def expire(ports: Treasury, *, limit: int = 100, but: Collection[str] = ()) -> int:
    """End leases that outlived their time, whoever's they are; return how many. One that fails holds up no other.

    The leases `but` stay as they are: somebody is not done with them.
    """
    ended, failed = 0, None
    for due in ports.ledger.overdue(ports.now(), limit=limit):
        if due.id in but:
            continue
        try:
            ended += due.state == "open" and _expired(ports, due)
        except Transient as error:
            failed = error
    if failed is not None:
        raise failed
    return ended


def draw(ports: Treasury, tenant: str, lease: str, ask: DrawAsk) -> Drawn:
    """Set a call's worst case aside before it is made; one set aside before is returned as it is by now."""

    def decide() -> tuple[Posting, Drawn]:
        found = ports.ledger.draw(tenant, lease, ask.id)
        posting = draws.draw(_lease(ports, tenant, lease), found, ask)
        return posting, Drawn(_known(posting.draw or found, ask.id), posting.draw is not None)

    return posted(ports, decide)


def settle(ports: Treasury, tenant: str, lease: str, draw: str, outcome: Outcome) -> Draw:
    """Charge what a call has cost; the first cost that is told stays."""
    return _told(
        ports,
        (tenant, lease, draw),
        lambda _: outcome.cost,
        lambda account, held, drawn: draws.settle(account, held, drawn, outcome),
    )


def correct(ports: Treasury, tenant: str, lease: str, draw: str, outcome: Outcome) -> Draw:
    """Charge what a call of unknown outcome turns out to have cost; any other stays as it is."""
    return _told(
        ports,
        (tenant, lease, draw),
        lambda _: outcome.cost,
        lambda account, held, drawn: draws.correct(account, held, drawn, outcome),
    )


def unknown(ports: Treasury, tenant: str, lease: str, draw: str) -> Draw:
    """Charge a call whose end nobody knows at its worst case."""
    return _told(ports, (tenant, lease, draw), draws.charge, lambda _, held, drawn: draws.unknown(held, drawn))


def release(ports: Treasury, tenant: str, lease: str, draw: str) -> Draw:
    """Charge nothing for a call that was surely not served."""
    return _told(ports, (tenant, lease, draw), lambda _: 0, draws.release)


def quiet(ports: Treasury, tenant: str) -> bool:
    """Tell whether none of the tenant's calls can still be out, whatever became of who made them."""
    now = ports.now().timestamp()
    return not any(leases.busy(lease, now) for lease in leases_of(ports, tenant))


def end_calls(ports: Treasury, lease: Lease) -> None:
    """Charge what a lease still holds money for as calls whose end nobody knows; they may settle all the same."""
    for drawn in draws_of(ports, lease):
        if drawn.state == "open":
            unknown(ports, lease.tenant, lease.id, drawn.id)


def wind_up(
    ports: Treasury, due: Lease, bill: Callable[[Lease], object], *, over: bool, again_at: float = 0.0
) -> Lease | None:
    """Let a closing lease rest once `bill` has seen to it that its task's bill says what it charged; return it then.

    The calls of a task that is over are ended. One that lives has to say itself what becomes of a call whose end nobody
    knows, so that its lease is put off until `again_at`. None: it is not closing, or changed meanwhile, and has to be
    seen again.
    """
    if over:
        end_calls(ports, due)
    seen = _lease(ports, due.tenant, due.id)
    posting = leases.rest(seen, again_at)
    if posting.lease is None:
        return None
    bill(seen)
    try:
        ports.ledger.post(posting)
    except Conflict:
        return None
    return posting.lease


def draws_of(ports: Treasury, lease: Lease) -> Iterator[Draw]:
    """Yield all draws of a lease, in the order of their ids."""
    after = ""
    while page := ports.ledger.draws(lease.tenant, lease.id, limit=_PAGE, after=after):
        yield from page
        after = page[-1].id


def leases_of(ports: Treasury, tenant: str) -> Iterator[Lease]:
    """Yield all leases of a tenant, in the order of their ids."""
    after = ""
    while page := ports.ledger.leases(tenant, limit=_PAGE, after=after):
        yield from page
        after = page[-1].id


def _expired(ports: Treasury, due: Lease) -> bool:
    """End the lease if it still is overdue, and say whether this did it."""

    def decide() -> tuple[Posting, bool]:
        account, found = ports.ledger.account(due.tenant), _lease(ports, due.tenant, due.id)
        posting = leases.expire(account, found, ports.now().timestamp())
        return posting, posting.lease is not None

    return posted(ports, decide)


def _changed(ports: Treasury, tenant: str, lease: str, change: Callable[[Account, Lease], Posting]) -> Lease:
    def decide() -> tuple[Posting, Lease]:
        account, found = ports.ledger.account(tenant), _lease(ports, tenant, lease)
        posting = change(account, found)
        return posting, posting.lease or found

    return posted(ports, decide)


def _told(
    ports: Treasury,
    key: tuple[str, str, str],
    cost: Callable[[Draw], int],
    change: Callable[[Account | None, Lease, Draw], Posting],
) -> Draw:
    """Change a draw and its lease, and its tenant's account only where the cost changes that, too."""
    tenant, lease, name = key

    def decide() -> tuple[Posting, Draw]:
        drawn = _known(ports.ledger.draw(tenant, lease, name), name)
        held = _lease(ports, tenant, lease)
        account = ports.ledger.account(tenant) if draws.needs_account(held, drawn, cost(drawn)) else None
        posting = change(account, held, drawn)
        return posting, posting.draw or drawn

    return posted(ports, decide)


def posted(ports: Treasury, decide: Callable[[], tuple[Posting, _Result]]) -> _Result:
    """Post what is decided and return its result; decide again when somebody else was first."""
    for _ in range(_RACES):
        posting, result = decide()
        try:
            if posting != leases.NOTHING:
                ports.ledger.post(posting)
        except Conflict:
            continue
        return result
    raise Transient("the ledger's rows are changed by many at once", retry_after=0.5)


def _lease(ports: Treasury, tenant: str, lease: str) -> Lease:
    return _known(ports.ledger.lease(tenant, lease), lease)


def _known(row: _Row | None, name: str) -> _Row:
    if row is None:
        raise NotFound(f"the ledger has no {name!r}")
    return row
