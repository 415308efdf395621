"""What every system of record must do, whatever it is built on; each adapter's test inherits `RecordsContract`."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest

from shared.app.record import record, verify
from shared.core.recording import WINDOW, Parked
from shared.errors import NotFound, Permanent, Transient
from shared.events.catalog import AnyEvent, Cause, encode, follow
from shared.events.step import StepCompleted
from shared.events.usage import UsageMetered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from shared.core.recording import Verdict
    from shared.events.envelope import Fact
    from shared.ports import Ports, Records

AT = datetime(2025, 6, 1, 12, 30, 15, 250_000, tzinfo=UTC)
TASK = "task-1"


class Store(Protocol):
    """A system of record under test."""

    def records(self) -> Records:
        """Return the port; every call may be used by a thread of its own."""
        ...

    def ports(self) -> Ports:
        """Return ports around the same records."""
        ...

    def tamper(self, tenant: str, entity: str, sequence: int) -> None:
        """Change the type of a recorded event behind the port's back."""
        ...

    def forget(self, tenant: str, entity: str, sequence: int) -> None:
        """Delete the row of a recorded event behind the port's back."""
        ...

    def busy(self) -> AbstractContextManager[None]:
        """Make every write inside be refused for a passing reason."""
        ...


def usage(cost: int) -> UsageMetered:
    """Return a usage that costs so much."""
    return UsageMetered(
        document=0,
        step="summarise",
        model="extractive",
        tokens_in=7,
        tokens_out=2**53 - 1,
        cost_micro_usd=cost,
        price_version="2025-06",
    )


def step(attempt: int) -> StepCompleted:
    """Return a step that was completed with so many attempts."""
    return StepCompleted(document=0, step="extract", attempt=attempt, output_sha256="0" * 64, cost_micro_usd=0)


class Entity:
    """An entity of its own for one test, and the events somebody produces for it."""

    def __init__(self, tenant: str = "acme", name: str = "", task: str = TASK) -> None:
        self.tenant = tenant
        self.task = task
        self.name = name or f"package/{uuid4()}"

    def events(self, count: int) -> tuple[AnyEvent, ...]:
        """Return events numbered from 1; every fourth is a usage that costs its number."""
        return self.of([usage(number) if number % 4 == 0 else step(number) for number in range(1, count + 1)])

    def of(self, facts: Sequence[Fact]) -> tuple[AnyEvent, ...]:
        """Return the facts as the entity's events."""
        cause = Cause("command-1", self.tenant, self.task, self.name, "agentfabric/tests")
        return follow(cause, facts, after=0, at=AT)

    def poison(self, sequence: int, body: str = '{"type": "no.such"}') -> Parked:
        """Return a message that nobody can read."""
        return Parked(self.tenant, self.name, sequence, "poison", "unknown event type", body, AT)


class RecordsContract:
    """Inherit it and give it a `store` fixture."""

    @pytest.fixture
    def records(self, store: Store) -> Records:
        """Return the port under test."""
        return store.records()

    @pytest.fixture
    def entity(self) -> Entity:
        """Return an entity nobody else uses."""
        return Entity()

    @staticmethod
    def numbers(records: Records, entity: Entity) -> list[int]:
        """Return the numbers in the entity's history."""
        return [row.sequence for row in records.history(entity.tenant, entity=entity.name)]

    @staticmethod
    def waiting(records: Records, entity: Entity) -> list[tuple[int, str]]:
        """Return the numbers and causes of what waits for the entity."""
        return [(item.sequence, item.cause) for item in records.parked(entity.tenant, entity=entity.name)]

    @staticmethod
    def apply_all(records: Records, events: Sequence[AnyEvent]) -> list[Verdict]:
        """Apply the events one after another."""
        return [records.apply(event, AT) for event in events]

    def test_in_order(self, records: Records, entity: Entity) -> None:
        """Events that arrive in order are applied, and the history returns them as they were said."""
        events = entity.events(3)
        assert self.apply_all(records, events) == ["applied"] * 3
        rows = records.history(entity.tenant, entity=entity.name)
        assert [(row.sequence, row.event_id, row.type, row.task, row.time, row.body) for row in rows] == [
            (event.sequence, event.id, event.type, TASK, AT, encode(event)) for event in events
        ]
        assert records.head(entity.tenant, entity.name).last == 3

    def test_nothing_recorded(self, records: Records, entity: Entity) -> None:
        """An entity without any event has an empty record that ends at 0."""
        head = records.head(entity.tenant, entity.name)
        assert (head.last, head.chain) == (0, "")
        assert self.numbers(records, entity) == []

    def test_duplicate(self, records: Records, entity: Entity) -> None:
        """An event that comes again is recognised and changes nothing."""
        events = entity.events(2)
        self.apply_all(records, events)
        before = records.history(entity.tenant, entity=entity.name)
        assert self.apply_all(records, events) == ["duplicate", "duplicate"]
        assert records.history(entity.tenant, entity=entity.name) == before

    def test_gap(self, records: Records, entity: Entity) -> None:
        """Early events are parked, even twice, and applied as soon as the gap closes."""
        first, *early = entity.events(4)
        assert self.apply_all(records, [*reversed(early), *early]) == ["parked"] * 6
        assert self.waiting(records, entity) == [(2, "gap"), (3, "gap"), (4, "gap")]
        item = records.parked(entity.tenant, entity=entity.name)[0]
        assert (item.reason, item.body, item.at) == ("waits for 1", encode(early[0]), AT)
        assert records.apply(first, AT) == "applied"
        assert (self.numbers(records, entity), self.waiting(records, entity)) == ([1, 2, 3, 4], [])

    def test_shuffle(self, store: Store, records: Records, entity: Entity) -> None:
        """400 events in any order, with duplicates, end as the exact record of each once."""
        events = list(entity.events(400))
        arriving = events + random.Random(7).choices(events, k=100)
        random.Random(8).shuffle(arriving)
        self.apply_all(records, arriving)
        rows = records.history(entity.tenant, entity=entity.name)
        assert [row.body for row in rows] == [encode(event) for event in events]
        assert self.waiting(records, entity) == []
        assert verify(store.ports(), entity.tenant, entity.name).broken is None

    def test_long_queue(self, records: Records, entity: Entity) -> None:
        """A gap with more behind it than one transaction looks at is applied to its end."""
        first, *early = entity.events(2 * WINDOW + 5)
        self.apply_all(records, early)
        assert records.apply(first, AT) == "applied"
        assert records.head(entity.tenant, entity.name).last == 2 * WINDOW + 5
        assert self.waiting(records, entity) == []

    def test_poison(self, records: Records, entity: Entity) -> None:
        """A message nobody can read holds its own entity back and no other."""
        other = Entity()
        self.apply_all(records, entity.events(1))
        assert records.park(entity.poison(2)) == "parked"
        assert self.apply_all(records, entity.events(4)[2:]) == ["parked", "parked"]
        assert self.apply_all(records, other.events(3)) == ["applied"] * 3
        assert self.numbers(records, entity) == [1]
        assert self.waiting(records, entity) == [(2, "poison"), (3, "gap"), (4, "gap")]

    def test_poison_again(self, records: Records, entity: Entity) -> None:
        """The first message parked under a number stays, and one for a settled number is a duplicate."""
        self.apply_all(records, entity.events(1))
        records.park(entity.poison(2, "first"))
        assert records.park(entity.poison(2, "second")) == "parked"
        assert records.park(entity.poison(1)) == "duplicate"
        assert [item.body for item in records.parked(entity.tenant, entity=entity.name)] == ["first"]

    def test_good_event_takes_the_place_of_poison(self, records: Records, entity: Entity) -> None:
        """Once a good event comes with the poison's number, it is applied with all that waited."""
        first, second, third = entity.events(3)
        records.apply(first, AT)
        records.park(entity.poison(2))
        records.apply(third, AT)
        assert records.apply(second, AT) == "applied"
        assert (self.numbers(records, entity), self.waiting(records, entity)) == ([1, 2, 3], [])

    def test_early_good_event_takes_the_place_of_poison(self, records: Records, entity: Entity) -> None:
        """A good event replaces poison even while both are early, and poison never replaces a good event."""
        first, second, _ = entity.events(3)
        records.park(entity.poison(2))
        assert records.apply(second, AT) == "parked"
        records.park(entity.poison(2))
        assert self.waiting(records, entity) == [(2, "gap")]
        assert records.apply(first, AT) == "applied"
        assert self.numbers(records, entity) == [1, 2]

    def test_skip(self, store: Store, records: Records, entity: Entity) -> None:
        """A skipped number leaves a chained tombstone that names who, why and what, and releases the rest."""
        first, _, third, fourth = entity.events(4)
        records.apply(first, AT)
        records.park(entity.poison(2, '{"type": "no.such", "taskid": "task-1"}'))
        self.apply_all(records, [third, fourth])
        assert (
            records.skip(entity.tenant, entity.name, 2, by="ops@example.com", reason="bad release", at=AT) == "applied"
        )
        assert (self.numbers(records, entity), self.waiting(records, entity)) == ([1, 2, 3, 4], [])
        tombstone = records.history(entity.tenant, entity=entity.name)[1]
        assert (tombstone.type, tombstone.task, tombstone.time) == ("record.skipped", "task-1", AT)
        for said in ("ops@example.com", "bad release", "unknown event type", "no.such"):
            assert said in tombstone.body
        assert verify(store.ports(), entity.tenant, entity.name).broken is None

    def test_skip_a_number_that_never_comes(self, records: Records, entity: Entity) -> None:
        """A gap that will never close can be skipped as well."""
        self.apply_all(records, entity.events(3)[1:])
        assert records.skip(entity.tenant, entity.name, 1, by="ops", reason="lost", at=AT) == "applied"
        assert self.numbers(records, entity) == [1, 2, 3]

    def test_skip_twice(self, records: Records, entity: Entity) -> None:
        """Skipping a settled number again is a duplicate, and so is its late event or poison."""
        first, *_ = entity.events(1)
        records.park(entity.poison(1))
        records.skip(entity.tenant, entity.name, 1, by="ops", reason="bad", at=AT)
        assert records.skip(entity.tenant, entity.name, 1, by="ops", reason="bad", at=AT) == "duplicate"
        assert records.apply(first, AT) == "duplicate"
        assert records.park(entity.poison(1)) == "duplicate"
        assert self.waiting(records, entity) == []

    def test_skip_what_does_not_wait(self, records: Records, entity: Entity) -> None:
        """Nothing can be skipped where nothing waits, nor before what holds the entity back."""
        with pytest.raises(NotFound, match="nothing waits"):
            records.skip(entity.tenant, entity.name, 1, by="ops", reason="bad", at=AT)
        records.park(entity.poison(3))
        with pytest.raises(Permanent, match=r"sequence: 1 holds .* back"):
            records.skip(entity.tenant, entity.name, 3, by="ops", reason="bad", at=AT)
        assert self.waiting(records, entity) == [(3, "poison")]

    def test_tenants(self, records: Records, entity: Entity) -> None:
        """Two tenants' entities of one name share nothing."""
        other = Entity("other", entity.name)
        self.apply_all(records, entity.events(4))
        assert records.apply(other.events(1)[0], AT) == "applied"
        records.park(other.poison(2))
        assert (self.numbers(records, entity), self.numbers(records, other)) == ([1, 2, 3, 4], [1])
        assert self.waiting(records, entity) == []
        assert not [row for row in records.bill("other") if row.entity == entity.name]

    def test_chain(self, store: Store, records: Records, entity: Entity) -> None:
        """A row changed behind the record's back is found, by its number."""
        self.apply_all(records, entity.events(5))
        sound = verify(store.ports(), entity.tenant, entity.name)
        assert (sound.checked, sound.broken) == (5, None)
        store.tamper(entity.tenant, entity.name, 3)
        found = verify(store.ports(), entity.tenant, entity.name)
        assert (found.checked, found.broken) == (2, 3)

    @pytest.mark.parametrize("gone", [1, 3, 5])
    def test_missing_row(self, store: Store, records: Records, entity: Entity, gone: int) -> None:
        """A row removed behind the record's back is found, the last one too."""
        self.apply_all(records, entity.events(5))
        store.forget(entity.tenant, entity.name, gone)
        assert verify(store.ports(), entity.tenant, entity.name).broken == gone

    def test_bill(self, records: Records, entity: Entity) -> None:
        """Usage is billed once, whatever came twice or early, and can be asked for by task."""
        task = f"task-{uuid4()}"
        mine = Entity(name=entity.name, task=task)
        events = list(mine.events(8))
        self.apply_all(records, [*reversed(events), *events])
        billed = records.bill(mine.tenant, task=task)
        assert [(row.sequence, row.cost_micro_usd) for row in billed] == [(4, 4), (8, 8)]
        row = billed[0]
        assert (row.event_id, row.tenant, row.task, row.entity) == (events[3].id, mine.tenant, task, mine.name)
        assert (row.step, row.model, row.tokens_in, row.price_version) == ("summarise", "extractive", 7, "2025-06")
        assert row.tokens_out == 2**53 - 1

    def test_pages(self, records: Records, entity: Entity) -> None:
        """History comes in pages: so many after a number, by entity or by task."""
        task = f"task-{uuid4()}"
        mine = Entity(name=entity.name, task=task)
        self.apply_all(records, mine.events(7))
        by_entity = records.history(mine.tenant, entity=mine.name, after=(mine.name, 2), limit=3)
        by_task = records.history(mine.tenant, task=task, after=(mine.name, 5), limit=3)
        assert [row.sequence for row in by_entity] == [3, 4, 5]
        assert [row.sequence for row in by_task] == [6, 7]

    def test_bill_by_page(self, records: Records, entity: Entity) -> None:
        """A bill comes in pages, across entities, and its sum is of all of them."""
        task = f"task-{uuid4()}"
        names = [f"{entity.name}/{number}" for number in range(2)]
        for name in names:
            self.apply_all(records, Entity(name=name, task=task).events(8))
        first = records.bill(entity.tenant, task=task, limit=3)
        rest = records.bill(entity.tenant, task=task, after=(first[-1].entity, first[-1].sequence), limit=3)
        assert [(row.entity, row.sequence) for row in (*first, *rest)] == [
            (name, at) for name in names for at in (4, 8)
        ]
        assert [records.spent(entity.tenant, task=asked) for asked in (task, "task-none")] == [24, 0]
        assert records.spent(entity.tenant) >= 24

    def test_parked_by_page(self, records: Records, entity: Entity) -> None:
        """What is parked comes in pages, an entity's or a tenant's."""
        for number in (3, 1, 2):
            records.park(entity.poison(number))
        first = records.parked(entity.tenant, entity=entity.name, limit=2)
        rest = records.parked(entity.tenant, entity=entity.name, after=(entity.name, 2), limit=2)
        assert [[item.sequence for item in page] for page in (first, rest)] == [[1, 2], [3]]
        following = records.parked(entity.tenant, after=(entity.name, 2), limit=1)
        assert [(item.entity, item.sequence) for item in following] == [(entity.name, 3)]

    def test_same_events_at_once(self, store: Store, entity: Entity) -> None:
        """Threads that deliver the same events at once apply each exactly once."""
        events = entity.events(12)
        stores = [store.records() for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            verdicts = list(pool.map(lambda records: self.apply_all(records, events), stores))
        assert sorted(verdict for pair in verdicts for verdict in pair).count("applied") >= 12
        assert self.numbers(stores[0], entity) == list(range(1, 13))
        assert [row.sequence for row in stores[0].bill(entity.tenant) if row.entity == entity.name] == [4, 8, 12]
        assert verify(store.ports(), entity.tenant, entity.name).broken is None

    def test_adjacent_events_at_once(self, store: Store, entity: Entity) -> None:
        """Threads that deliver the odd and the even numbers end with the exact record and nothing parked."""
        events = entity.events(20)
        work = [(store.records(), events[0::2]), (store.records(), events[1::2])]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda pair: self.apply_all(*pair), work))
        records = store.records()
        assert self.numbers(records, entity) == list(range(1, 21))
        assert self.waiting(records, entity) == []

    def test_a_busy_record_asks_for_another_attempt(self, store: Store, records: Records, entity: Entity) -> None:
        """What a throttled store refuses is Transient, leaves no trace, and is recorded when it comes again."""
        first, second, third, fourth = entity.events(4)
        records.apply(first, AT)
        calls: tuple[Callable[[], object], ...] = (
            lambda: records.apply(second, AT),  # the next of an entity that is known here
            lambda: records.apply(fourth, AT),  # one that comes early
            lambda: records.park(entity.poison(3)),
            lambda: records.apply(Entity().events(1)[0], AT),  # the first of its entity
        )
        for call in calls:
            with store.busy(), pytest.raises(Transient):
                call()
        assert (self.numbers(records, entity), self.waiting(records, entity)) == ([1], [])
        assert self.apply_all(records, [fourth, second, third]) == ["parked", "applied", "applied"]
        assert self.numbers(records, entity) == [1, 2, 3, 4]
        assert verify(store.ports(), entity.tenant, entity.name).broken is None

    def test_any_text(self, records: Records) -> None:
        """Any text an event may carry is recorded as it was said."""
        odd = Entity(name="päckage/日本 'quoted\" \U0001f600 %_;--")
        fact = step(1).model_copy(update={"step": "nul \x00, line\n, \u2028, \U0001f9ea"})
        records.apply(odd.of([fact])[0], AT)
        (row,) = records.history(odd.tenant, entity=odd.name)
        assert row.body == encode(odd.of([fact])[0])

    def test_quarantine(self, store: Store) -> None:
        """A message that nobody owns is kept in quarantine, once, and holds nobody back."""
        ports = store.ports()
        body = f"not an event {uuid4()}"
        assert [record(ports, body, {}), record(ports, body, {})] == ["parked", "parked"]
        kept = [item.body for item in ports.records.parked("_quarantine")]
        assert kept.count(body) == 1
