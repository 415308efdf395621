"""Rate limiters of others, asked line by line: `NAME COUNT` is answered with the seconds for so many requests.

Seconds are the processor's. Runs in an environment of its own, under its own interpreter; knows nothing of ours. Each
is used as its documentation says, in memory, at limits that are never reached: a request takes one from a rate of
requests and some from a rate of tokens.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

MANY = 10**9
TOKENS = 500
KEY = "acme"


def by_limits() -> Callable[[], bool]:
    """Return two hits of fixed windows, the cheapest strategy that `limits` has."""
    from limits import RateLimitItemPerMinute  # type: ignore[import-not-found]  # noqa: PLC0415  each is only in this environment
    from limits.storage import MemoryStorage  # type: ignore[import-not-found]  # noqa: PLC0415
    from limits.strategies import FixedWindowRateLimiter  # type: ignore[import-not-found]  # noqa: PLC0415

    limiter = FixedWindowRateLimiter(MemoryStorage())
    requests, tokens = RateLimitItemPerMinute(MANY), RateLimitItemPerMinute(MANY * TOKENS)
    return lambda: limiter.hit(requests, "requests", KEY) and limiter.hit(tokens, "tokens", KEY, cost=TOKENS)


def by_throttled() -> Callable[[], bool]:
    """Return two takings from token buckets."""
    from throttled import RateLimiterType, Throttled, rate_limiter, store  # type: ignore[import-not-found]  # noqa: PLC0415

    kept, kind = store.MemoryStore(), RateLimiterType.TOKEN_BUCKET.value

    def limiter(most: int) -> Any:  # noqa: ANN401  the library is not in the environment that checks types
        return Throttled(using=kind, quota=rate_limiter.per_min(most, burst=most), store=kept)

    requests, tokens = limiter(MANY), limiter(MANY * TOKENS)
    return lambda: not requests.limit("requests").limited and not tokens.limit("tokens", cost=TOKENS).limited


def by_pyrate() -> Callable[[], bool]:
    """Return two acquisitions that never wait."""
    from pyrate_limiter import Duration, Limiter, Rate  # type: ignore[import-not-found]  # noqa: PLC0415

    requests, tokens = Limiter(Rate(MANY, Duration.SECOND)), Limiter(Rate(MANY, Duration.SECOND))
    return lambda: bool(requests.try_acquire(KEY, blocking=False) and tokens.try_acquire(KEY, blocking=False))


def by_aiolimiter(count: int) -> float:
    """Return the processor's seconds of so many pairs of acquisitions, inside one event loop."""
    from aiolimiter import AsyncLimiter  # type: ignore[import-not-found]  # noqa: PLC0415

    async def run() -> float:
        requests, tokens = AsyncLimiter(MANY, 60), AsyncLimiter(MANY * TOKENS, 60)
        began = time.process_time()
        for _ in range(count):
            await requests.acquire()
            await tokens.acquire(TOKENS)
        return time.process_time() - began

    return asyncio.run(run())


def timed(make: Callable[[], Callable[[], bool]]) -> Callable[[int], float]:
    """Return what times so many requests of a limiter that is made once."""
    kept: list[Callable[[], bool]] = []

    def run(count: int) -> float:
        if not kept:
            kept.append(make())
        ask = kept[0]
        if not ask():
            raise RuntimeError("the limiter refuses what it should let through")
        began = time.process_time()
        for _ in range(count):
            ask()
        return time.process_time() - began

    return run


PEERS: dict[str, Callable[[int], float]] = {
    "limits": timed(by_limits),
    "throttled-py": timed(by_throttled),
    "pyrate-limiter": timed(by_pyrate),
    "aiolimiter": by_aiolimiter,
}


def main() -> None:
    """Say the versions, then answer until nobody asks."""
    print(" ".join(f"{name}={version(name)}" for name in PEERS), flush=True)
    for line in sys.stdin:
        name, count = line.split()
        print(PEERS[name](int(count)), flush=True)


if __name__ == "__main__":
    main()
