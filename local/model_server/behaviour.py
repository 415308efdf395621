"""What becomes of a request: answered, refused, or answered badly; and how long that takes. Pure, time is an argument.

Quotas are buckets that fill evenly: a client that waits exactly as long as it is told is let in, unless another
one was faster. A refused request takes nothing out of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from local.model_server.exchange import Meter

if TYPE_CHECKING:
    from local.model_server.scenario import Deployment, Kind, Phase

_MINUTE = 60.0
_A_HAIR = 1e-6  # what rounding may take from a bucket
_SOON = 1.0  # seconds; when nobody can know how long a 429 will last


@dataclass(frozen=True, slots=True)
class State:
    """What a deployment remembers: how many asked, and its buckets as they were at `since`."""

    count: int = 0
    since: float = -math.inf
    requests: float = 0.0
    tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A request's fate and the state behind it."""

    kind: Kind
    state: State
    first_byte: float = 0.0
    retry_after: float | None = None
    phase: Phase | None = None
    requests: Meter | None = None
    tokens: Meter | None = None


def decide(deployment: Deployment, state: State, tokens: int, now: float, seed: str = "") -> Decision:
    """Decide on the next request: it brings and asks for so many tokens, `now` is in the scenario's seconds."""
    number = state.count + 1
    phase = _phase(deployment, number, now, seed)
    requests, words = _meters(deployment, state, now)
    counted = replace(state, count=number)
    if phase is not None and phase.status is not None:
        wait = phase.latency.at(_luck(seed, number, "latency")) if phase.latency else 0.0
        retry = _until_over(phase, now) if deployment.tells_limits else None
        return Decision(phase.kind, counted, wait, retry, phase, *_told(deployment, requests, words))
    missing = max(_wait(requests, 1, deployment), _wait(words, tokens, deployment))
    if missing > 0:
        told = missing if deployment.tells_limits and math.isfinite(missing) else None
        return Decision("429", counted, 0.0, told, None, *_told(deployment, requests, words))
    requests, words = _drawn(requests, 1), _drawn(words, tokens)
    latency = (phase and phase.latency) or deployment.latency
    after = State(number, now, requests.left if requests else 0.0, words.left if words else 0.0)
    wait = latency.at(_luck(seed, number, "latency"))
    kind = phase.kind if phase else "ok"
    return Decision(kind, after, wait, None, phase, *_told(deployment, requests, words))


def _phase(deployment: Deployment, number: int, now: float, seed: str) -> Phase | None:
    on = ((place, phase) for place, phase in enumerate(deployment.phases) if phase.covers(now))
    hit = (phase for place, phase in on if _hits(phase, number, seed, place))
    return next(hit, None)


def _hits(phase: Phase, number: int, seed: str, place: int) -> bool:
    if number % phase.every:
        return False
    return phase.rate >= 1 or _luck(seed, number, str(place)) < phase.rate


def _luck(seed: str, number: int, what: str) -> float:
    """Draw a number from 0 up to 1; the same one every time."""
    drawn = blake2b(f"{seed}/{number}/{what}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "big") / 2**64


def _until_over(phase: Phase, now: float) -> float | None:
    """Return when it is worth trying again: as the phase says, else at its end if it hits everybody until then."""
    if phase.retry_after is not None:
        return phase.retry_after
    if phase.kind != "429":
        return None
    certain = phase.every == 1 and phase.rate >= 1 and phase.end is not None
    return phase.end - now if certain and phase.end is not None else _SOON


def _meters(deployment: Deployment, state: State, now: float) -> tuple[Meter | None, Meter | None]:
    quota = deployment.quota
    elapsed = max(0.0, now - state.since)
    return (
        _meter(quota.requests_per_minute, quota.burst, state.requests, elapsed),
        _meter(quota.tokens_per_minute, quota.burst, state.tokens, elapsed),
    )


def _meter(limit: int | None, burst: float, left: float, elapsed: float) -> Meter | None:
    if limit is None:
        return None
    whole = _whole(limit, burst)
    now = min(whole, left + elapsed * limit / _MINUTE)
    return Meter(limit, now, (whole - now) * _MINUTE / limit)


def _whole(limit: int, burst: float) -> float:
    return max(1.0, limit * burst / _MINUTE)


def _told(deployment: Deployment, *meters: Meter | None) -> tuple[Meter | None, ...]:
    return meters if deployment.tells_limits else (None, None)


def _wait(meter: Meter | None, units: int, deployment: Deployment) -> float:
    """Return the seconds until so many units are there: never, when it is more than the bucket holds."""
    if meter is None or meter.left + _A_HAIR >= units:
        return 0.0
    if units > _whole(meter.limit, deployment.quota.burst):
        return math.inf
    return (units - meter.left) * _MINUTE / meter.limit


def _drawn(meter: Meter | None, units: int) -> Meter | None:
    if meter is None:
        return None
    left = max(0.0, meter.left - units)
    return Meter(meter.limit, left, meter.reset + (meter.left - left) * _MINUTE / meter.limit)
