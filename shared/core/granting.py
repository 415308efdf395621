"""Granting a run its money: decided on the tenant's account as it is stored, before anything is spent.

Rates come first, then open runs, then money; the posting that takes from the rates leases the run's worst case. A
refusal posts nothing, so that a flood of requests costs no writes: what was turned away is counted by whoever asks and
noted with the next grant. Times are seconds since the epoch, amounts micro-USD.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.core.buckets import Bucket, Rate, level, settle, take, wait
from shared.core.ledger import (
    NOTHING,
    Account,
    Book,
    Lease,
    LeaseAsk,
    Limits,
    Posting,
    Wait,
    begin,
    close,
    left,
    windows_at,
)
from shared.core.money import usd
from shared.core.policy import Policy, TenantPolicy
from shared.errors import Forbidden, Throttled
from shared.events.task import Priority

_RUN_ENDS = 5.0  # seconds until it is worth another look; nobody knows when the next run ends, and the refusal says so
MONEY_RETURNS = 5.0  # likewise; background runs give theirs back at their next step
REASON = "within its rates and budgets"
_row = tuple.__new__  # makes a row as its class does, in half the time


class Ask(NamedTuple):
    """What a run needs: all the money and tokens it can cost. `lease` is its id, the same on every retry.

    `turned_away` counts the tenant's requests that were refused since the last one that was not.
    """

    lease: str
    task: str
    workflow: str
    priority: Priority
    amount: int
    tokens: int = 0
    turned_away: int = 0


class Grant(NamedTuple):
    """What to post, the lease, and what the tenant has left after it."""

    posting: Posting
    lease: Lease
    reason: str
    left: int
    turned_away: int = 0


def grant(account: Account, policy: Policy, tenant: TenantPolicy, ask: Ask, now: float) -> Grant:
    """Lease a run's worst case to it.

    Raises Throttled: `requests` and `tokens` with the time at which the tenant's rates let the same request through,
    `runs` when too many are open, `money` when interactive work waits for it. Forbidden: `priority` for one the tenant
    may not use, `quota-used-up`.
    """
    lease, task, workflow, priority, amount, wanted, turned_away = ask
    priorities, asking, reading, most_runs, limits = tenant.bounds
    if priority not in priorities:
        raise Forbidden(f"your work may be {' or '.join(priorities)}, not {priority}", code="priority")
    _, _, _, runs, requests, tokens, turned, waits, _ = account
    asked = take(requests, asking, 1, now)
    used = take(tokens, reading, wanted, now) if wanted else tokens
    if asked is None or used is None:
        raise _too_fast(account, tenant, wanted, now)
    if runs >= most_runs:
        raise _too_many(runs, most_runs)
    if waits and priority != "interactive":
        _leave_for_others(account, policy, tenant, amount, now)
    until = now + policy.runs.lease_seconds
    wants = _row(LeaseAsk, (lease, task, workflow, priority, amount, now, until))
    posting = begin(account, wants, limits, (asked, used, turned + turned_away))
    after, made, _ = posting
    if made is None or after is None:
        raise AssertionError("a lease that nobody has is opened")
    return _row(Grant, (posting, made, REASON, _left(after, made, limits), turned_away))


def _left(account: Account, lease: Lease, limits: Limits) -> int:
    """Return the tenant's rest in the lease's windows, as `ledger.left` does for any; each grant asks for it."""
    (day, month), books = lease.windows, account.books
    (settled_today, open_today), (settled, opened) = books[day], books[month]
    today, this_month = limits[0] - settled_today - open_today, limits[1] - settled - opened
    return today if today < this_month else this_month  # noqa: FURB136  twice as fast as `min`


def held_by_others(account: Account, tenant: TenantPolicy, amount: int, now: float) -> bool:
    """Tell whether what is missing is set aside by background runs, and not spent: they give it back when asked to."""
    books = [account.books.get(window, Book()) for window in windows_at(now)]
    limits = zip(books, tenant.money, strict=True)
    return all(amount <= limit - sum(book) + min(book.open, account.yielding) for book, limit in limits)


def waited_for(account: Account, policy: Policy, now: float) -> int:
    """Return what interactive work waits for that money; who waited too long has gone away."""
    lapses = policy.runs.wait_lapses
    waits = account.waits.values()
    return sum(one.amount for one in waits if one.priority == "interactive" and now - one.since < lapses)


def queue(account: Account, policy: Policy, ask: Ask, now: float) -> Posting:
    """Note that a run waits for money that others hold, so that they give way; asked again soon, it stays noted."""
    lapses = policy.runs.wait_lapses
    known = account.waits.get(ask.lease)
    if known is not None and now - known.since < lapses / 2:
        return NOTHING
    waits = {name: one for name, one in account.waits.items() if now - one.since < lapses}
    waits[ask.lease] = Wait(ask.amount, ask.priority, now)
    return Posting(account._replace(waits=waits, version=account.version + 1))


def finish(account: Account, lease: Lease, tenant: TenantPolicy, unused: int, now: float) -> Posting:
    """End a run's lease, and settle the tenant's rate of tokens: those it was granted and did not use come back.

    Below zero, `unused` is what it used beyond them. Whoever posts this does so once, with the end of the run's task:
    a run that is parked, or whose lease expired, has given its money back before.
    """
    posting = close(account, lease)
    if not unused:
        return posting
    after = posting.account or account._replace(version=account.version + 1)
    return posting._replace(account=after._replace(tokens=settle(after.tokens, tenant.tokens, unused, now)))


def _leave_for_others(account: Account, policy: Policy, tenant: TenantPolicy, amount: int, now: float) -> None:
    """Raise Throttled when interactive work waits for what is asked for."""
    needed = waited_for(account, policy, now)
    free = left(account, windows_at(now), tenant.money)
    if needed and free < amount + needed:
        said = f"interactive work waits for {usd(needed)} of the {usd(max(0, free))} that are free"
        goes = min(one.since for one in account.waits.values()) + policy.runs.wait_lapses - now
        raise Throttled(
            f"{said}; nobody knows how soon it is served", retry_after=min(MONEY_RETURNS, max(1.0, goes)), code="money"
        )


def _too_fast(account: Account, tenant: TenantPolicy, wanted: int, now: float) -> Throttled:
    """Return the refusal by the rate that takes longest to let the request through: then both do."""
    requests = wait(account.requests, tenant.requests, 1, now)
    tokens = wait(account.tokens, tenant.tokens, wanted, now)
    if tokens > requests:
        return _refusal("tokens", account.tokens, tenant.tokens, wanted, (now, tokens))
    return _refusal("requests", account.requests, tenant.requests, 1, (now, requests))


def _refusal(code: str, bucket: Bucket, rate: Rate, amount: int, when: tuple[float, float]) -> Throttled:
    now, seconds = when
    there = level(bucket, rate, now)
    said = (
        f"too many {code} at a time: {amount} wanted, {there:.2f} left; {rate.per_minute:g} more each minute, up to"
        f" {rate.burst:g}; enough in {seconds:.3f} s"
    )
    return Throttled(said, retry_after=seconds, code=code, level=(rate.per_minute, there))


def _too_many(runs: int, most: int) -> Throttled:
    said = f"{runs} of {most} runs are open; one may end at any moment, nobody knows which"
    return Throttled(said, retry_after=_RUN_ENDS, code="runs", level=(most, runs))
