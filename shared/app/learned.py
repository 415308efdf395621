"""What a process has learned about its deployments: their health and their gates, shared by its threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from threading import Lock
from types import MappingProxyType

from shared.core import gate, health
from shared.core.gate import Gate
from shared.core.health import BREAKER, WELL, Breaker, Health, Outcome
from shared.core.routing import Route

_MINUTE = 60.0
_MOST = 1024  # deployments; a policy that was reloaded many times leaves old names behind


def seat_of(process: str) -> float:
    """Return a process's place among those that wait, from 0 to 1, by a name that no other one has."""
    return int.from_bytes(sha256(process.encode()).digest()[:4], "big") / 2**32


class Learned:
    """Health and gate per deployment. `seat`, from 0 to 1, is this process's place among those that wait.

    `breaker` says when one that fails is left alone.
    """

    def __init__(self, seat: float = 0.0, breaker: Callable[[], Breaker] = lambda: BREAKER) -> None:
        self._seat, self._breaker = seat, breaker
        self._health: dict[str, Health] = {}
        self._gates: dict[str, Gate] = {}
        self._lock = Lock()

    @property
    def health(self) -> Mapping[str, Health]:
        """Return what is known; the values never change, the names do."""
        return MappingProxyType(self._health)

    def gate(self, deployment: str) -> Gate:
        """Return a deployment's gate as it is."""
        return self._gates.get(deployment, Gate())

    def enter(self, route: Route, now: float, rank: int) -> float:
        """Let a call through and return 0, or the seconds to wait."""
        breaker = self._breaker()
        with self._lock:
            before = self._gates.get(route.name) or Gate(limit=route.per_second)
            self._gates[route.name], wait = gate.allow(before, now, rank)
            if not wait:
                self._health[route.name] = health.begin(self._health.get(route.name, WELL), now, breaker)
            if len(self._health) > _MOST:
                self._forget(route.name)
            return wait

    def leave(self, route: Route, outcome: Outcome, now: float) -> None:
        """Learn from a call's end."""
        breaker = self._breaker()
        with self._lock:
            self._health[route.name] = health.observe(self._health.get(route.name, WELL), outcome, now, breaker)
            before = self._gates.get(route.name) or Gate(limit=route.per_second)
            limit = outcome.quota.requests_limit if outcome.quota else None
            if limit:
                before = gate.told(before, limit / _MINUTE)
            if outcome.end in {"answered", "bad-answer"}:
                self._gates[route.name] = gate.answered(before, now)
            elif outcome.end == "throttled" or outcome.retry_after:
                self._gates[route.name] = gate.throttled(before, now, outcome.retry_after, self._seat)

    def hear(self, deployment: str, until: float, now: float) -> None:
        """Learn that another process was told to leave a deployment alone until then."""
        with self._lock:
            before = self._gates.get(deployment, Gate())
            after = gate.heard(before, now, until, self._seat)
            if after is before:
                return
            self._gates[deployment] = after
            state = self._health.get(deployment, WELL)
            self._health[deployment] = state._replace(closed_until=max(state.closed_until, until))
            if len(self._health) > _MOST:
                self._forget(deployment)

    def _forget(self, but: str) -> None:
        oldest = next(name for name in self._health if name != but)
        del self._health[oldest]
        self._gates.pop(oldest, None)
