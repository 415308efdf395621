from __future__ import annotations

import pytest

from shared.core.completion import Quota
from shared.core.health import WELL, Health, Outcome, against, begin, observe

FAILED, ANSWERED = Outcome("failed"), Outcome("answered", ms=100.0)


def after(*outcomes: Outcome, start: Health = WELL, now: float = 0.0) -> Health:
    """Return what is known after these."""
    for outcome in outcomes:
        start = observe(start, outcome, now)
    return start


def test_five_failures_in_a_row_open_the_breaker() -> None:
    """Four failures and an answer are forgiven, five in a row are not."""
    assert after(*[FAILED] * 4, ANSWERED, *[FAILED] * 4).breaker == "closed"
    opened = after(*[FAILED] * 5)
    assert opened.breaker == "open"
    assert against(opened, 10, 0.0) == ("breaker open", 5.0)


def test_one_probe_at_a_time_tries_an_open_breaker() -> None:
    """When the pause is over one call goes through, and the next one only when that has ended."""
    opened = after(*[FAILED] * 5)
    assert against(opened, 10, 5.0) == ("", 0.0)
    probing = begin(opened, 5.0)
    assert probing.breaker == "half-open"
    assert against(probing, 10, 5.0)[0] == "being probed"
    assert against(probing, 10, 66.0)[0] == ""


def test_a_good_probe_closes_the_breaker_and_a_bad_one_waits_longer() -> None:
    """Pauses double up to a minute; one answer forgets them all."""
    state, pauses = after(*[FAILED] * 5), []
    for _ in range(6):
        pauses.append(state.retry_at)
        state = begin(state, state.retry_at)
        state = observe(state, FAILED, 0.0)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    healed = observe(begin(state, 60.0), ANSWERED, 60.0)
    assert (healed.breaker, healed.trips, healed.failures, healed.probes) == ("closed", 0, 0, 0)


def test_what_was_on_its_way_does_not_lengthen_the_pause() -> None:
    """Failures of calls that began before the breaker opened open it once, not again and again."""
    assert after(*[FAILED] * 50).retry_at == 5.0


def test_throttling_is_no_failure() -> None:
    """A thousand 429s leave the breaker closed and the success rate as it was; they only say until when."""
    state = after(*[Outcome("throttled", retry_after=7.0)] * 1_000)
    assert (state.breaker, state.failures, state.success) == ("closed", 0, 1.0)
    assert against(state, 10, 3.0) == ("throttled", 4.0)
    assert against(state, 10, 7.0) == ("", 0.0)


def test_a_throttled_probe_makes_room_for_the_next() -> None:
    """A probe that was throttled proves nothing, and does not block the one after it."""
    state = begin(after(*[FAILED] * 5), 5.0)
    state = observe(state, Outcome("throttled", retry_after=1.0), 5.0)
    assert against(state, 10, 6.0) == ("", 0.0)


def test_a_prompt_at_fault_says_nothing_about_the_deployment() -> None:
    """Requests that were refused for what is in them open no breaker."""
    assert after(*[Outcome("refused")] * 50).breaker == "closed"


@pytest.mark.parametrize(
    ("quota", "tokens", "why"),
    [
        (Quota(requests_left=0, requests_reset=30.0), 10, "no requests left"),
        (Quota(requests_left=1, requests_reset=30.0), 10, ""),
        (Quota(tokens_left=9, tokens_reset=30.0), 10, "too few tokens left"),
        (Quota(tokens_left=10, tokens_reset=30.0), 10, ""),
        (Quota(requests_left=0, requests_reset=0.5), 10, ""),
    ],
)
def test_quota_told_is_heeded(quota: Quota, tokens: int, why: str) -> None:
    """A deployment without requests or tokens left is not asked until they are back."""
    state = after(Outcome("answered", ms=1.0, quota=quota))
    assert against(state, tokens, 0.0)[0] == why
    assert against(state, tokens, 30.0)[0] == ""


def test_requests_under_way_are_counted() -> None:
    """Between two answers, the calls that began take from what is left."""
    state = after(Outcome("answered", quota=Quota(requests_left=2, requests_reset=60.0)))
    assert against(begin(begin(state, 0.0), 0.0), 10, 0.0)[0] == "no requests left"


def test_latency_and_success_are_measured() -> None:
    """The p95 covers what is usual and follows a change; the success rate falls with failures and comes back."""
    steady = after(*[ANSWERED] * 100)
    assert 100 <= steady.p95 < 150
    assert after(*[Outcome("answered", ms=1_000.0)] * 50, start=steady).p95 > 900
    shaky = after(FAILED, FAILED, start=steady)
    assert shaky.success == pytest.approx(0.81)
    assert after(*[ANSWERED] * 50, start=shaky).success > 0.99
