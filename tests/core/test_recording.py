from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.recording import WINDOW, EntityRecord, Parked, Recording, decide, extend, keep, skip
from shared.errors import NotFound, Permanent
from shared.events.catalog import AnyEvent, Cause, encode, follow, parse
from shared.events.step import StepCompleted

AT = datetime(2025, 6, 1, tzinfo=UTC)
NEW = EntityRecord("acme", "e")


def events(count: int) -> list[AnyEvent]:
    """Return an entity's events, numbered from 1."""
    fact = StepCompleted(document=0, step="extract", attempt=1, output_sha256="0" * 64, cost_micro_usd=0)
    return list(follow(Cause("c", "acme", "task-1", "e", "s"), [fact] * count, after=0, at=AT))


def parked(event: AnyEvent, cause: Literal["gap", "poison"] = "gap", body: str | None = None) -> Parked:
    """Return the event as it waits."""
    text = encode(event) if body is None else body
    return Parked("acme", "e", event.sequence, cause, "because", text, AT)


class Entity:
    """A record kept in plain values, as a store would keep it."""

    def __init__(self) -> None:
        self.record = NEW
        self.waiting: dict[int, Parked] = {}
        self.rows: list[int] = []

    def take(self, recording: Recording) -> str:
        """Write what was decided."""
        if recording.park:
            self.waiting[recording.park.sequence] = recording.park
        self.record = recording.record
        self.waiting = {number: item for number, item in self.waiting.items() if number > self.record.last}
        self.rows += [row.sequence for row in recording.audit]
        return recording.verdict


@given(st.data())
def test_any_order_ends_the_same(data: st.DataObject) -> None:
    """Whatever the order, duplicates and poison, the record ends exactly as if all had come in order."""
    said = events(8)
    arriving = data.draw(st.permutations([*said, *said[::2]]))
    entity, straight = Entity(), Entity()
    for event in arriving:
        if data.draw(st.booleans()):
            entity.take(keep(entity.record, entity.waiting, parked(event, "poison", "?")))
        entity.take(decide(entity.record, entity.waiting, event, AT))
    for event in said:
        straight.take(decide(straight.record, {}, event, AT))
    assert (entity.record, entity.rows, entity.waiting) == (straight.record, straight.rows, {})


def test_a_parked_event_that_comes_again_is_not_written_again() -> None:
    """An early event that waits already stays as it was parked."""
    _, second = events(2)
    again = decide(NEW, {2: parked(second)}, second, AT)
    assert (again.verdict, again.park) == ("parked", None)


def test_whatever_arrives_goes_on_where_a_crash_stopped() -> None:
    """What is due and still parked is applied by the next message of its entity, even by a duplicate."""
    first, second, third = events(3)
    record = decide(NEW, {}, first, AT).record
    recording = decide(record, {2: parked(second), 3: parked(third)}, first, AT)
    assert (recording.verdict, recording.record.last) == ("duplicate", 3)


def test_a_full_window_says_that_there_may_be_more() -> None:
    """When all that was looked at became due, the decision asks to be made again."""
    first, *rest = events(WINDOW + 1)
    waiting = {event.sequence: parked(event) for event in rest}
    assert decide(NEW, waiting, first, AT).more
    del waiting[WINDOW // 2]
    assert not decide(NEW, waiting, first, AT).more


def test_a_parked_event_that_cannot_be_read_any_more_stays() -> None:
    """An event parked by a newer release stops the draining where it is and breaks nothing."""
    first, second, _ = events(3)
    recording = decide(NEW, {2: parked(second, body='{"type": "from.tomorrow"}')}, first, AT)
    assert (recording.verdict, recording.record.last) == ("applied", 1)


def test_a_tombstone_tells_what_it_replaced() -> None:
    """A tombstone is an event like any other, with who, why, and the text that was parked."""
    (first,) = events(1)
    item = parked(first, "poison", '{"taskid": "task-9", "x": 1}')
    recording = skip(NEW, {1: item}, 1, "ann", "bad release", AT)
    event = parse(recording.audit[0].body)
    assert (event.type, event.taskid, event.sequence, event.time) == ("record.skipped", "task-9", 1, AT)
    said = (event.data.by, event.data.reason, event.data.parked_because, event.data.skipped)
    assert said == ("ann", "bad release", "because", item.body)


@pytest.mark.parametrize("body", ["", "?", "[]", "{}", '{"taskid": 7}', '{"taskid": "../x"}'])
def test_a_tombstone_of_an_unknown_task(body: str) -> None:
    """Where no task can be read from what was parked, the tombstone says so."""
    (first,) = events(1)
    recording = skip(NEW, {1: parked(first, "poison", body)}, 1, "ann", "bad", AT)
    assert recording.audit[0].task == "unknown"


def test_what_cannot_be_skipped() -> None:
    """Nothing is skipped where nothing waits, nor ahead of what comes first."""
    _, _, third = events(3)
    with pytest.raises(NotFound):
        skip(NEW, {}, 1, "ann", "bad", AT)
    with pytest.raises(Permanent) as refused:
        skip(NEW, {3: parked(third)}, 3, "ann", "bad", AT)
    assert (refused.value.code, refused.value.where) == ("not-next", "sequence")


def test_the_chain_covers_every_field() -> None:
    """A row of another task, type, time, id or body does not continue the chain, nor does one out of order."""
    rows = [row for event in events(1) for row in decide(NEW, {}, event, AT).audit]
    (row,) = rows
    assert extend(NEW, rows).last == 1
    for name, value in {
        "tenant": "other",
        "entity": "other",
        "sequence": 2,
        "event_id": "x",
        "type": "x",
        "task": "x",
        "time": AT + timedelta(microseconds=1),
        "body": "{}",
        "hash": "x",
    }.items():
        changed = {field: getattr(row, field) for field in row.__slots__} | {name: value}
        assert extend(NEW, [type(row)(**changed)]).last == 0, name


def test_the_chain_does_not_depend_on_a_time_zone() -> None:
    """A store may return the same instant in another zone."""
    (event,) = events(1)
    moved = event.model_copy(update={"time": AT.astimezone(timezone(timedelta(hours=2)))})
    (row,) = decide(NEW, {}, moved, AT).audit
    changed = {field: getattr(row, field) for field in row.__slots__} | {"time": AT}
    assert extend(NEW, [type(row)(**changed)]).last == 1
