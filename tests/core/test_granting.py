from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.buckets import level
from shared.core.granting import Ask, Grant, finish, grant, held_by_others, queue
from shared.core.ledger import NOTHING, Account, Book, Lease, left, windows_at
from shared.core.policy import Policy, Runs, TenantPolicy
from shared.errors import Forbidden, Throttled

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DAY, MONTH = windows_at(NOON)
POLICY = Policy(runs=Runs(lease_seconds=60, wait_lapses=100))


def tenant(**said: Any) -> TenantPolicy:
    """Return a tenant that may ask twice at once and once a second."""
    return TenantPolicy(**{"requests_per_minute": 60, "request_burst": 2, "daily_budget": 100} | said)


def ask(name: str = "1", **said: Any) -> Ask:
    """Return a run's ask for ten micro-USD."""
    given: dict[str, Any] = {"priority": "standard", "amount": 10} | said
    return Ask(f"lease-{name}", f"task-{name}", "document-review", **given)


def asked(account: Account, one: Ask, policy: TenantPolicy, now: float = NOON) -> Grant:
    """Decide on it."""
    return grant(account, POLICY, policy, one, now)


def after(account: Account, one: Ask, policy: TenantPolicy, now: float = NOON) -> Account:
    """Return the account with one more run."""
    made = asked(account, one, policy, now).posting.account
    assert made is not None
    return made


def test_a_grant_is_one_posting() -> None:
    """The rates are taken from and the money is leased in the same rows."""
    granted = asked(Account("acme", 4), ask(tokens=500, turned_away=3), tenant(token_burst=1000))
    account = granted.posting.account
    assert account is not None
    assert (account.version, account.runs, account.turned_away) == (5, 1, 3)
    assert account.books == {DAY: Book(0, 10), MONTH: Book(0, 10)}
    assert (account.requests.level, account.tokens.level) == (1, 500)
    assert granted.lease == granted.posting.lease
    assert (granted.lease.amount, granted.lease.expires_at, granted.left) == (10, NOON + 60, 90)
    assert granted.turned_away == 3


def test_the_rest_is_what_the_ledger_says() -> None:
    """What is left after a grant is the smaller of what is left of the day and of the month."""
    for policy in (tenant(daily_budget=1000, monthly_budget=300), tenant(daily_budget=70, monthly_budget=300)):
        granted = asked(Account("acme", 1, {DAY: Book(5, 7), MONTH: Book(50, 9)}), ask(), policy)
        assert granted.posting.account is not None
        assert granted.left == left(granted.posting.account, (DAY, MONTH), policy.money)


@pytest.mark.parametrize(
    ("policy", "code", "said"),
    [
        (tenant(request_burst=1), "requests", "0.00 left; 60 more each minute, up to 1; enough in 1.000 s"),
        (
            tenant(tokens_per_minute=600, token_burst=30),
            "tokens",
            "too many tokens at a time: 30 wanted, 0.00 left; 600 more each minute",
        ),
        (
            tenant(request_burst=1, tokens_per_minute=600, token_burst=30),
            "tokens",
            "enough in 3.000 s",
        ),
        (tenant(max_runs=1), "runs", "1 of 1 runs are open"),
    ],
)
def test_a_rate_is_throttled_and_says_which(policy: TenantPolicy, code: str, said: str) -> None:
    """Too fast is 429: the limit, its level, its rate, and when to come back; of two limits the later one counts."""
    account = after(Account("acme"), ask(tokens=30), policy)
    with pytest.raises(Throttled) as refused:
        asked(account, ask("2", tokens=30), policy)
    assert refused.value.code == code
    assert said in str(refused.value)


@given(st.integers(1, 10**6), st.integers(1, 100), st.integers(1, 10**7), st.integers(1, 10**4), st.integers(1, 10**4))
def test_the_time_to_retry_is_true(rate: int, burst: int, tokens: int, token_burst: int, wanted: int) -> None:
    """Whoever comes back at the promised time is let in, and whoever comes a microsecond earlier is not."""
    policy = tenant(
        requests_per_minute=rate,
        request_burst=burst,
        tokens_per_minute=tokens,
        token_burst=token_burst,
        daily_budget=10**15,
    )
    account = Account("acme")
    with pytest.raises(Throttled) as refused:  # noqa: PT012  as many as it takes
        for number in range(burst + 1):
            account = after(account, ask(str(number), tokens=wanted), policy)
    seconds = refused.value.retry_after
    assert seconds > 0
    with pytest.raises(Throttled):
        asked(account, ask("late", tokens=wanted), policy, NOON + seconds - 1e-6)
    assert asked(account, ask("late", tokens=wanted), policy, NOON + seconds).lease.id == "lease-late"


def test_used_up_money_is_forbidden() -> None:
    """A budget is no rate: no waiting brings it back, so it is 403, also for the last micro-USD."""
    account = after(Account("acme"), ask(amount=91), tenant())
    with pytest.raises(Forbidden) as refused:
        asked(account, ask("2"), tenant())
    assert refused.value.code == "quota-used-up"
    assert asked(account, ask("2", amount=9), tenant()).left == 0


def test_a_priority_is_the_tenants_or_not() -> None:
    """Who may only have background work done is refused the fast lane."""
    with pytest.raises(Forbidden, match="background, not standard") as refused:
        asked(Account("acme"), ask(), tenant(priorities=("background",)))
    assert refused.value.code == "priority"


def test_money_that_others_hold_may_come_back() -> None:
    """What background runs hold comes back when they are asked; what others hold does not, nor what is spent."""
    held = Account("acme", 1, {DAY: Book(20, 75), MONTH: Book(20, 75)}, yielding=60)
    assert held_by_others(held, tenant(), 65, NOON)
    assert not held_by_others(held, tenant(), 66, NOON)
    assert not held_by_others(held._replace(yielding=0), tenant(), 6, NOON)
    assert held_by_others(held._replace(yielding=100), tenant(), 80, NOON)
    assert not held_by_others(held._replace(yielding=100), tenant(), 81, NOON)
    assert held_by_others(Account("acme"), tenant(), 100, NOON)


def test_what_background_runs_hold_is_known() -> None:
    """Their money is counted when it is leased and no more when it is given back; that of other runs never is."""
    account, policy, leases = Account("acme"), tenant(request_burst=9), list[Lease]()
    for priority, held in (("background", 10), ("standard", 10), ("interactive", 10), ("background", 20)):
        granted = asked(account, ask(f"{priority}-{held}", priority=priority), policy)
        assert granted.posting.account is not None
        account = granted.posting.account
        assert account.yielding == held
        leases.append(granted.lease)
    ended = finish(account, leases[-1], policy, 0, NOON).account
    assert ended is not None
    assert ended.yielding == 10


def test_what_waits_for_money_is_noted_once() -> None:
    """A run that waits is on the account until it gets its lease, and who does not come back is forgotten."""
    first = queue(Account("acme", 1), POLICY, ask("1", priority="interactive"), NOON).account
    assert first is not None
    assert queue(first, POLICY, ask("1", priority="interactive"), NOON + 49) == NOTHING
    again = queue(first, POLICY, ask("1", priority="interactive"), NOON + 50).account
    assert again is not None
    assert again.waits["lease-1"].since == NOON + 50
    second = queue(first, POLICY, ask("2", priority="interactive"), NOON + 99).account
    assert second is not None
    assert list(second.waits) == ["lease-1", "lease-2"]
    third = queue(second, POLICY, ask("3", priority="interactive"), NOON + 101).account
    assert third is not None
    assert list(third.waits) == ["lease-2", "lease-3"]
    granted = asked(third, ask("2", priority="interactive"), tenant(), NOON + 101)
    assert granted.posting.account is not None
    assert list(granted.posting.account.waits) == ["lease-3"]


def test_nobody_takes_what_interactive_work_waits_for() -> None:
    """Freed money goes to the interactive work that waits for it, and to others again when that has gone away."""
    waiting = queue(Account("acme", 1), POLICY, ask("1", priority="interactive", amount=95), NOON).account
    assert waiting is not None
    with pytest.raises(Throttled) as refused:
        asked(waiting, ask("2", amount=6), tenant())
    assert refused.value.code == "money"
    assert asked(waiting, ask("2", amount=5), tenant()).left == 95
    assert asked(waiting, ask("1", priority="interactive", amount=95), tenant()).left == 5
    assert asked(waiting, ask("2", amount=6), tenant(), NOON + 100).left == 94


def test_unused_tokens_are_put_back() -> None:
    """A run that ends gives back its money and the tokens that its worst case took from the rate."""
    policy = tenant(token_burst=1000, tokens_per_minute=1)
    granted = asked(Account("acme"), ask(tokens=900), policy)
    assert granted.posting.account is not None
    ended = finish(granted.posting.account, granted.lease, policy, 700, NOON)
    assert ended.account is not None
    assert (ended.account.runs, ended.account.books[DAY]) == (0, Book(0, 0))
    assert level(ended.account.tokens, policy.tokens, NOON) == 800
    assert ended.lease is not None
    assert finish(ended.account, ended.lease, policy, 0, NOON) == NOTHING
