"""Admission: a request's rates, and the rates with the run's lease decided; next to buckets by hand and to libraries.

All is counted in processor time: a decision takes microseconds, and other processes disturb that least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from benchmarks.limiters import ENVIRONMENT, NAMES, Limiters
from benchmarks.runner import Bench, Effort, Row, at_most, in_turns
from shared.core.buckets import NEVER_USED, Bucket, Rate, take
from shared.core.granting import Ask, grant
from shared.core.ledger import Account
from shared.core.policy import Policy, TenantPolicy

_MICRO = 1e6
_MORE = 3  # times as many repeats, because each takes milliseconds only and a busy machine skews some
_MANY, _TOKENS = 10**9, 500
_REQUESTS, _READ = Rate(_MANY, _MANY), Rate(_MANY * _TOKENS, _MANY * _TOKENS)
_TENANT = TenantPolicy(
    requests_per_minute=_MANY,
    request_burst=_MANY,
    tokens_per_minute=_MANY * _TOKENS,
    token_burst=_MANY * _TOKENS,
    max_runs=_MANY,
    daily_budget=10**14,
    monthly_budget=10**15,
)
_LEASED = "admission, with the lease"
_RATES = "admission, two rates"


def rows(effort: Effort) -> Iterator[Row]:
    """Measure the decision with the lease, then the rates next to each peer."""
    times, repeats = effort.pick(full=20_000, quick=5_000, tiny=5), _MORE * effort.repeats
    yield _next_to_the_least(times, repeats)
    python = ENVIRONMENT.find() if effort.peers else None
    if python is None:
        reason = "its environment could not be made" if effort.peers else "not asked for, --peers does"
        yield from (Row(f"{_RATES}, {name}", "µs", (), name, target=at_most(1.0), note=reason) for name in NAMES)
        return
    with closing(Limiters(python)) as limiters:
        for name in NAMES:
            yield _next_to(limiters, name, times, repeats)


def _next_to_the_least(times: int, repeats: int) -> Row:
    ours, least = in_turns(repeats, _each(_leased(), times), _each(_by_hand(), times))
    note = (
        "In memory, 500 tokens and a lease a request. Ours: both rates, open runs, day and month, the lease, and the"
        " account as it will be stored. The limit: the two buckets in local variables, nothing else. 11 times that is"
        " the 5 µs we set ourselves, on the machine where the two buckets took 0.45."
    )
    return Row(_LEASED, "µs", ours, "limit: two buckets by hand", least, at_most(11.0), note)


def _next_to(limiters: Limiters, name: str, times: int, repeats: int) -> Row:
    limiters.run(name, 10)

    def theirs() -> float:
        return limiters.run(name, times) / times * _MICRO

    ours, others = in_turns(repeats, _each(_rates(), times), theirs)
    how = {
        "limits": "two hits of fixed windows, its cheapest strategy",
        "throttled-py": "two token buckets",
        "pyrate-limiter": "two acquisitions that never wait, weighing one each",
        "aiolimiter": "two acquisitions inside one event loop",
    }
    note = (
        "A request and 500 tokens, in memory, nobody refused. Ours: two token buckets as values, put back by tenant."
        f" {name} {limiters.versions[name]}: {how[name]}, in a process of its own."
    )
    return Row(f"{_RATES}, {name}", "µs", ours, name, others, at_most(1.0), note)


def _each(work: Callable[[], object], times: int) -> Bench:
    def run() -> float:
        began = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - began) / times * _MICRO

    return run


def _leased() -> Callable[[], None]:
    """Return a request that is granted, on the account that the one before left."""
    kept = {"acme": Account("acme")}
    policy = Policy(tenants={"acme": _TENANT})

    def ask() -> None:
        account = kept["acme"]
        made = Ask("lease", "task", "document-review", "standard", 1_000, _TOKENS)
        granted = grant(account, policy, _TENANT, made, time.time())
        after = granted.posting.account
        assert after is not None
        kept["acme"] = after

    ask()
    ask()
    assert (kept["acme"].runs, kept["acme"].version) == (2, 2)
    return ask


def _rates() -> Callable[[], None]:
    """Return a request that takes from both rates of a tenant."""
    kept: dict[str, tuple[Bucket, Bucket]] = {"acme": (NEVER_USED, NEVER_USED)}

    def ask() -> None:
        requests, tokens = kept["acme"]
        now = time.time()
        asked, read = take(requests, _REQUESTS, 1, now), take(tokens, _READ, _TOKENS, now)
        assert asked is not None
        assert read is not None
        kept["acme"] = (asked, read)

    return ask


def _by_hand() -> Callable[[], None]:
    """Return the least that two token buckets can be."""
    requests = tokens = float(_MANY * _TOKENS)
    at = time.time()
    rate = _MANY / 60

    def ask() -> None:
        nonlocal requests, tokens, at
        now = time.time()
        requests = min(_MANY, requests + (now - at) * rate)
        tokens = min(_MANY * _TOKENS, tokens + (now - at) * rate * _TOKENS)
        at = now
        assert requests >= 1
        assert tokens >= _TOKENS
        requests -= 1
        tokens -= _TOKENS

    return ask
