"""The outage of 2.75 hours with fewer tasks, and its control."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.outage import CAPACITY, Outage, Ungated, simulate


@pytest.fixture(scope="module")
def outage() -> Outage:
    """The provider was away, 429 then 503, and is back."""
    return simulate(300)


def test_no_task_fails(outage: Outage) -> None:
    """Every task is answered, and hours of throttling and outage used up no attempt of any."""
    assert outage.answered == len(outage.jobs)
    assert outage.failed == 0
    assert {job.attempts for job in outage.jobs} == {0}
    assert outage.during["429"] > 0
    assert outage.during["503"] > 0


def test_no_task_is_paid_twice(outage: Outage) -> None:
    """Every task paid for one answer and nothing else, and no money is left put aside."""
    assert outage.paid_once == len(outage.jobs)
    assert all(job.purse.held == {} for job in outage.jobs)
    kinds = Counter(one.paid for job in outage.jobs for one in job.purse.ended)
    assert kinds["answered"] == len(outage.jobs)
    assert set(kinds) == {"answered", "released"}


def test_the_provider_is_left_in_peace_while_it_is_away(outage: Outage) -> None:
    """Hours without an answer are a few calls a minute, not the whole queue again and again."""
    assert sum(outage.during.values()) / (2.75 * 60) < 15


def test_there_is_no_stampede(outage: Outage) -> None:
    """The first minute back is far below the capacity, and the busiest one hardly above."""
    assert outage.minutes[0].sent < CAPACITY / 2
    assert outage.peak <= 1.2 * CAPACITY


def test_interactive_tasks_go_first(outage: Outage) -> None:
    """The middle one of the interactive tasks waits a fraction of what the middle background task does."""
    middle = {priority: sorted(outage.waits(priority)) for priority in ("interactive", "standard", "background")}
    waits = [waited[len(waited) // 2] for waited in middle.values()]
    assert waits == sorted(waits)
    assert waits[0] < waits[2] / 2


def test_without_the_gates_there_is_a_stampede() -> None:
    """The control, on the same road without gates, runs into the provider's limit several times over."""
    control = simulate(300, learned=Ungated)
    assert control.answered == len(control.jobs)
    assert control.peak > 1.5 * CAPACITY
