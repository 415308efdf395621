"""Backpressure: whether new work would wait too long, as far as this process knows its providers and what is parked.

Who lets work in need not be who calls models: what waits is looked up as well, once a second at most.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING

from shared.core.health import WELL, against
from shared.core.schedule import Load, pressure
from shared.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.routing import Candidate
    from shared.core.task import Task
    from shared.events.task import Priority
    from shared.ports import Ports, Tasks

_LOOKED_AT = 200  # parked tasks, those that wait longest: enough to know how long
_EVERY = 1.0  # seconds
_SEEN: dict[int, tuple[Tasks, float, Sequence[Task]]] = {}
_FOR_PROVIDERS = frozenset({"throttled", "preempted"})  # what a parked task waits for that providers decide


def check(ports: Ports, priority: Priority) -> None:
    """Raise Throttled (`pressure`) when work of that class should come back later, saying when."""
    policy = ports.policy()
    load = load_of(ports)
    seconds = pressure(load, priority, policy.classes)
    if seconds:
        state = f"{load.per_second:.3g} calls a second are taken" if load.per_second else "no provider takes calls"
        waiting = sum(load.waiting.values())
        said = f"{state} and {waiting} tasks wait: {priority} work would wait longer than it may"
        raise Throttled(said, retry_after=seconds, code="pressure")


def load_of(ports: Ports) -> Load:
    """Return what waits for the providers, and what they take, as far as this process has learned it."""
    now, per_second, opens = ports.now().timestamp(), 0.0, []
    for candidate in ports.policy().candidates.values():
        seconds = _away(ports, candidate.name, now)
        if seconds:
            opens.append(seconds)
            continue
        per_second += _rate(ports, candidate)
        if per_second == inf:
            break
    parked = [one for one in _parked(ports.tasks, now) if one.parked_for in _FOR_PROVIDERS]
    oldest: dict[Priority, float] = {}
    for one in parked:
        if one.parked_at is not None:
            oldest[one.priority] = max(oldest.get(one.priority, 0.0), now - one.parked_at.timestamp())
    return Load(Counter(one.priority for one in parked), oldest, per_second, min(opens, default=0.0))


def _parked(tasks: Tasks, now: float) -> Sequence[Task]:
    """Return the tasks that were parked when somebody looked last, a second ago at most."""
    store, at, found = _SEEN.get(id(tasks), (None, -inf, ()))
    if store is not tasks or not 0 <= now - at < _EVERY:
        found = tasks.parked(limit=_LOOKED_AT)
        _SEEN.clear()  # a process has one store
        _SEEN[id(tasks)] = (tasks, now, found)
    return found


def _away(ports: Ports, deployment: str, now: float) -> float:
    """Return for how many seconds a deployment takes no calls."""
    _, seconds = against(ports.learned.health.get(deployment, WELL), 0, now)
    return max(seconds, ports.learned.gate(deployment).shut_until - now, 0.0)


def _rate(ports: Ports, candidate: Candidate) -> float:
    """Return how many calls a second a deployment takes; without a bound as long as it was never refused."""
    return ports.learned.gate(candidate.name).rate or inf
