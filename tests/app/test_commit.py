from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from local.wiring import TENANT
from shared.app.commit import change, relay
from shared.app.tasks import cancel, dispatch
from shared.core.decision import Decision
from shared.core.routes import Route
from shared.core.task import Status, evolve
from shared.errors import Conflict, NotFound, Permanent, Transient
from shared.events.catalog import Cause
from shared.events.usage import UsageMetered
from tests.app.faults import HonestBus, Rivals
from tests.app.world import ENTITY, SOURCE, World

if TYPE_CHECKING:
    from shared.core.task import Task


def honest(world: World, failures: int = 0) -> HonestBus:
    """Put a bus between that hears nothing early."""
    bus = HonestBus(world.ports.bus, world.database, failures=failures)
    world.ports = replace(world.ports, bus=bus)
    return bus


def metering(world: World, task: Task, name: str, claim: str | None = None) -> Task:
    """Make a small change to a running task."""
    fact = UsageMetered(
        document=0, step="classify", model="m", tokens_in=1, tokens_out=1, cost_micro_usd=1, price_version="1"
    )
    cause = Cause(name, task.tenant, task.id, task.entity, SOURCE)
    return change(world.ports, cause, lambda now: Decision(evolve(now, fact), (fact,)), claim=claim)


def running(world: World) -> Task:
    """Return a task that is at work."""
    task = world.placed()
    world.step(task, "extract", {})
    return world.load(task)


def test_nothing_is_published_before_it_is_committed(world: World) -> None:
    """Through a whole review, an approval included, the bus hears of committed events only."""
    bus = honest(world)
    task, approval = world.asked()
    world.vote(approval)
    world.record(task)
    assert world.told(task)[-1] == "task.completed"
    assert bus.early == []


def test_the_honest_bus_notices(world: World) -> None:
    """The check above fails for an event that is not in the store."""
    bus = honest(world)
    task = world.submit()
    event = world.published()[0].model_copy(update={"sequence": 99})
    bus.publish([(Route.RECORDS, event)])
    assert bus.early == [event]
    assert world.load(task).status is Status.ADMITTED


def test_a_crash_between_commit_and_publication_is_made_good_by_the_repetition(world: World) -> None:
    """The first request commits and cannot publish; the same request again publishes exactly what was left."""
    honest(world, failures=1)
    with pytest.raises(Transient):
        world.submit()
    assert (world.published(), len(world.unsent())) == ([], 2)
    task = world.submit()
    assert world.told(task) == ["task.submitted", "task.admitted"]
    assert world.unsent() == []
    world.submit()
    assert len(world.told(task)) == 2


def test_a_duplicate_that_finds_nothing_to_do_still_speaks(world: World) -> None:
    """A message without a claim, whose effect is there already, sends what its first delivery left unsent."""
    task = world.placed()
    honest(world, failures=1)
    with pytest.raises(Transient):
        cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    assert "task.cancelled" not in world.told(task)
    cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    assert world.told(task)[-1] == "task.cancelled"


def test_the_safety_net_sends_what_nobody_asks_for_again(world: World) -> None:
    """What was committed and not published is relayed, in its order, once."""
    honest(world, failures=1)
    with pytest.raises(Transient):
        world.submit()
    assert relay(world.ports) == 2
    assert [event.sequence for event in world.published()] == [1, 2]
    assert relay(world.ports) == 0


def test_a_relay_keeps_to_the_entity_it_was_asked_about(world: World) -> None:
    """A duplicate sends what is left of its own entity, not the whole backlog."""
    honest(world, failures=2)
    for entity in ("package:x", "package:y"):
        with pytest.raises(Transient):
            world.submit(entity=entity, key=entity)
    assert relay(world.ports, tenant=TENANT, entity=ENTITY) == 2
    assert {event.entity for event in world.unsent()} == {"package:y"}


@pytest.mark.parametrize("wins", [0, 1, 7])
def test_who_comes_second_decides_again(world: World, wins: int) -> None:
    """A lost race is decided anew on what the winner wrote, and nothing is lost or numbered twice."""
    task = running(world)
    numbers = count()
    rivals = Rivals(world.ports.tasks, lambda: metering(plain, task, f"rival{next(numbers)}"), wins)
    plain = World(world.database)
    before = world.load(task).version
    world.ports = replace(world.ports, tasks=rivals)
    metering(world, task, "mine")
    assert world.load(task).version == before + wins + 1
    mine = [event for event in world.published() if event.causationid == "mine"]
    assert len(mine) == 1
    sequences = [event.sequence for event in world.published()]
    assert sorted(sequences) == list(range(1, len(sequences) + 1))


def test_too_many_races_are_put_off(world: World) -> None:
    """Whoever loses again and again is asked to come later, and has written nothing."""
    task = running(world)
    numbers = count()
    plain = World(world.database)
    world.ports = replace(
        world.ports, tasks=Rivals(world.ports.tasks, lambda: metering(plain, task, f"rival{next(numbers)}"), 1000)
    )
    with pytest.raises(Transient) as late:
        metering(world, task, "mine")
    assert not isinstance(late.value, Conflict)
    assert late.value.retry_after > 0
    assert not [event for event in world.published() if event.causationid == "mine"]


def test_another_task_of_the_entity_is_a_rival_too(world: World) -> None:
    """The entity's sequence is contended between tasks, and a number is given once."""
    task = running(world)
    plain = World(world.database)
    rivals = Rivals(world.ports.tasks, lambda: plain.submit("Pass two.", key="k2"), 1)
    world.ports = replace(world.ports, tasks=rivals)
    metering(world, task, "mine")
    sequences = [event.sequence for event in world.published()]
    assert sorted(sequences) == list(range(1, len(sequences) + 1))


def test_a_claim_is_taken_once(world: World) -> None:
    """The same message delivered again changes nothing; another one does."""
    task = running(world)
    first = metering(world, task, "mine", claim="message-1")
    assert metering(world, task, "mine", claim="message-1") == first
    assert metering(world, task, "mine-too", claim="message-2").version == first.version + 1


def test_a_refused_decision_writes_nothing(world: World) -> None:
    """What a decision refuses leaves neither rows nor events behind."""
    task = world.submit()
    before = {table: world.rows(table) for table in ("inbox", "outbox", "messages")}
    with pytest.raises(Permanent):
        metering(world, task, "mine", claim="message-1")
    assert before == {table: world.rows(table) for table in before}
    assert world.load(task) == task


def test_a_task_that_vanished_is_said_to_be_missing(world: World) -> None:
    """A message about a task nobody has is not found, and takes no claim."""
    world.submit()
    event = world.published()[1].model_copy(update={"taskid": "no-such"})
    with pytest.raises(NotFound):
        dispatch(world.ports, event, source=SOURCE)
