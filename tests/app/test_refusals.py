"""Submissions that come too fast are told of: enough to explain each task, and few enough to bear a flood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from local.sqlite.database import Database
from local.wiring import TENANT
from shared.app import switches
from shared.app.record import record, verify
from shared.app.refusals import entity_of
from shared.core.routes import Route
from shared.core.story import tell
from shared.errors import Conflict, Throttled, Transient
from shared.events.catalog import parse
from shared.ports import Refusals
from tests.app.faults import Rivalry
from tests.app.world import World

if TYPE_CHECKING:
    from shared.events.catalog import AnyEvent

LIMITS = entity_of(TENANT)


@pytest.fixture
def world() -> Iterator[World]:
    """A fabric whose tenant may ask three times at once, and then twelve times a minute."""
    with closing(Database(None)) as database:
        world = World(database)
        policy = world.ports.policy()
        rates = {"requests_per_minute": 12, "request_burst": 3}
        mine = policy.tenants[TENANT].model_copy(update=rates)
        slow = policy.model_copy(update={"tenants": {TENANT: mine}})
        world.ports = replace(world.ports, policy=lambda: slow)
        yield world


def refused(world: World, number: int = 0, **more: Any) -> str:
    """Submit too fast, and return the code that says so."""
    with pytest.raises(Throttled) as refusal:
        world.submit(key=f"flood-{number}", entity="package:y", **more)
    return refusal.value.code


def used_up(world: World) -> None:
    """Submit what may be submitted at once."""
    for number in range(3):
        world.submit(key=f"first-{number}", entity=f"package:{number}")


def told(world: World) -> list[AnyEvent]:
    """Return what was told of refusals, in its order."""
    return [event for event in world.published() if event.type == "task.throttled"]


def test_a_flood_is_told_of_in_two_events(world: World) -> None:
    """Of 1,000 refusals the first is told of, and after ten seconds how many there were since."""
    used_up(world)
    before = world.rows("outbox"), len(world.published())
    for number in range(1000):
        assert refused(world, number) == "requests"
    switches.stop(world.ports, "all", "", by="ann", reason="a leak")
    world.clock.wait(10)
    assert refused(world, 1000) == "stopped"
    switches.start(world.ports, "all", "", by="ann")
    assert (world.rows("outbox"), len(world.published())) == (before[0], before[1] + 2)
    world.submit(key="now", entity="package:3")
    world.submit(key="now-too", entity="package:4")
    assert refused(world, 1001) == "requests"
    assert [(event.data.code, event.data.others) for event in told(world)] == [
        *(("requests", 0), ("stopped", 0)),
        ("requests", 999),
    ]


def test_a_refusal_says_which_limit_and_what_is_left(world: World) -> None:
    """The event has the limit, its level, when it will do, under which policy, and what money the tenant has."""
    used_up(world)
    refused(world, priority="interactive")
    (event,) = told(world)
    said, policy = event.data, world.ports.policy()
    assert (event.entity, event.sequence) == (f"limits:{TENANT}", 1)
    assert (said.limit, said.level, said.retry_after_seconds) == (12.0, 0.0, 5.0)
    assert (said.workflow, said.priority, said.policy_version) == ("document-review", "interactive", policy.version)
    spent = sum(
        world.lease(world.load_id(one.taskid)).amount for one in world.published() if one.type == "task.admitted"
    )
    assert said.left_micro_usd == min(policy.tenants[TENANT].money) - spent


def test_a_task_that_was_turned_away_first_is_explained(world: World) -> None:
    """The story of a task begins with its refusal, though its entity's name comes later; it costs nothing."""
    used_up(world)
    assert refused(world) == "requests"
    world.clock.wait(5)
    task = world.submit(key="flood-0", entity="package:y")
    for message in world.messages(Route.RECORDS):
        record(world.ports, message.body, message.attributes)
    rows = world.ports.records.history(TENANT, task=task.id)
    events = [parse(row.body) for row in rows]
    assert {event.entity for event in events} == {LIMITS, "package:y"}
    first, second, *_ = tell(events[::-1])
    assert first.text == "turned away (requests), to come again in 5 s"
    assert "too many requests at a time" in first.why
    assert (second.event.type == "task.throttled", first.cost) == (False, None)
    assert verify(world.ports, TENANT, LIMITS).broken is None
    assert world.ports.records.spent(TENANT) == 0


def test_pages_of_a_story_lose_nothing(world: World) -> None:
    """A task's events lie in two entities, and page by page all of them are read."""
    used_up(world)
    refused(world)
    world.clock.wait(5)
    task = world.submit(key="flood-0", entity="an entity before it")
    for message in world.messages(Route.RECORDS):
        record(world.ports, message.body, message.attributes)
    records, seen, after = world.ports.records, [], ("", 0)
    while page := records.history(TENANT, task=task.id, after=after, limit=1):
        seen += [row.event_id for row in page]
        after = (page[-1].entity, page[-1].sequence)
    assert seen == [row.event_id for row in records.history(TENANT, task=task.id)]
    assert len(seen) == 3


def test_processes_tell_of_their_own(world: World) -> None:
    """Two processes number their refusals one after the other, and each counts what it turned away itself."""
    used_up(world)
    mine, theirs = world.ports, replace(world.ports, refusals=Refusals())
    for ports in (mine, theirs, theirs, mine, mine):
        world.ports = ports
        refused(world)
    world.clock.wait(10)
    world.submit(key="a", entity="package:a")
    world.submit(key="b", entity="package:b")
    for ports in (theirs, mine):
        world.ports = ports
        refused(world)
    assert [event.sequence for event in told(world)] == [1, 2, 3, 4]
    assert [event.data.others for event in told(world)] == [0, 0, 1, 2]


def lost_race() -> None:
    """Somebody else was first."""
    raise Conflict("too late")


def down() -> None:
    """Nobody answers."""
    raise Transient("the store is down")


@pytest.mark.parametrize("trouble", [lost_race, down])
@pytest.mark.parametrize("method", ["note", "last_sequence"])
def test_what_cannot_be_told_is_told_with_the_next(
    world: World, trouble: Callable[[], None], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is down, and a race that was lost, change no refusal: it stays counted, and is not tried at once."""
    used_up(world)
    sound = world.ports
    tasks: Any = Rivalry(sound.tasks, trouble, method)
    world.ports = replace(sound, tasks=tasks)
    assert [refused(world), refused(world)] == ["requests", "requests"]
    assert (told(world), "not told of yet" in caplog.text) == ([], True)
    world.clock.wait(10)
    world.submit(key="a", entity="package:a")
    world.submit(key="b", entity="package:b")
    refused(world)
    assert [event.data.others for event in told(world)] == [2]


def test_an_event_that_was_not_sent_is_sent_later(world: World) -> None:
    """A bus that is down loses no event and counts no refusal twice."""
    used_up(world)
    bus: Any = Rivalry(world.ports.bus, down, "publish")
    world.ports = replace(world.ports, bus=bus)
    assert refused(world) == "requests"
    assert [event.type for event in world.unsent()] == ["task.throttled"]
    assert set(world.ports.refusals.counts.values()) == {0}
