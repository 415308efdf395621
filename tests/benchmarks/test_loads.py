from __future__ import annotations

import pytest

from benchmarks.loads import check, loaded, quantile
from benchmarks.loads_world import PER_SECOND, World

SECONDS = 12


@pytest.fixture(scope="module")
def done() -> World:
    """Some seconds of the full load, with a provider that fails, and all that was let in done."""
    return loaded(SECONDS)


def test_nothing_is_lost_overspent_or_left_open(done: World) -> None:
    """Every submission is accepted or refused with a reason, all accepted work ends, and no money stays out."""
    check(done)
    assert sum(tally.submitted for tally in done.by_class.values()) == SECONDS * PER_SECOND


def test_interactive_work_hardly_waits(done: World) -> None:
    """While there is more background work than can be done and a provider fails, interactive p99 is below 50 ms."""
    assert quantile(done.by_class["interactive"].waits, 0.99) < 0.05
    assert done.by_class["interactive"].refused["pressure"] == 0


def test_background_work_is_done(done: World) -> None:
    """Background work is shed at the door when there is too much, and none that was let in waits beyond its bound."""
    background = done.by_class["background"]
    assert background.accepted > SECONDS * 300
    assert max(background.waits) < done.policy.classes.background.most_wait


def test_each_tenant_comes_to_its_own_limit(done: World) -> None:
    """Who is too fast, has too much open or reads too much is refused for that, and the others are not."""
    assert done.by_tenant["noisy"].refused["requests"] > 0
    assert done.by_tenant["crowded"].refused["runs"] > 0
    assert done.by_tenant["chatty"].refused["tokens"] > 0
    assert set(done.by_tenant["calm-1"].refused) <= {"pressure"}


def test_the_failing_provider_is_left_alone(done: World) -> None:
    """A provider that is away is asked now and then, and answers again after it is back."""
    large = done.providers["large"].said
    assert large["failed"] + large["throttled"] < large["answered"] / 5
