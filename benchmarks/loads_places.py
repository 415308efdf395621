"""Who submits, and who answers: a dozen tenants and three providers, played."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from benchmarks.loads_world import NOON, World
from shared.core.buckets import NEVER_USED, Bucket, Rate, take, wait
from shared.core.health import Outcome
from shared.core.policy import Policy, TenantPolicy
from shared.core.routing import Candidate

_WIDE = {
    "requests_per_minute": 60_000,
    "request_burst": 2_000,
    "tokens_per_minute": 10**9,
    "token_burst": 10**9,
    "max_runs": 200_000,
    "daily_budget": 10**10,
    "monthly_budget": 10**11,
}
_PRICES = {"reserved": (300_000, 1_200_000), "large": (400_000, 1_600_000), "small": (500_000, 2_000_000)}


class Client(NamedTuple):
    """A tenant: its part of the submissions, and its limits."""

    part: float
    limits: TenantPolicy


@dataclass(slots=True)
class Provider:
    """Takes so many calls a second; `down` says when it answers 429, and then 503, whatever is asked."""

    per_second: int
    down: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bucket: Bucket = NEVER_USED
    said: Counter[str] = field(default_factory=Counter)

    def call(self, now: float, chance: Random) -> Outcome:
        """Return how the call ends."""
        throttles, breaks, well = self.down
        if throttles <= now < breaks:
            made = Outcome("throttled", 20.0, retry_after=20.0)
        elif breaks <= now < well:
            made = Outcome("failed", 300.0)
        else:
            rate = Rate(self.per_second * 60, self.per_second)
            after = take(self.bucket, rate, 1, now)
            if after is None:
                made = Outcome("throttled", 20.0, retry_after=max(0.05, wait(self.bucket, rate, 1, now)))
            else:
                self.bucket = after
                made = Outcome("answered", chance.uniform(400, 1200))
        self.said[made.end] += 1
        return made


def world(*, failing: tuple[float, float, float]) -> World:
    """Return a fabric with a dozen tenants and three providers, one of which fails at these moments of the run."""
    down = (NOON + failing[0], NOON + failing[1], NOON + failing[2])
    providers = {"reserved": Provider(500), "large": Provider(400, down), "small": Provider(300)}
    candidates = {name: _candidate(name, provider) for name, provider in providers.items()}
    clients = _clients()
    policy = Policy(tenants={name: one.limits for name, one in clients.items()}, candidates=candidates)
    return World(clients, providers, policy)


def _candidate(name: str, provider: Provider) -> Candidate:
    tokens_in, tokens_out = _PRICES[name]
    return Candidate(
        name=name,
        provider="openai",
        model=name,
        url="https://model.example",
        kind="provisioned" if name == "reserved" else "on-demand",
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        requests_per_minute=provider.per_second * 60,
    )


def _clients() -> dict[str, Client]:
    """Return tenants that each come to a limit of their own, and some that come to none."""
    odd = {
        "noisy": Client(40, _limits(requests_per_minute=12_000, request_burst=500)),
        "thrifty": Client(6, _limits(daily_budget=4_000_000)),
        "chatty": Client(6, _limits(tokens_per_minute=6_000_000, token_burst=1_000_000)),
        "crowded": Client(6, _limits(max_runs=60)),
        "tight": Client(2, _limits(daily_budget=5_000_000)),
    }
    return odd | {f"calm-{number}": Client(6, _limits()) for number in range(1, 7)}


def _limits(**said: int) -> TenantPolicy:
    return TenantPolicy.model_validate(_WIDE | said)
