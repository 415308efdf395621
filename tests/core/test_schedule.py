from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.gate import Gate
from shared.core.ledger import Lease, windows_at
from shared.core.policy import PRIORITIES, Classes, Policy, PriorityClass
from shared.core.schedule import (
    Load,
    Money,
    Turns,
    expected,
    give_way,
    order,
    pick,
    pressure,
    stay_parked,
    weight,
)
from shared.events.task import Priority
from tests.core.queueing import NOON, Queue

CLASSES = Classes()
AT = datetime.fromtimestamp(NOON, UTC)
# 100,000 requests a minute, ten of them background for each interactive one.
RUSH: dict[Priority, float] = {"interactive": 151.5, "background": 1515.0}


@pytest.fixture(scope="module")
def rush() -> Queue:
    """A minute of the rush, with providers for 1,000 calls a second."""
    queue = Queue(per_second=1000)
    queue.run(RUSH, 60)
    return queue


def test_interactive_work_does_not_notice_the_background(rush: Queue) -> None:
    """With ten times as much background work, and more of it than can be done, interactive p99 is a few calls long."""
    assert rush.p99("interactive") <= 3 / 1000
    assert max(rush.waits["interactive"]) <= 3 / 1000
    assert not rush.shed["interactive"]


def test_interactive_work_has_its_share_whatever_the_others_bring() -> None:
    """Up to 16/36 of what can be done, interactive work waits for no more than a few calls, however old the rest is."""
    queue = Queue(per_second=100)
    queue.run({"interactive": 43, "standard": 200, "background": 300}, 90)
    assert CLASSES.shares["interactive"] == 16 / 36
    assert max(queue.waits["interactive"]) <= 4 / 100


def test_background_work_never_starves() -> None:
    """No background work that was let in waits longer than its bound, also while all others bring too much."""
    brief = Classes(
        interactive=PriorityClass(weight=16, ageing=5, most_wait=5),
        standard=PriorityClass(weight=4, ageing=15, most_wait=10),
        background=PriorityClass(weight=1, ageing=60, most_wait=30),
    )
    queue = Queue(100, brief)
    queue.run({"interactive": 300, "standard": 300, "background": 300}, 90)
    assert brief.shares["background"] == 1 / 33
    assert 0 < max(queue.waits["background"]) <= 30
    assert max(queue.waits["standard"]) <= 10
    assert max(queue.waits["interactive"]) <= 5
    assert len(queue.waits["background"]) >= 90 * 100 / 33


def test_background_work_takes_what_nobody_else_uses(rush: Queue) -> None:
    """What interactive work leaves is not left unused: everything that can be done is done."""
    done = len(rush.waits["interactive"]) + len(rush.waits["background"])
    assert done >= 60 * 1000


def test_the_shares_are_the_weights() -> None:
    """While all classes wait for equally short a time, calls go out as 16 to 4 to 1."""
    turns, served = Turns(), dict.fromkeys(PRIORITIES, 0)
    for _ in range(21 * 100):
        priority, turns = pick(dict.fromkeys(PRIORITIES, NOON), turns, CLASSES, NOON)
        served[priority] += 1
    assert served == {"interactive": 1600, "standard": 400, "background": 100}


def test_a_class_that_was_away_has_nothing_saved_up() -> None:
    """Who did not ask for an hour gets its share from now on, and not the hour's."""
    turns = Turns()
    for _ in range(1000):
        _, turns = pick({"interactive": NOON}, turns, CLASSES, NOON)
    first = []
    for _ in range(17):
        priority, turns = pick({"interactive": NOON, "background": NOON}, turns, CLASSES, NOON)
        first.append(priority)
    assert first.count("background") == 1


def test_what_waits_gains_weight() -> None:
    """Waiting makes heavier, up to the class above and not beyond it."""
    assert [weight(CLASSES, "background", seconds) for seconds in (0, 60, 120, 6000)] == [1, 2, 3, 4]
    assert [weight(CLASSES, "standard", seconds) for seconds in (-1, 15, 6000)] == [4, 8, 16]
    assert weight(CLASSES, "interactive", 6000) == 16


@given(
    st.dictionaries(st.sampled_from(PRIORITIES), st.integers(0, 10**5)),
    st.sampled_from(PRIORITIES),
    st.floats(0.1, 10**4),
)
def test_the_time_to_come_back_is_true(waiting: dict[Priority, int], priority: Priority, rate: float) -> None:
    """At the promised time, if nobody else comes, the newcomer is let in; while it is shed all below it are."""
    load = Load(waiting, per_second=rate)
    seconds = pressure(load, priority, CLASSES)
    below = PRIORITIES[PRIORITIES.index(priority) :]
    assert all(pressure(load, one, CLASSES) >= seconds for one in below)
    later = {one: max(0, count - int(seconds * rate * CLASSES.shares[one] + 1e-6)) for one, count in waiting.items()}
    drained = Load(later, per_second=rate)
    slack = max(1 / (rate * CLASSES.shares[one]) for one in PRIORITIES)
    assert pressure(drained, priority, CLASSES) <= slack


def test_age_sheds_as_well_as_length() -> None:
    """Where only the age of the oldest message is known, that decides."""
    load = Load({"background": 1}, {"background": 400.0})
    assert pressure(load, "background", CLASSES) == 100
    assert pressure(load, "standard", CLASSES) == 0
    assert pressure(Load(oldest={"standard": 9000.0}), "background", CLASSES) == 60


def test_what_is_expected_is_the_queue_at_the_share_it_has() -> None:
    """A class waits for those of it that came before, at what it has of the providers when all classes want some."""
    assert expected(Load({"background": 66}, per_second=2.0), "background", CLASSES) == 66 * 33 / 2
    assert expected(Load({"background": 66}), "background", CLASSES) == 0
    assert expected(Load(per_second=0.0, opens_in=7.0), "standard", CLASSES) == 7


def test_without_a_provider_work_comes_back_when_one_opens() -> None:
    """While no provider takes calls, who would wait too long for one to open is told when it will not."""
    load = Load(per_second=0.0, opens_in=70.0)
    assert pressure(load, "interactive", CLASSES) == 60
    assert pressure(load, "background", CLASSES) == 60
    assert pressure(load._replace(opens_in=9.0), "background", CLASSES) == 0


@dataclass(frozen=True)
class Parked:
    """A task, as an order sees it."""

    id: str
    tenant: str = "acme"
    priority: Priority = "standard"
    submitted_at: datetime = AT
    parked_at: datetime | None = None


def test_the_most_urgent_goes_on_first_and_nobody_is_left_out() -> None:
    """Parked work goes on by its classes' shares, a class's in the order of its waiting."""
    work = [
        Parked(f"{priority}-{number}", "acme", priority, AT - timedelta(seconds=100 - number))
        for priority in reversed(PRIORITIES)
        for number in range(20)
    ]
    ordered = order(Policy(), work, AT)
    assert sorted(one.id for one in ordered) == sorted(one.id for one in work)
    assert ordered[0].id == "interactive-0"
    assert [one.id for one in ordered if one.priority == "background"] == [f"background-{n}" for n in range(20)]
    assert "background-0" in {one.id for one in ordered[:20]}


def test_tenants_take_turns() -> None:
    """A tenant with much parked work does not hold up one with little."""
    noisy = [Parked(f"n{number}", "noisy", parked_at=AT - timedelta(hours=2)) for number in range(50)]
    quiet = [Parked("q", "quiet", parked_at=AT)]
    assert [one.id for one in order(Policy(), noisy + quiet, AT)].index("q") == 1


def test_who_runs_already_comes_later() -> None:
    """A class that has more than its share at work lets the others go first."""
    work = [Parked("i", priority="interactive"), Parked("b", priority="background")]
    assert [one.id for one in order(Policy(), work, AT)] == ["i", "b"]
    assert [one.id for one in order(Policy(), work, AT, {"interactive": 17})] == ["b", "i"]


def lease(priority: Priority = "background", *, settled: int = 0) -> Lease:
    """Return a lease of a hundred micro-USD."""
    return Lease("l", "acme", "t", "document-review", priority, 100, windows_at(NOON), NOON + 60, settled)


FREE = Money(free=0, waited_for=0)
SHORT = Money(free=20, waited_for=50)
HELD = Gate(held=(NOON + 1, 0.0, 0.0))


def test_background_work_gives_way_to_interactive_work() -> None:
    """A run in the background stops for interactive work that waits for its tenant's money or for its providers."""
    assert give_way(lease(), SHORT, [], NOON) == "interactive work waits for $0.000050, and $0.000020 are free"
    assert give_way(lease(), FREE, [HELD], NOON) == "interactive work waits at the gate it could use"
    assert give_way(lease(), FREE, [HELD, HELD], NOON) == "interactive work waits at all 2 gates it could use"


@pytest.mark.parametrize(
    ("run", "money", "gates"),
    [
        (lease("standard"), SHORT, [HELD]),
        (lease("interactive"), SHORT, [HELD]),
        (lease(), FREE, []),
        (lease(), Money(free=50, waited_for=50), []),
        (lease(settled=100), SHORT, []),
        (lease(), FREE, [HELD, Gate()]),
        (lease(), FREE, [Gate(held=(NOON, NOON + 1, 0.0))]),
    ],
)
def test_nobody_gives_way_for_nothing(run: Lease, money: Money, gates: list[Gate]) -> None:
    """Work goes on that is no background work, holds nothing that is missing, or has a provider where nobody waits."""
    assert give_way(run, money, gates, NOON) is None


def test_who_gave_way_stays_away() -> None:
    """A parked run takes its money again only when what interactive work waits for stays free."""
    assert stay_parked(10, Money(free=59, waited_for=50), [], NOON) is not None
    assert stay_parked(10, Money(free=60, waited_for=50), [], NOON) is None
    assert stay_parked(10, FREE, [], NOON) is None
    assert stay_parked(0, FREE, [HELD], NOON) is not None
