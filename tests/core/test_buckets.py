from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core.buckets import NEVER_USED, Bucket, Rate, level, settle, take, wait

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
TICK = 1e-6
RATES = st.builds(Rate, st.integers(1, 10**9), st.integers(1, 10**9))
MOMENTS = st.integers(0, 10**12).map(lambda micro: NOON + micro / 1e6)


def drained(rate: Rate, now: float = NOON) -> Bucket:
    """Return a bucket out of which everything was just taken."""
    taken = take(NEVER_USED, rate, rate.burst, now)
    assert taken is not None
    return taken


def test_a_bucket_never_used_is_full() -> None:
    """Whoever comes first finds all there can be."""
    assert level(NEVER_USED, Rate(60, 5), NOON) == 5
    assert take(NEVER_USED, Rate(60, 5), 5, NOON) == Bucket(0, NOON)
    assert wait(NEVER_USED, Rate(60, 5), 5, NOON) == 0


def test_a_bucket_fills_at_its_rate_up_to_its_burst() -> None:
    """One a second at 60 a minute, and never more than it holds."""
    empty = drained(Rate(60, 5))
    assert level(empty, Rate(60, 5), NOON + 2.5) == 2.5
    assert level(empty, Rate(60, 5), NOON + 1000) == 5


def test_what_is_not_there_is_not_given() -> None:
    """A refusal says how long it takes, and changes nothing."""
    empty = drained(Rate(60, 5))
    assert take(empty, Rate(60, 5), 2, NOON + 1) is None
    assert wait(empty, Rate(60, 5), 2, NOON + 1) == 1


@given(RATES, st.integers(1, 10**9), MOMENTS, MOMENTS)
def test_the_promised_time_is_the_first_that_succeeds(rate: Rate, amount: int, first: float, later: float) -> None:
    """Asking after exactly the promised wait succeeds, and asking a microsecond earlier does not."""
    bucket = drained(rate, min(first, later))
    now = max(first, later)
    seconds = wait(bucket, rate, amount, now)
    assert take(bucket, rate, amount, now + seconds) is not None
    by_clock = datetime.fromtimestamp(now, UTC) + timedelta(seconds=seconds)
    assert take(bucket, rate, amount, by_clock.timestamp()) is not None
    assert (seconds == 0) == (take(bucket, rate, amount, now) is not None)
    if seconds:
        assert take(bucket, rate, amount, now + seconds - TICK) is None


@given(RATES, st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 10**6)), max_size=50))
def test_nobody_gets_more_than_the_rate_and_the_burst(rate: Rate, asks: list[tuple[int, int]]) -> None:
    """In any stretch of time what was given is at most the burst and what the rate brings meanwhile."""
    bucket, now, given_away = NEVER_USED, NOON, 0.0
    for pause, amount in asks:
        now += pause / 1e6
        after = take(bucket, rate, min(amount, rate.burst), now)
        if after is not None:
            bucket, given_away = after, given_away + min(amount, rate.burst)
        assert given_away <= (rate.burst + (now - NOON + TICK) * rate.per_minute / 60) * (1 + 1e-9)


def test_more_than_it_holds_is_owed() -> None:
    """What is larger than the bucket is given when that is full, and the next one waits until it is paid back."""
    rate = Rate(60, 5)
    assert take(drained(rate), rate, 8, NOON + 4) is None
    owing = take(drained(rate), rate, 8, NOON + 5)
    assert owing is not None
    assert level(owing, rate, NOON + 5) == -3
    assert wait(owing, rate, 1, NOON + 5) == 4


def test_a_clock_that_runs_behind_fills_nothing() -> None:
    """Replicas' clocks differ: time that was counted once is not counted again."""
    rate = Rate(60, 5)
    used = take(drained(rate), rate, 1, NOON + 2)
    assert used == Bucket(1, NOON + 2)
    behind = take(used, rate, 1, NOON - 600)
    assert behind == Bucket(0, NOON + 2)
    assert wait(behind, rate, 1, NOON) == 3


def test_what_was_not_used_is_put_back() -> None:
    """What comes back is there at once, and never makes more than the bucket holds."""
    rate = Rate(60, 5)
    assert level(settle(drained(rate), rate, 3, NOON), rate, NOON) == 3
    assert level(settle(drained(rate), rate, 30, NOON), rate, NOON) == 5
    assert level(settle(NEVER_USED, rate, 3, NOON), rate, NOON) == 5


def test_what_was_used_beyond_it_is_owed() -> None:
    """More than was taken is charged when it is known, from what is there then, and has to fill up again."""
    rate = Rate(60, 5)
    owing = settle(drained(rate), rate, -9, NOON + 2)
    assert level(owing, rate, NOON + 2) == -7
    assert take(owing, rate, 1, NOON + 9) is None
    assert wait(owing, rate, 1, NOON + 2) == 8
    assert level(settle(NEVER_USED, rate, -9, NOON), rate, NOON) == -4
    assert level(settle(drained(rate), rate, -1, NOON - 60), rate, NOON) == -1
