from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from aws.adapters.handover import Handover
from aws.handlers import forward
from local.wiring import using
from shared.core.routes import Route
from shared.errors import Permanent, Transient
from shared.events.catalog import AnyEvent, encode, parse
from shared.events.ids import derive
from tests.aws.stage import sample
from tests.contracts.bus_contract import events

if TYPE_CHECKING:
    from tests.aws.stage import Json, Stage

QUEUE = "agentfabric.fifo"
URL = f"https://sqs.eu-central-1.amazonaws.com/123456789012/{QUEUE}"


@dataclass
class Neighbour:
    """A bus that takes what comes, unless it has been told what to say to an event."""

    says: dict[tuple[str, int], list[Exception]] = field(default_factory=dict)
    taken: list[tuple[str, int]] = field(default_factory=list)

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Take the messages, or refuse."""
        for route, event in messages:
            assert route is Route.RECORDS
            waiting = self.says.get((event.entity, event.sequence))
            if waiting:
                raise waiting.pop(0)
            self.taken.append((event.entity, event.sequence))


@dataclass
class Sqs:
    """The queue, as far as messages are hidden in it."""

    hidden: dict[str, int] = field(default_factory=dict)
    fault: Exception | None = None

    def change_message_visibility(self, **asked: Any) -> None:
        """Hide a message."""
        if self.fault:
            raise self.fault
        assert asked["QueueUrl"] == URL
        self.hidden[asked["ReceiptHandle"]] = asked["VisibilityTimeout"]


@dataclass
class Bridge:
    """The forwarder between one queue and one neighbour."""

    stage: Stage
    neighbour: Neighbour
    sqs: Sqs

    def carry(self, *bodies: str, count: int = 1) -> list[str]:
        """Hand a batch over; return which messages come again, as `entity/sequence` or the body."""
        told = forward.handler(batch(bodies, count), None)
        return [bodies[int(failed["itemIdentifier"])] for failed in told["batchItemFailures"]]


def batch(bodies: Sequence[str], count: int = 1) -> Json:
    """Return the recorded batch with other messages."""
    (like,) = sample("sqs.json")["Records"]
    records = []
    for number, body in enumerate(bodies):
        record = copy.deepcopy(like)
        record |= {"messageId": str(number), "receiptHandle": f"receipt-{number}", "body": body}
        record["attributes"] |= {"ApproximateReceiveCount": str(count), "MessageGroupId": group_of(body)}
        records.append(record)
    return {"Records": records}


def group_of(body: str) -> str:
    """Return the group that the bus gives a message."""
    try:
        event = parse(body)
    except Permanent:
        return "group-of-poison"
    return derive(event.tenant, event.entity)


@pytest.fixture
def bridge(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Bridge:
    """A queue that leads to a neighbour."""
    made = Bridge(stage, Neighbour(), Sqs())
    way = Handover(made.sqs, URL, Route.RECORDS, made.neighbour)
    monkeypatch.setattr(forward, "handovers", lambda: {way.queue: way})
    return made


def bodies(entity: str, count: int) -> list[str]:
    """Return an entity's first messages."""
    return [encode(event) for event in events(entity, count=count)]


def test_a_batch_is_handed_over_in_order(bridge: Bridge) -> None:
    """Every message arrives, each entity's in its order, and none comes again."""
    first, second = bodies("a", 3), bodies("b", 3)
    assert bridge.carry(first[0], second[0], first[1], first[2], second[1], second[2]) == []
    for entity in "ab":
        assert [number for name, number in bridge.neighbour.taken if name == entity] == [1, 2, 3]


def test_a_message_that_must_wait_holds_its_group_alone(bridge: Bridge) -> None:
    """Behind a message that comes again its entity's later ones come again, too, and the other entities go on."""
    first, second = bodies("a", 4), bodies("b", 2)
    bridge.neighbour.says["a", 2] = [Transient("busy", retry_after=7)]
    given = [first[0], first[1], second[0], first[2], second[1], first[3]]
    assert bridge.carry(*given) == [first[1], first[2], first[3]]
    assert bridge.neighbour.taken == [("a", 1), ("b", 1), ("b", 2)]
    assert bridge.sqs.hidden == {"receipt-1": 7, "receipt-3": 7, "receipt-5": 7}
    assert bridge.carry(*first[1:], count=2) == []
    assert [number for name, number in bridge.neighbour.taken if name == "a"] == [1, 2, 3, 4]


@pytest.mark.parametrize(("delivery", "pause"), [(1, 5), (2, 10), (5, 80), (9, 900), (500, 900)])
def test_pauses_grow_with_each_delivery(bridge: Bridge, delivery: int, pause: int) -> None:
    """A neighbour that is away for long is asked ever more rarely, and at least every quarter of an hour."""
    (body,) = bodies("a", 1)
    bridge.neighbour.says["a", 1] = [Transient("away", retry_after=5)]
    assert bridge.carry(body, count=delivery) == [body]
    assert bridge.sqs.hidden == {"receipt-0": pause}


def test_what_nobody_will_take_is_buried_with_its_reason(bridge: Bridge) -> None:
    """A message refused for good is kept with its content and its reason, and its entity goes on."""
    first, second = bodies("a", 2)
    bridge.neighbour.says["a", 1] = [Permanent("no such task", code="not-found")]
    assert bridge.carry(first, second) == []
    assert bridge.stage.letters.kept == [(first, "[not-found] no such task", f"{QUEUE}/0")]
    assert bridge.neighbour.taken == [("a", 2)]


@pytest.mark.parametrize("poison", ["", "no event", "{}", '{"type": "task.teleported"}'])
def test_what_nobody_can_read_is_buried(bridge: Bridge, poison: str) -> None:
    """A message that is no event is buried as it came, and the batch goes on."""
    (good,) = bodies("a", 1)
    assert bridge.carry(poison, good) == []
    ((kept, reason, _),) = bridge.stage.letters.kept
    assert kept == poison
    assert reason.startswith("[")
    assert bridge.neighbour.taken == [("a", 1)]


def test_nothing_is_lost_when_it_cannot_be_buried(bridge: Bridge) -> None:
    """Without dead letters at hand a refused message comes again, and holds its entity."""
    first, second = bodies("a", 2)

    class Closed:
        def bury(self, body: str, reason: str, origin: str) -> None:
            raise Transient(f"{body} {reason} {origin}")

    for letters in (Closed(), None):
        bridge.neighbour.says["a", 1] = [Permanent("no")]
        with using(replace(bridge.stage.ports, dead_letters=letters)):
            assert bridge.carry(first, second) == [first, second]
    assert bridge.neighbour.taken == []


def test_a_surprise_fails_one_message(bridge: Bridge) -> None:
    """An error nobody foresaw makes one entity wait, not the batch fail."""
    bridge.neighbour.says["a", 1] = [RuntimeError("secret")]
    (first,), (second,) = bodies("a", 1), bodies("b", 1)
    assert bridge.carry(first, second) == [first]
    assert bridge.neighbour.taken == [("b", 1)]


def test_a_queue_that_leads_nowhere_keeps_its_messages(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no neighbour is named, messages stay in their queue."""
    monkeypatch.setattr(forward, "handovers", dict)
    (body,) = bodies("a", 1)
    assert bridge.carry(body) == [body]


def test_a_pause_that_cannot_be_asked_for_is_no_failure(bridge: Bridge) -> None:
    """When the queue does not hear of a pause, the message comes again when the queue thinks fit."""
    (body,) = bodies("a", 1)
    bridge.sqs.fault = Transient("the queue is busy")
    bridge.neighbour.says["a", 1] = [Transient("away")]
    assert bridge.carry(body) == [body]
