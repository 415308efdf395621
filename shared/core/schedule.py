"""Who goes next, who is not let in, and who gives way, when there is more work than can be done.

Start-time fair queueing between the classes of work: each has its weight's share of what can be done, and what one does
not use the others have. What waits gains weight, up to that of the class above, so nothing starves. The bounds, as long
as C calls a second can be made and the weights are 16, 4 and 1 (each growing up to 16, 16 and 4):

- interactive work that needs less than 16/36 of C waits for two calls of the others at most, whatever they bring;
- background work has at least 1/33 of C, and none that was let in waits for longer than its class's `most_wait`: who
  would have to is told when to come back (`pressure`).

`pick` serves whoever has one queue for all classes, as the simulation of loads has. On a cloud the queues are lanes and
parked tasks: lanes have their own bounds, and `order` says which parked tasks go on first.

Knows numbers and classes; times are seconds since the epoch, or a length where it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from shared.core.gate import Gate
from shared.core.money import usd
from shared.core.policy import PRIORITIES, Classes, Policy
from shared.events.task import Priority

if TYPE_CHECKING:
    from datetime import datetime

    from shared.core.ledger import Lease

_INTERACTIVE = PRIORITIES.index("interactive")


class Turns(NamedTuple):
    """How far each class has been served, in calls by weight; `clock` is how far the last one was that went."""

    interactive: float = 0.0
    standard: float = 0.0
    background: float = 0.0
    clock: float = 0.0


class Load(NamedTuple):
    """What waits, and how fast that is done.

    `waiting` counts by class; `oldest` is how long a class's oldest has waited. So many calls a second are taken by
    the providers that are well; `opens_in` seconds the first will take some when none does.
    """

    waiting: Mapping[Priority, int] = {}
    oldest: Mapping[Priority, float] = {}
    per_second: float = inf
    opens_in: float = 0.0


class Shed(NamedTuple):
    """That work should come back in so many seconds, 0 for not at all.

    Nobody knows how long when a class's oldest has waited too long, `aged` seconds; else what is queued says so.
    """

    seconds: float = 0.0
    priority: Priority = "standard"
    aged: float = 0.0


class Money(NamedTuple):
    """A tenant's money in micro-USD: what nobody holds, and what interactive work waits for."""

    free: int
    waited_for: int


class Waiting(Protocol):
    """Work that waits, as an order needs it: a parked task."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def tenant(self) -> str:
        """Whose it is."""
        ...

    @property
    def priority(self) -> Priority:
        """Its class."""
        ...

    @property
    def submitted_at(self) -> datetime:
        """Since when it waits, unless it was parked later."""
        ...

    @property
    def parked_at(self) -> datetime | None:
        """Since when it waits."""
        ...


_Work = TypeVar("_Work", bound=Waiting)


def pick(oldest: Mapping[Priority, float], turns: Turns, classes: Classes, now: float) -> tuple[Priority, Turns]:
    """Return the class whose turn it is among those that wait (since when, by class), and the turns after it."""
    at, chosen = inf, -1
    for place, priority in enumerate(PRIORITIES):
        if priority in oldest:
            start = max(turns[place], turns.clock)
            if start < at:
                at, chosen = start, place
    priority = PRIORITIES[chosen]
    served = list(turns)
    served[chosen] = at + 1 / weight(classes, priority, now - oldest[priority])
    served[-1] = at
    return priority, Turns(*served)


def weight(classes: Classes, priority: Priority, waited: float) -> float:
    """Return the share of a class whose oldest has waited for so long."""
    mine = classes.of(priority)
    return min(classes.heaviest[priority], mine.weight * (1 + max(0.0, waited) / mine.ageing))


def order(
    policy: Policy, waiting: Sequence[_Work], now: datetime, running: Mapping[Priority, int] | None = None
) -> list[_Work]:
    """Return all of it in the order in which it should go on: fair between classes, in a class between tenants.

    `running` counts what each class has at work already; a class that has more than its share comes later.
    """
    lines = {priority: list(_line(waiting, priority)) for priority in PRIORITIES}
    at_work = running or {}
    shares = [at_work.get(one, 0) / policy.classes.of(one).weight for one in PRIORITIES]
    turns = Turns(shares[0], shares[1], shares[2], min(shares))
    done: list[_Work] = []
    for line in lines.values():
        line.reverse()
    while any(lines.values()):
        oldest = {one: _since(line[-1]) for one, line in lines.items() if line}
        priority, turns = pick(oldest, turns, policy.classes, now.timestamp())
        done.append(lines[priority].pop())
    return done


def _line(waiting: Iterable[_Work], priority: Priority) -> Iterator[_Work]:
    """Yield a class's work, its tenants in turn, each one's oldest first."""
    by_tenant: dict[str, list[_Work]] = {}
    for one in sorted(waiting, key=lambda one: (_since(one), one.id)):
        if one.priority == priority:
            by_tenant.setdefault(one.tenant, []).append(one)
    rounds = [(place, _since(one), one.id, one) for line in by_tenant.values() for place, one in enumerate(line)]
    yield from (one for *_, one in sorted(rounds, key=lambda row: row[:3]))


def _since(one: Waiting) -> float:
    return (one.parked_at or one.submitted_at).timestamp()


def pressure(load: Load, priority: Priority, classes: Classes) -> float:
    """Return in how many seconds work of that class is let in, if nobody else comes: 0 for now."""
    return shed(load, priority, classes).seconds


def shed(load: Load, priority: Priority, classes: Classes) -> Shed:
    """Return whether work of that class should come back later, and for whose sake.

    A class is shed when its next one would wait for longer than it may, at the share that it surely has, or when its
    oldest has: then nobody knows for how long, and it is told to look again. So is every class below one that is shed.
    """
    above = PRIORITIES[: PRIORITIES.index(priority) + 1]
    return max((_excess(load, one, classes) for one in above), key=lambda one: one.seconds)


def expected(load: Load, priority: Priority, classes: Classes) -> float:
    """Return for how many seconds the next of a class will wait at most, behind those that wait already."""
    if not load.per_second:
        return load.opens_in
    return load.waiting.get(priority, 0) / (load.per_second * classes.shares[priority])


def _excess(load: Load, priority: Priority, classes: Classes) -> Shed:
    most = classes.of(priority).most_wait
    queued, waited = expected(load, priority, classes) - most, load.oldest.get(priority, 0.0)
    aged = min(most, waited - most)
    return Shed(max(0.0, queued, aged), priority, waited if aged > max(0.0, queued) else 0.0)


def give_way(lease: Lease, money: Money, gates: Collection[Gate], now: float) -> str | None:
    """Return why a background run should give way at its next step, or None when it may go on.

    Interactive work of its tenant waits for money that would be there without it, or interactive work was told to wait
    at the gates of all deployments that the run could ask.
    """
    if lease.priority != "background":
        return None
    has_some = lease.amount > lease.settled + lease.held
    return (_for_money(money, 0) if has_some else None) or _for_calls(gates, now)


def stay_parked(amount: int, money: Money, gates: Collection[Gate], now: float) -> str | None:
    """Return why a background run that gave way should not take so much money again yet, or None when it may."""
    return _for_money(money, amount) or _for_calls(gates, now)


def is_held(gate: Gate, now: float) -> bool:
    """Tell whether interactive work was told to wait at the gate."""
    return now < gate.held[_INTERACTIVE]


def _for_money(money: Money, amount: int) -> str | None:
    if not money.waited_for or money.free >= money.waited_for + amount:
        return None
    return f"interactive work waits for {usd(money.waited_for)}, and {usd(max(0, money.free))} are free"


def _for_calls(gates: Collection[Gate], now: float) -> str | None:
    if not gates or not all(is_held(gate, now) for gate in gates):
        return None
    return f"interactive work waits at {'the gate' if len(gates) == 1 else f'all {len(gates)} gates'} it could use"
