"""What is learned about one deployment: breaker, quota, latency, success. Pure: time is an argument, epoch seconds."""

from __future__ import annotations

from typing import Literal, NamedTuple

from shared.core.completion import Quota

_PROBES = 1  # calls that try out a deployment at a time
_MOST_DOUBLED = 60  # times; no pause is that long
_WEIGHT = 0.1  # of the latest call in what is measured
_TOLD = 1.0  # a quota told to be back in less than this is not worth refusing for

End = Literal["answered", "bad-answer", "throttled", "failed", "refused"]


class Breaker(NamedTuple):
    """When a deployment that fails is left alone, and for how many seconds, each time twice as long as the last.

    A probe that has not reported back after `probe_seconds` does not block the next.
    """

    failures: int = 5  # in a row
    first_pause: float = 5.0
    longest_pause: float = 60.0
    probe_seconds: float = 60.0


BREAKER = Breaker()


class Outcome(NamedTuple):
    """How a call ended.

    `bad-answer` is an answer that would not do; `refused` says that the prompt was at fault, not the deployment.
    """

    end: End
    ms: float = 0.0
    retry_after: float = 0.0
    quota: Quota | None = None


class Health(NamedTuple):
    """One deployment as it was measured. Latency is in milliseconds, of answered calls; -1: the provider never said."""

    breaker: Literal["closed", "open", "half-open"] = "closed"
    failures: int = 0  # in a row
    trips: int = 0  # in a row
    retry_at: float = 0.0  # when an open breaker lets a probe through
    probes: int = 0  # under way
    closed_until: float = 0.0  # as the provider said
    requests_left: int = -1
    requests_reset: float = 0.0
    tokens_left: int = -1
    tokens_reset: float = 0.0
    latency: float = 0.0
    spread: float = 0.0
    success: float = 1.0
    answered: int = 0
    seen: float = 0.0  # when it answered last

    @property
    def p95(self) -> float:
        """The latency that about 19 of 20 calls stay below."""
        return self.latency + 2 * self.spread


WELL = Health()


def against(health: Health, tokens: int, now: float) -> tuple[str, float]:
    """Say why a call of so many tokens should not go there now, and for how many seconds; nothing: it may."""
    if now < health.closed_until:
        return "throttled", health.closed_until - now
    if health.breaker == "open" and now < health.retry_at:
        return "breaker open", health.retry_at - now
    if health.breaker == "half-open" and health.probes >= _PROBES and now < health.retry_at:
        return "being probed", health.retry_at - now
    if health.requests_left == 0 and now + _TOLD < health.requests_reset:
        return "no requests left", health.requests_reset - now
    if 0 <= health.tokens_left < tokens and now + _TOLD < health.tokens_reset:
        return "too few tokens left", health.tokens_reset - now
    return "", 0.0


def begin(health: Health, now: float, breaker: Breaker = BREAKER) -> Health:
    """Note a call on its way; behind an open breaker it is a probe."""
    left = health.requests_left - 1 if health.requests_left > 0 else health.requests_left
    if health.breaker == "closed":
        return health if left == health.requests_left else health._replace(requests_left=left)
    probes = 1 if now >= health.retry_at else health.probes + 1
    return health._replace(breaker="half-open", probes=probes, retry_at=now + breaker.probe_seconds, requests_left=left)


def observe(health: Health, outcome: Outcome, now: float, breaker: Breaker = BREAKER) -> Health:
    """Learn from a call's end."""
    if outcome.quota is not None:
        health = _told(health, outcome.quota, now)
    match outcome.end:
        case "answered" | "bad-answer":
            return _answered(health, outcome, now)
        case "throttled":
            until = max(health.closed_until, now + outcome.retry_after)
            return health._replace(closed_until=until, probes=max(0, health.probes - 1))
        case "refused":
            return health._replace(probes=max(0, health.probes - 1))
        case "failed":
            return _failed(health, outcome, now, breaker)


def _answered(health: Health, outcome: Outcome, now: float) -> Health:
    first = health.answered == 0
    off = outcome.ms - health.latency
    return health._replace(
        breaker="closed",
        failures=0,
        trips=0,
        probes=0,
        latency=outcome.ms if first else health.latency + _WEIGHT * off,
        spread=outcome.ms / 2 if first else health.spread + _WEIGHT * (abs(off) - health.spread),
        success=_moved(health.success, 1.0 if outcome.end == "answered" else 0.0),
        answered=health.answered + 1,
        seen=now,
    )


def _failed(health: Health, outcome: Outcome, now: float, breaker: Breaker) -> Health:
    failures = health.failures + 1
    success = _moved(health.success, 0.0)
    until = max(health.closed_until, now + outcome.retry_after) if outcome.retry_after else health.closed_until
    if health.breaker == "closed" and failures < breaker.failures:
        return health._replace(failures=failures, success=success, closed_until=until)
    if health.breaker == "open":  # it was on its way when the breaker opened: that says nothing new
        return health._replace(failures=failures, success=success, closed_until=until)
    pause = max(
        outcome.retry_after, min(breaker.longest_pause, breaker.first_pause * 2 ** min(health.trips, _MOST_DOUBLED))
    )
    return health._replace(
        breaker="open",
        failures=failures,
        trips=health.trips + 1,
        retry_at=now + pause,
        probes=0,
        success=success,
        closed_until=until,
    )


def _told(health: Health, quota: Quota, now: float) -> Health:
    if quota.requests_left is not None:
        reset = now + quota.requests_reset
        health = health._replace(requests_left=quota.requests_left, requests_reset=reset)
    if quota.tokens_left is not None:
        health = health._replace(tokens_left=quota.tokens_left, tokens_reset=now + quota.tokens_reset)
    return health


def _moved(rate: float, sample: float) -> float:
    return rate + _WEIGHT * (sample - rate)
