"""Whatever the weather: each task ends once, with one bill and its exact order; and each planted bug is found."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from local.faults.kinds import ROUGH, USUAL, Kind, Rates, chosen
from local.faults.oracle import findings
from local.faults.storm import endured, plans
from local.faults.weather import Plan
from local.faults.world import World
from shared.errors import Permanent
from tests.faults.planted import PLANTED, Planted

_SMALL = 40  # tasks
_SEEDS = (1, 2, 3, 4)
_TRIES = 12  # seeds for a planted bug: which one shows it changes with each change of the fabric
_LEAST_PLANTED = 25
_RATHER_RARE = {Kind.VANISH, Kind.ZOMBIE, Kind.CACHE_DOWN, Kind.LEDGER_DOWN}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Handlers log each fault that they are given."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def storm(plan: Plan, planted: Planted | None = None) -> list[str]:
    """Live through a storm, and return what is wrong in the end."""
    world = World(plan, planted.ports) if planted else World(plan)
    try:
        return findings(world, rests=world.run())
    finally:
        world.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_usual_storm_changes_nothing_but_the_time(seed: int) -> None:
    """Three hundred tasks in usual weather end as their clients asked, and hundreds of faults strike meanwhile."""
    outcome = endured(Plan(seed=seed, tasks=300))
    assert outcome.wrong == ()
    assert outcome.kills.total() >= 5
    assert set(outcome.struck) >= set(Kind) - _RATHER_RARE
    assert outcome.ends.total() == 300


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_rough_storm_changes_nothing_but_the_time(seed: int) -> None:
    """In the weather in which the planted bugs are found, the fabric as it is has none."""
    assert storm(Plan(seed, 0, _SMALL, rates=ROUGH)) == []


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_strikes_alone(kind: Kind) -> None:
    """Each kind can be switched on alone, strikes, and changes nothing."""
    often = Rates(*({one: min(0.2, 20 * rate) for one, rate in rates.items()} for rates in USUAL))
    world = World(Plan(7, 0, 30, frozenset({kind}), often))
    try:
        assert findings(world, rests=world.run()) == []
        assert set(world.weather.struck) == {kind}
    finally:
        world.close()


def test_the_same_plan_is_the_same_storm() -> None:
    """A seed decides everything: faults, kills, events and ends."""
    first, second = (endured(Plan(5, 1, 40)) for _ in range(2))
    assert (first.struck, first.kills, first.ends) == (second.struck, second.kills, second.ends)
    assert (first.events, first.calls) == (second.events, second.calls)
    assert endured(Plan(6, 1, 40)).struck != first.struck


def test_there_are_enough_planted_bugs() -> None:
    """The gate has at least as many bugs as were promised."""
    assert len(PLANTED) >= _LEAST_PLANTED


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few small storms show each bug, in the words that fit it; without it they show none."""
    planted = PLANTED[name]
    for seed in range(1, _TRIES + 1):
        plan = Plan(seed, 0, _SMALL, planted.kinds, planted.rates)
        with monkeypatch.context() as patch:
            planted.patch(patch)
            found = any(planted.found in sentence for sentence in storm(plan, planted))
        if found:
            return
    pytest.fail(f"nobody found who {name}")


def test_a_storm_comes_in_parts() -> None:
    """Ten thousand tasks are four parts of a seed; a part that failed is named by its own size."""
    found = plans(10_000, [1, 2], frozenset(Kind))
    assert [(plan.seed, plan.part, plan.tasks) for plan in found[:5]] == [
        *((1, part, 2500) for part in range(4)),
        (2, 0, 2500),
    ]
    assert plans(2500, [2], frozenset(Kind), part=3) == [Plan(2, 3, 2500, frozenset(Kind), USUAL)]


def test_kinds_are_chosen_by_name() -> None:
    """All kinds, some, all but some; a name that there is not is refused with those there are."""
    assert chosen() == frozenset(Kind)
    assert chosen("zombie, skew") == {Kind.ZOMBIE, Kind.SKEW}
    assert chosen(without=["zombie"]) == frozenset(Kind) - {Kind.ZOMBIE}
    with pytest.raises(Permanent, match="crash-before"):
        chosen("thunder")
