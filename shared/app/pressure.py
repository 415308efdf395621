"""Backpressure: whether new work would wait too long, as far as this process knows its providers and what is parked.

Who lets work in need not be who calls models: what waits is looked up as well, once a second at most.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING

from shared.app.recent import looked
from shared.core.health import WELL, against
from shared.core.schedule import Load, Shed, shed
from shared.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.routing import Candidate
    from shared.core.task import Task
    from shared.events.task import Priority
    from shared.ports import Ports

_LOOKED_AT = 200  # parked tasks, those that wait longest: enough to know how long
_FOR_PROVIDERS = frozenset({"throttled", "preempted"})  # what a parked task waits for that providers decide


def check(ports: Ports, priority: Priority) -> None:
    """Raise Throttled (`pressure`) when work of that class should come back later, saying when."""
    policy = ports.policy()
    load = load_of(ports)
    found = shed(load, priority, policy.classes)
    if found.seconds:
        raise Throttled(_said(load, found, priority), retry_after=found.seconds, code="pressure")


def _said(load: Load, found: Shed, priority: Priority) -> str:
    if found.aged:
        return f"the oldest {found.priority} task has waited {found.aged:.0f} s for a provider"
    waiting = sum(load.waiting.values())
    if not load.per_second:
        return f"no provider takes calls for {load.opens_in:.0f} s and {waiting} tasks wait"
    state = f"{load.per_second:.3g} calls a second are taken and {waiting} tasks wait"
    return f"{state}: {priority} work would wait longer than it may"


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
    parked = [one for one in _parked(ports) if one.parked_for in _FOR_PROVIDERS]
    oldest: dict[Priority, float] = {}
    for one in parked:
        if one.parked_at is not None and not _due(one, now):
            oldest[one.priority] = max(oldest.get(one.priority, 0.0), now - one.parked_at.timestamp())
    return Load(Counter(one.priority for one in parked), oldest, per_second, min(opens, default=0.0))


def urgent(ports: Ports) -> int:
    """Return how many interactive tasks were seen to wait for providers, whichever process they were parked in."""
    return sum(one.priority == "interactive" and one.parked_for == "throttled" for one in _parked(ports))


def _parked(ports: Ports) -> Sequence[Task]:
    return looked(ports, "parked", lambda: ports.tasks.parked(limit=_LOOKED_AT))


def _due(task: Task, now: float) -> bool:
    """Tell whether a task may go on by itself: if it still waits, then for whoever resumes it and for no provider."""
    return task.parked_until is not None and task.parked_until.timestamp() <= now


def _away(ports: Ports, deployment: str, now: float) -> float:
    """Return for how many seconds a deployment takes no calls."""
    _, seconds = against(ports.learned.health.get(deployment, WELL), 0, now)
    return max(seconds, ports.learned.gate(deployment).shut_until - now, 0.0)


def _rate(ports: Ports, candidate: Candidate) -> float:
    """Return how many calls a second a deployment takes; without a bound as long as it was never refused."""
    return ports.learned.gate(candidate.name).rate or inf
