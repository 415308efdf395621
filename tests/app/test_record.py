from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local.wiring import TENANT
from shared.app.record import MAX_KEPT, QUARANTINE, record, skip, verify
from shared.core.routes import Route
from shared.errors import NotFound, Permanent
from shared.events.catalog import encode
from tests.app.world import ENTITY, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.recording import Parked
    from shared.events.catalog import AnyEvent

OWNED = {"tenant": TENANT, "partitionkey": ENTITY, "sequence": "1"}


def told(world: World) -> list[AnyEvent]:
    """Return the first events of an entity."""
    world.submit()
    return world.published()


def parked(world: World, tenant: str = TENANT) -> Sequence[Parked]:
    """Return what waits."""
    return world.ports.records.parked(tenant)


def test_events_are_recorded_once(world: World) -> None:
    """The first delivery is applied, a repeated one is recognised, and the trail holds."""
    for event in told(world):
        assert record(world.ports, encode(event), {}) == "applied"
        assert record(world.ports, encode(event).encode(), {}) == "duplicate"
    assert verify(world.ports, TENANT, ENTITY).checked == 2


def test_an_early_event_waits_for_those_before_it(world: World) -> None:
    """A gap parks what came early; closing it applies both."""
    first, second = told(world)
    assert record(world.ports, encode(second), {}) == "parked"
    assert record(world.ports, encode(first), {}) == "applied"
    assert [row.type for row in world.ports.records.history(TENANT)] == ["task.submitted", "task.admitted"]
    assert parked(world) == []


@pytest.mark.parametrize("body", [b"\xff\xfe", b"", b"[]", b"{}", b'{"type": "task.imagined"}', b"NaN", b"[" * 100])
def test_poison_with_attributes_holds_its_entity_back(world: World, body: bytes) -> None:
    """What cannot be read is parked where its attributes say, and later events of that entity wait behind it."""
    first, second = told(world)
    assert record(world.ports, body, OWNED) == "parked"
    (poison,) = parked(world)
    assert (poison.entity, poison.sequence, poison.cause) == (ENTITY, 1, "poison")
    assert record(world.ports, encode(second), {}) == "parked"
    assert record(world.ports, encode(first), {}) == "applied"
    assert parked(world) == []


@pytest.mark.parametrize(
    "attributes",
    [{}, {"tenant": TENANT}, {**OWNED, "sequence": "one"}, {**OWNED, "sequence": "0"}, {**OWNED, "tenant": "A"}],
)
def test_poison_without_an_owner_goes_to_quarantine(world: World, attributes: dict[str, str]) -> None:
    """What names no entity is kept, holds nobody back, and twice the same is once."""
    for _ in range(2):
        assert record(world.ports, b"not an event", attributes) == "parked"
    (kept,) = parked(world, QUARANTINE)
    assert kept.body == "not an event"
    assert parked(world) == []
    assert [record(world.ports, encode(event), {}) for event in told(world)] == ["applied"] * 2


def test_different_poison_without_an_owner_is_all_kept(world: World) -> None:
    """Two messages that nobody owns do not overwrite each other."""
    for body in (b"one", b"two"):
        record(world.ports, body, {})
    assert {kept.body for kept in parked(world, QUARANTINE)} == {"one", "two"}


def test_poison_names_its_owner_itself_when_the_transport_does_not(world: World) -> None:
    """A readable envelope with an unreadable fact is parked for the entity that the envelope names."""
    broken = json.loads(encode(told(world)[0])) | {"data": {}}
    record(world.ports, json.dumps(broken), {})
    (poison,) = parked(world)
    assert (poison.entity, poison.sequence) == (ENTITY, 1)
    assert "data." in poison.reason


def test_another_tenants_event_is_not_recorded(world: World) -> None:
    """An event that comes on another tenant's behalf is poison for that one, and never applied."""
    event = told(world)[0]
    assert record(world.ports, encode(event), {**OWNED, "tenant": "acme"}) == "parked"
    assert parked(world, "acme")[0].reason == "tenant: event belongs to 'local', not to 'acme'"
    assert world.ports.records.history(TENANT) == []


def test_huge_poison_is_kept_in_part(world: World) -> None:
    """Only the beginning of an endless message is kept, and its reason says how much there was."""
    record(world.ports, b"x" * (MAX_KEPT + 1), OWNED)
    (poison,) = parked(world)
    assert len(poison.body) == MAX_KEPT
    assert f"of {MAX_KEPT + 1} characters" in poison.reason


def test_a_person_may_let_the_record_go_on(world: World) -> None:
    """Skipping poison leaves a tombstone with who, why and what, and the waiting event is applied."""
    _, second = told(world)
    record(world.ports, b"not an event", OWNED)
    record(world.ports, encode(second), {})
    assert skip(world.ports, TENANT, ENTITY, 1, by="ann", reason="unreadable") == "applied"
    assert [row.type for row in world.ports.records.history(TENANT)] == ["record.skipped", "task.admitted"]
    tombstone = json.loads(world.ports.records.history(TENANT)[0].body)["data"]
    assert (tombstone["by"], tombstone["reason"], tombstone["skipped"]) == ("ann", "unreadable", "not an event")
    assert verify(world.ports, TENANT, ENTITY).broken is None


@pytest.mark.parametrize(("by", "reason", "where"), [("", "why", "by"), ("ann", " ", "reason")])
def test_skipping_says_who_and_why(world: World, by: str, reason: str, where: str) -> None:
    """Nobody skips anonymously or without a reason."""
    record(world.ports, b"not an event", OWNED)
    with pytest.raises(Permanent) as refused:
        skip(world.ports, TENANT, ENTITY, 1, by=by, reason=reason)
    assert refused.value.where == where


def test_nothing_is_skipped_where_nothing_waits(world: World) -> None:
    """Skipping needs something that holds the entity back."""
    with pytest.raises(NotFound):
        skip(world.ports, TENANT, ENTITY, 1, by="ann", reason="why")


def test_the_bill_is_what_was_metered(world: World) -> None:
    """A task's recorded bill is its usage, row by row, and sums to what the task spent."""
    task = world.placed()
    world.worked(task)
    world.record(task)
    for message in world.messages(Route.RECORDS):
        record(world.ports, message.body, message.attributes)
    rows = world.ports.records.bill(TENANT, task=task.id)
    *used, end = rows
    assert [row.step for row in used] == ["classify", "summarise"]
    assert (end.outcome, end.line, end.cost_micro_usd) == ("closed", 2, 0)
    assert sum(row.cost_micro_usd for row in rows) == world.load(task).spent
