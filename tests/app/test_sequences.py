from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from local.sqlite.database import Database
from local.wiring import TENANT
from shared.app.record import record, verify
from shared.core.routes import Route
from shared.core.task import Status
from tests.app.faults import Rivalry
from tests.app.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.task import Task

ENTITIES = ("package:x", "package:y")


def life(world: World, number: int) -> Iterator[None]:
    """Live through one task, one request at a time; even ones need a human, every third belongs to another entity."""
    text = "Ask me first. Then go on." if number % 2 == 0 else "Pass it on. Keep the notice."
    task: Task = world.placed(text, key=f"k{number}", entity=ENTITIES[number % 3 == 2])
    yield
    results: dict[str, object] = {}
    for name in ("extract", "classify", "summarise", "policy"):
        results[name] = world.step(task, name, results)
        yield
    if number % 2 == 0:
        approval = world.request(task)
        yield
        world.vote(approval)
        yield
    world.record(task)
    assert world.load(task).status is Status.COMPLETED


@settings(max_examples=25, deadline=None)
@given(turns=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_numbers_have_no_gap_and_no_repeat(turns: list[tuple[int, bool]]) -> None:
    """However the requests of several tasks of an entity interleave and race, its events count from 1 without a gap."""
    database = Database(None)
    world = World(database)
    sound = world.ports
    lives = [life(world, number) for number in range(4)]
    for number, racing in turns:
        if racing:
            rival = (number + 1) % 4
            world.ports = replace(sound, tasks=Rivalry(sound.tasks, lambda: next(lives[rival], None), method="commit"))  # noqa: B023
        try:
            next(lives[number], None)
        finally:
            world.ports = sound
    for rest in lives:
        list(rest)
    for entity in ENTITIES:
        sequences = [event.sequence for event in world.published() if event.entity == entity]
        assert sorted(sequences) == list(range(1, len(sequences) + 1))
        assert world.ports.tasks.last_sequence(TENANT, entity) == len(sequences)
    for message in world.messages(Route.RECORDS):
        record(world.ports, message.body, message.attributes)
    assert [verify(world.ports, TENANT, entity).broken for entity in ENTITIES] == [None, None]
    assert world.ports.records.parked(TENANT) == []
    assert len({event.id for event in world.published()}) == len(world.published())
    database.close()
