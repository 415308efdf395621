from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.gate import RANKS, Gate, allow, answered, throttled

FIRST, MIDDLE, LAST = RANKS["interactive"], RANKS["standard"], RANKS["background"]


def through(gate: Gate, now: float, until: float, rank: int = FIRST) -> tuple[Gate, list[float]]:
    """Ask whenever told to, answer at once; return when calls went through."""
    times = []
    while now < until:
        gate, wait = allow(gate, now, rank)
        if wait:
            now += wait
            continue
        times.append(now)
        gate = answered(gate, now)
    return gate, times


def busy(rate: float = 10.0, seconds: int = 30) -> Gate:
    """Return the gate of a deployment that answered so many calls a second."""
    gate = Gate()
    for n in range(int(rate * seconds)):
        gate = answered(allow(gate, n / rate, FIRST)[0], n / rate)
    return gate


def test_a_gate_that_was_never_throttled_holds_nobody_back() -> None:
    """Until a provider complains, everything goes through at once."""
    assert all(allow(busy(), 30.0, rank)[1] == 0 for rank in RANKS.values())


def test_it_stays_shut_as_long_as_the_provider_says() -> None:
    """Nothing goes through before Retry-After is over, for no class."""
    gate = throttled(busy(), 30.0, 60.0, 0.0)
    assert [allow(gate, 89.9, rank)[1] for rank in RANKS.values()] == pytest.approx([0.1] * 3)
    assert allow(gate, 90.0, FIRST)[1] == 0


def test_many_gates_do_not_reopen_together() -> None:
    """A tenth of the pause, and at least a second, spreads the gates of many processes."""
    opens = [throttled(busy(), 30.0, 60.0, seat / 10).shut_until for seat in range(10)]
    assert opens == pytest.approx([90.0 + 6.0 * seat / 10 for seat in range(10)])
    assert throttled(busy(), 30.0, 1.0, 0.5).shut_until == pytest.approx(31.5)


def test_a_refusal_of_what_was_on_its_way_changes_nothing_but_the_time() -> None:
    """A hundred 429s at once are one: the rate steps back once."""
    once = throttled(busy(), 30.0, 2.0, 0.0)
    many = once
    for n in range(100):
        many = throttled(many, 30.0 + n / 1000, 2.0, 0.0)
    assert many.rate == once.rate
    assert many.shut_until == pytest.approx(32.099)


def test_after_a_long_pause_it_starts_slowly_and_comes_back_to_what_it_measured() -> None:
    """A tenth at first, doubling, and from what was measured on only slowly more."""
    gate = throttled(busy(10.0), 30.0, 600.0, 0.0)
    _, times = through(gate, 630.0, 930.0)
    early = [sum(630 + s <= t < 631 + s for t in times) for s in range(60)]
    assert early[0] <= 3
    assert max(early[:10]) <= 6
    back = sum(690 <= t < 700 for t in times) / 10
    assert 10 <= back <= 10 + 0.02 * 10 * 70


def test_a_short_refusal_steps_back_a_bit() -> None:
    """Refused for a second, a gate goes on at seven tenths."""
    assert throttled(busy(10.0), 30.0, 1.0, 0.0).rate == pytest.approx(7.0, rel=0.15)


def test_a_rate_that_is_told_is_never_exceeded() -> None:
    """A deployment's known limit bounds every growth."""
    gate = throttled(Gate(limit=5.0), 0.0, 10.0, 0.0)
    _, times = through(gate, 10.0, 600.0)
    assert max(sum(s <= t < s + 10 for t in times) for s in range(10, 590)) <= 5 * 10 + 2


def test_the_one_who_matters_more_goes_first() -> None:
    """When both wait, the interactive call gets the slot and the background call the one after."""
    gate = throttled(busy(1.0), 30.0, 60.0, 0.0)._replace(rate=1.0)
    gate, _ = allow(gate, 90.0, FIRST)
    gate, soon = allow(gate, 90.1, FIRST)
    gate, later = allow(gate, 90.1, LAST)
    assert soon < later
    gate, wait = allow(gate, 90.1 + soon, LAST)
    assert wait > 0
    gate, wait = allow(gate, 90.1 + soon, FIRST)
    assert wait == 0


def test_nobody_is_held_back_for_ever() -> None:
    """With interactive calls always waiting, at least one call in fifteen is a background one."""
    gate, now, served = throttled(busy(1.0), 30.0, 60.0, 0.0)._replace(rate=1.0), 90.0, list[int]()
    due = {FIRST: now, LAST: now}
    while len(served) < 150:
        rank = min(due, key=lambda one: (due[one], one))
        now = due[rank]
        gate, wait = allow(gate, now, rank)
        if not wait:
            served.append(rank)
        due[rank] = now + (wait or 0.001)
    assert served.count(LAST) >= 10
    assert served.count(FIRST) >= 100


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ask", "answer", "refuse"]), st.floats(0, 30), st.integers(0, 2)), max_size=80)
)
def test_a_wait_is_finite_and_worth_it(story: list[tuple[str, float, int]]) -> None:
    """Whatever happened, somebody who waits as told, and is alone, gets through within a few tries."""
    gate, now, wait = Gate(), 0.0, 0.0
    for what, seconds, rank in story:
        now += seconds
        if what == "ask":
            gate, _ = allow(gate, now, rank)
        else:
            gate = answered(gate, now) if what == "answer" else throttled(gate, now, seconds, 0.5)
    for _ in range(12):
        gate, wait = allow(gate, now, LAST)
        assert 0 <= wait < 300
        if not wait:
            break
        now += wait
    assert wait == 0
