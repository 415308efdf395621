"""What one process learns of a provider that takes no calls, and what the others make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.sqlite.settings import SqliteSettings
from local.wiring import TENANT
from shared.app import pressure
from shared.app.learned import Learned
from shared.app.recent import Recent
from shared.app.together import NAME, Together
from shared.core.health import WELL, Outcome, against
from shared.core.policy import Policy, TenantPolicy
from shared.core.routing import Candidate, routes
from shared.errors import Throttled, Transient
from shared.ports import Setting

if TYPE_CHECKING:
    from tests.app.world import World

FAR = Candidate(name="far", provider="openai", model="m", tokens_in=1, tokens_out=1)
ROUTE = routes([FAR])[0]


class Counted(SqliteSettings):
    """Settings that count what is written, and fail when they are down; `before` happens once before a write."""

    def __init__(self, world: World) -> None:
        super().__init__(world.database)
        self.writes = 0
        self.down = False

    def read(self, name: str) -> Setting:
        """Read, or fail."""
        if self.down:
            raise Transient("the table cannot be reached")
        return super().read(name)

    def write(self, setting: Setting) -> None:
        """Write, and count it."""
        self.writes += 1
        super().write(setting)


@pytest.fixture
def settings(world: World) -> Counted:
    """The settings that all processes share."""
    return Counted(world)


def process(world: World, settings: Counted, seat: float = 0.0) -> Together:
    """Return what a process knows that starts now."""
    return Together(Learned(seat), Recent(settings, world.clock.now), world.clock.now)


def now(world: World) -> float:
    """Return the time."""
    return world.clock.now().timestamp()


def refused(world: World, by: Together, seconds: float = 60.0) -> None:
    """Have a process's call refused for so long."""
    by.leave(ROUTE, Outcome("throttled", retry_after=seconds), now(world))


def test_a_refusal_is_known_to_the_others_within_half_a_second(world: World, settings: Counted) -> None:
    """Who never asked the provider waits as long as the one that was refused, and then goes on."""
    first, second = process(world, settings), process(world, settings)
    assert second.enter(ROUTE, now(world), 0) == 0
    refused(world, first)
    assert second.enter(ROUTE, now(world), 0) == 0
    world.clock.wait(0.5)
    assert second.enter(ROUTE, now(world), 0) == 59.5
    assert against(second.health["far"], 0, now(world)) == ("throttled", 59.5)
    world.clock.wait(59.5)
    assert second.enter(ROUTE, now(world), 0) == 0


def test_a_hundred_refusals_are_one_write(world: World, settings: Counted) -> None:
    """What is written is that the provider shut, not each call that found it shut, nor a pause a bit longer."""
    every = [process(world, settings, number / 100) for number in range(100)]
    for one in every:
        refused(world, one)
        world.clock.wait(0.01)
    assert settings.writes == 1
    refused(world, every[0], 120)
    assert settings.writes == 2
    refused(world, every[0], 0.5)
    assert settings.writes == 2


def test_nobody_stampedes_when_it_opens(world: World, settings: Counted) -> None:
    """Who only heard of it comes back spread over a tenth of the pause; who had used it begins slowly, too."""
    others = [process(world, settings, number / 10) for number in range(10)]
    for _ in range(50):
        others[0].leave(ROUTE, Outcome("answered", ms=10), now(world))
        world.clock.wait(0.1)
    refused(world, process(world, settings))
    world.clock.wait(1)
    opens = [round(one.enter(ROUTE, now(world), 0), 3) for one in others]
    assert opens[1:] == [round(59 + 5.9 * number / 10, 3) for number in range(1, 10)]
    assert 0 < others[0].gate("far").rate < others[0].gate("far").aim
    assert others[1].gate("far").rate == 0


def test_two_that_have_news_at_once_are_both_heard(world: World, settings: Counted) -> None:
    """A write that lost its race is made again on what the other one wrote."""
    first, second, third = (process(world, settings) for _ in range(3))
    assert (second.health, first.health) == ({}, {})
    refused(world, first)
    second.leave(ROUTE._replace(name="near"), Outcome("throttled", retry_after=30.0), now(world))
    assert against(third.health["far"], 0, now(world))[1] == 60
    assert against(third.health["near"], 0, now(world))[1] == 30


def test_who_lets_work_in_knows_that_no_provider_takes_calls(world: World, settings: Counted) -> None:
    """An entrance that calls no model sheds new work by what the callers were told, until that is over."""
    policy = Policy(tenants={TENANT: TenantPolicy()}, candidates={"far": FAR})
    world.ports = replace(world.ports, policy=lambda: policy, learned=process(world, settings))
    pressure.check(world.ports, "interactive")
    refused(world, process(world, settings))
    world.clock.wait(1)
    with pytest.raises(Throttled, match="no provider takes calls for 59 s") as told:
        pressure.check(world.ports, "interactive")
    assert told.value.retry_after == 49
    world.clock.wait(59)
    pressure.check(world.ports, "interactive")
    assert pressure.load_of(world.ports).per_second == float("inf")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"far": "soon"}'])
def test_a_note_that_says_nothing_is_as_none(world: World, settings: Counted, text: str) -> None:
    """A process goes by what it has learned itself, and writes a better note."""
    settings.write(Setting(NAME, text, 1))
    first, second = process(world, settings), process(world, settings)
    assert first.enter(ROUTE, now(world), 0) == 0
    refused(world, first)
    assert against(second.health.get("far", WELL), 0, now(world))[1] == 60


def test_a_store_that_is_down_stops_no_call(world: World, settings: Counted) -> None:
    """Neither hearing nor telling others is worth a failure: each learns for itself, as if they were alone."""
    settings.down = True
    first, second = process(world, settings), process(world, settings)
    refused(world, first)
    assert first.enter(ROUTE, now(world), 0) == 60
    assert second.enter(ROUTE, now(world), 0) == 0
