"""Ordered records into the Spanner emulator, next to what it takes of the same rows when nobody decides anything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from benchmarks.material import NOON, events_of
from benchmarks.runner import Effort, Row, at_least, seconds
from local.stack import state
from local.stack.parts import all_parts
from local.stack.supervisor import Supervisor
from shared.core.routes import Route
from shared.events.catalog import AnyEvent

if TYPE_CHECKING:
    from google.cloud.spanner_v1.database import Database

_RETRY_DELAY = 0.02  # the emulator names no delay of its own
_SESSIONS = {"GOOGLE_CLOUD_SPANNER_MULTIPLEXED_SESSIONS_FOR_RW": "false"}  # it loses half the transactions on those
_LIMIT = "limit: blind commits"
_PATIENCE, _PAUSE = 300.0, 0.05

Mutation = tuple[str, str, Sequence[str], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Entity:
    """What is said about one entity, and the mutations that the recorder commits for each event."""

    events: Sequence[AnyEvent]
    commits: Sequence[Sequence[Mutation]]


class Noted:
    """Stands for a database that takes every commit, and notes its mutations."""

    def __init__(self) -> None:
        self.commits: list[list[Mutation]] = []

    def batch(self, **_: object) -> Noted:
        """Begin a commit."""
        self.commits.append([])
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Note a mutation: insert, update and what else there is."""
        return lambda *what: self.commits[-1].append((name, *what))


def rows(effort: Effort) -> Iterator[Row]:
    """Measure the recorder alone, then behind Pub/Sub's push."""
    entities = [_entity(number) for number in range(effort.pick(full=100, quick=40, tiny=2))]
    yield _row(effort, "records into Spanner", ("spanner",), lambda: _applied(entities), _APPLIED, target=0.8)
    yield _row(
        effort, "records pushed into Spanner", ("spanner", "pubsub", "record"), lambda: _pushed(entities), _PUSHED
    )


_APPLIED = (
    "One event after another, 19 of each entity; each side on a fresh emulator, the two taking turns entity by entity."
    " Ours: `SpannerRecords.apply`, which checks the order, chains the hash and commits the rows. The limit: a blind"
    " commit of the same mutations for each event, noted beforehand."
)
_PUSHED = (
    "Published by the Pub/Sub adapter with the entity as ordering key, pushed by the emulator to functions-framework,"
    " recorded in Spanner; until the last is there. The limit: the same rows in blind commits, one after another, on"
    " a fresh emulator. It only informs: on one machine the emulators and the function share its cores."
)


def _row(
    effort: Effort,
    name: str,
    parts: Sequence[str],
    sample: Callable[[], tuple[float, float]],
    note: str,
    *,
    target: float | None = None,
) -> Row:
    bound = at_least(target) if target else None
    lacking = [one.install for part in all_parts() if part.name in parts for one in part.missing()]
    if lacking:
        return Row(name, "/s", (), _LIMIT, target=bound, note=f"skipped; to measure it: {'; '.join(lacking)}")
    samples = [sample() for _ in range(effort.repeats)]
    ours, limit = zip(*samples, strict=True)
    return Row(name, "/s", ours, _LIMIT, limit, bound, note)


def _entity(number: int) -> Entity:
    from gcp.adapters.spanner import SpannerRecords  # noqa: PLC0415  the SDK, for this subject alone

    events, noted = events_of(f"e{number}"), Noted()
    database: Any = noted
    records = SpannerRecords(database)
    assert {records.apply(event, NOON) for event in events} == {"applied"}
    return Entity(events, noted.commits)


def _applied(entities: Sequence[Entity]) -> tuple[float, float]:
    """Return both sides' records per second."""
    from gcp.adapters.spanner import SpannerRecords  # noqa: PLC0415  the SDK, for this subject alone

    with _stack("spanner") as (ours, _), _stack("spanner") as (bare, _):
        records = SpannerRecords(ours, retry_delay=_RETRY_DELAY)

        def apply(entity: Entity) -> None:
            assert {records.apply(event, NOON) for event in entity.events} == {"applied"}

        sides = (apply, lambda entity: _commit(bare, entity))
        _in_turns([warm := _entity(-1)], *sides)
        took = _in_turns(entities, *sides)
        count = _count(entities)
        assert _recorded(ours) == _recorded(bare) == count + _count([warm])
    return count / took[0], count / took[1]


def _in_turns(entities: Sequence[Entity], *sides: Callable[[Entity], None]) -> list[float]:
    """Return the seconds that each side takes for all; a slow moment of the machine hits both."""
    took = [0.0 for _ in sides]
    for number, entity in enumerate(entities):
        for offset in range(len(sides)):
            side = (number + offset) % len(sides)
            took[side] += _seconds(sides[side], entity)
    return took


def _seconds(side: Callable[[Entity], None], entity: Entity) -> float:
    return seconds(lambda: side(entity))


def _pushed(entities: Sequence[Entity]) -> tuple[float, float]:
    """Return the records per second from publishing to the last commit, and those of blind commits alone."""
    with _stack("record") as (database, facts):
        _publish(database, facts["AGENTFABRIC_TOPIC"], [_entity(-1)])
        took = seconds(lambda: _publish(database, facts["AGENTFABRIC_TOPIC"], entities))
    with _stack("spanner") as (bare, _):
        _commit(bare, _entity(-1))
        (limit,) = _in_turns(entities, lambda entity: _commit(bare, entity))
    return _count(entities) / took, _count(entities) / limit


def _publish(database: Database, topic: str, entities: Sequence[Entity]) -> None:
    """Publish the entities' events and return when all of them are recorded."""
    from gcp.adapters.pubsub import PubsubBus, publisher  # noqa: PLC0415  the SDK, for this subject alone

    wanted, deadline = _recorded(database) + _count(entities), time.monotonic() + _PATIENCE
    client = publisher()
    PubsubBus(client, topic).publish([(Route.RECORDS, event) for entity in entities for event in entity.events])
    while (recorded := _recorded(database)) < wanted:
        assert time.monotonic() < deadline, f"only {recorded} of {wanted} records arrived"
        time.sleep(_PAUSE)
    client.stop()


def _commit(database: Database, entity: Entity) -> None:
    """Commit each event's mutations, unread."""
    for mutations in entity.commits:
        with database.batch(default_retry_delay=_RETRY_DELAY) as batch:
            for name, *what in mutations:
                getattr(batch, name)(*what)


def _count(entities: Sequence[Entity]) -> int:
    return sum(len(entity.events) for entity in entities)


def _recorded(database: Database) -> int:
    with database.snapshot() as snapshot:
        return sum(row[0] for row in snapshot.execute_sql("SELECT Last FROM Entities"))


@contextmanager
def _stack(part: str) -> Iterator[tuple[Database, Mapping[str, str]]]:
    """Start a part with all it needs, everything empty; the SDK's clients find it as long as it runs."""
    with TemporaryDirectory() as folder, _environment() as environment:
        supervisor = Supervisor(Path(folder), all_parts())
        supervisor.up([part])
        try:
            facts = state.facts(Path(folder))
            environment.update(_SESSIONS | facts)
            yield _database(facts), facts
        finally:
            supervisor.down()


@contextmanager
def _environment() -> Iterator[MutableMapping[str, str]]:
    """Leave this process's variables as they were."""
    before = dict(os.environ)
    try:
        yield os.environ
    finally:
        os.environ.clear()
        os.environ.update(before)


def _database(facts: Mapping[str, str]) -> Database:
    """Return a client's database; nobody closes it, for that would never end."""
    from google.cloud.spanner_v1 import Client  # noqa: PLC0415  the SDK, for this subject alone

    _, project, _, instance, _, database = facts["AGENTFABRIC_SPANNER"].split("/")
    found: Database = Client(project).instance(instance).database(database)
    return found
