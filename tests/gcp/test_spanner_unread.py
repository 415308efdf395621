from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gcp.adapters import heads
from gcp.adapters.heads import Heads
from gcp.adapters.spanner import SpannerRecords
from shared.app.record import verify
from shared.core.recording import EntityRecord
from shared.events.catalog import encode
from tests.contracts.records_contract import AT, Entity
from tests.gcp.databases import RETRY_DELAY, SpannerStore, spanner_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.cloud.spanner_v1.transaction import Transaction


class Watched:
    """A database that counts what is asked of it."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.transactions = self.commits = 0

    def run_in_transaction(self, *given: Any, **options: Any) -> Any:
        """Count a transaction that reads."""
        self.transactions += 1
        return self._database.run_in_transaction(*given, **options)

    def batch(self, **options: Any) -> Any:
        """Count a commit that does not."""
        self.commits += 1
        return self._database.batch(**options)


@pytest.fixture(scope="module")
def store() -> Iterator[SpannerStore]:
    """Yield a database on the real emulator."""
    with spanner_store() as (store, _):
        yield store


@pytest.fixture
def entity() -> Entity:
    """Return an entity nobody else uses."""
    return Entity()


@pytest.fixture
def watched(store: SpannerStore) -> Watched:
    """Return the database, counting."""
    return Watched(store.database)


@pytest.fixture
def mine(watched: Any) -> SpannerRecords:
    """Return the port of one process."""
    return SpannerRecords(watched, retry_delay=RETRY_DELAY)


@pytest.fixture
def other(store: SpannerStore) -> SpannerRecords:
    """Return the port of another process."""
    return store.records()


def is_exact(store: SpannerStore, entity: Entity, count: int) -> bool:
    """Whether the record is these events', in their order, and nothing waits."""
    records = store.records()
    bodies = [row.body for row in records.history(entity.tenant, entity=entity.name)]
    waiting = records.parked(entity.tenant, entity=entity.name)
    sound = verify(store.ports(), entity.tenant, entity.name)
    return (bodies, waiting, sound.broken) == ([encode(event) for event in entity.events(count)], [], None)


def test_what_follows_is_written_unread(
    store: SpannerStore, mine: SpannerRecords, watched: Watched, entity: Entity
) -> None:
    """An entity's events that come one after another, the first one included, cost one commit each and no read."""
    assert [mine.apply(event, AT) for event in entity.events(9)] == ["applied"] * 9
    assert (watched.commits, watched.transactions) == (9, 0)
    assert is_exact(store, entity, 9)


def test_after_a_look_the_next_is_written_unread(
    mine: SpannerRecords, other: SpannerRecords, watched: Watched, entity: Entity
) -> None:
    """Whoever comes to a running entity reads once, and not again for what follows."""
    first, *rest = entity.events(5)
    other.apply(first, AT)
    assert [mine.apply(event, AT) for event in rest] == ["applied"] * 4
    assert (watched.transactions, watched.commits) == (1, 3)


def test_what_another_parked_is_released(
    store: SpannerStore, mine: SpannerRecords, other: SpannerRecords, entity: Entity
) -> None:
    """An event that another process parked meanwhile is applied with the one it waits for, unread head or not."""
    first, second, third, fourth = entity.events(4)
    mine.apply(first, AT)
    assert [other.apply(event, AT) for event in (fourth, third)] == ["parked", "parked"]
    assert mine.apply(second, AT) == "applied"
    assert is_exact(store, entity, 4)


def test_what_is_parked_further_on_is_not_lost_sight_of(
    store: SpannerStore, mine: SpannerRecords, other: SpannerRecords, entity: Entity
) -> None:
    """While anything waits, whoever applies a number says which is awaited next."""
    events = entity.events(5)
    mine.apply(events[0], AT)
    other.apply(events[4], AT)
    assert [records.apply(event, AT) for records, event in zip((mine, other, mine), events[1:4], strict=True)] == [
        "applied"
    ] * 3
    assert is_exact(store, entity, 5)


def test_a_number_that_another_settled_is_a_duplicate(
    store: SpannerStore, mine: SpannerRecords, other: SpannerRecords, entity: Entity
) -> None:
    """What another process applied is not applied again, and the record goes on from there."""
    first, second, third = entity.events(3)
    mine.apply(first, AT)
    other.apply(second, AT)
    assert [mine.apply(event, AT) for event in (second, first, third)] == ["duplicate", "duplicate", "applied"]
    assert is_exact(store, entity, 3)


def test_a_number_that_was_skipped_is_a_duplicate(mine: SpannerRecords, other: SpannerRecords, entity: Entity) -> None:
    """What an operator skipped while this process knew an older head stays skipped."""
    first, second = entity.events(2)
    mine.apply(first, AT)
    other.park(entity.poison(2))
    other.skip(entity.tenant, entity.name, 2, by="ops", reason="bad", at=AT)
    assert mine.apply(second, AT) == "duplicate"
    assert [row.type for row in other.history(entity.tenant, entity=entity.name)][1] == "record.skipped"


@pytest.mark.parametrize("later", [timedelta(minutes=1, seconds=1), timedelta(seconds=-1)])
def test_an_old_head_is_not_trusted(mine: SpannerRecords, watched: Watched, entity: Entity, later: timedelta) -> None:
    """A head that was written over a minute ago, or by a clock that went back, is read anew."""
    first, second = entity.events(2)
    mine.apply(first, AT)
    assert mine.apply(second, AT + later) == "applied"
    assert watched.transactions == 1


def test_a_record_that_vanished_is_not_continued(store: SpannerStore, mine: SpannerRecords, entity: Entity) -> None:
    """When the store lost an entity, its next event waits for those before it."""
    first, second = entity.events(2)
    mine.apply(first, AT)

    def forget(transaction: Transaction) -> None:
        for table in ("Inbox", "Audit", "Entities"):
            words = f"DELETE FROM {table} WHERE Tenant = @tenant AND Entity = @entity"  # noqa: S608  a word of ours
            transaction.execute_update(words, params={"tenant": entity.tenant, "entity": entity.name})

    store.database.run_in_transaction(forget)
    assert mine.apply(second, AT) == "parked"


@pytest.mark.parametrize("seed", range(12))
def test_any_process_may_get_any_event(store: SpannerStore, entity: Entity, seed: int) -> None:
    """However events and duplicates are spread over three processes, the record ends exact and nothing waits."""
    chance = random.Random(seed)
    processes = [store.records() for _ in range(3)]
    arriving = [*entity.events(12), *chance.choices(entity.events(12), k=4)]
    arriving.sort(key=lambda event: event.sequence + chance.uniform(0, 4))
    for event in arriving:
        chance.choice(processes).apply(event, AT)
    assert is_exact(store, entity, 12)


def test_heads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many heads are kept, the latest ones, and each is good for one write."""
    monkeypatch.setattr(heads, "_MOST", 2)
    known = Heads()
    second = {name: Entity(name=name).events(2)[1] for name in ("a", "b", "c")}
    for name in ("a", "b", "a", "c"):
        known.keep(EntityRecord("acme", name, 1, "x"), AT)
    assert [known.take(second[name], AT) is not None for name in ("a", "b", "c", "a")] == [True, False, True, False]
