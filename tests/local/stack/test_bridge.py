from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from local.stack.bridge import Bridge, Remembering
from local.stack.carried import Carried
from shared.core.routes import Route
from shared.errors import Transient
from shared.events.catalog import AnyEvent, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Queue:
    """A hand-over queue in memory, in the words of SQS."""

    def __init__(self, *messages: tuple[str, str]) -> None:
        self.messages = {f"receipt-{n}": (group, body) for n, (group, body) in enumerate(messages)}
        self.hidden: dict[str, int] = {}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        """Return everything."""
        return {
            "Messages": [
                {"ReceiptHandle": handle, "Body": body, "Attributes": {"MessageGroupId": group}}
                for handle, (group, body) in self.messages.items()
            ]
        }

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: ARG002, N803  SQS's names
        """Delete a message."""
        del self.messages[ReceiptHandle]

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: ARG002, N803  SQS's names
        """Note for how long a message stays hidden."""
        self.hidden[ReceiptHandle] = VisibilityTimeout


class Bus:
    """A bus that keeps what it is given, and refuses what it is told to refuse."""

    def __init__(self, *refused: int) -> None:
        self.refused = refused
        self.got: list[int] = []

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Keep the numbers of the events."""
        for _, event in messages:
            if event.sequence in self.refused:
                raise Transient("not now")
            self.got.append(event.sequence)


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    """Return a memory in a file."""
    with closing(Carried(tmp_path / "carried.db")) as opened:
        yield opened


@pytest.fixture
def bodies(root: Path) -> list[str]:
    """Return five events, numbered from 1."""
    sample = json.loads((root / "tests" / "samples" / "event.json").read_text())
    return [json.dumps(sample | {"sequence": number}) for number in range(1, 6)]


def test_what_arrived_is_deleted(bodies: list[str]) -> None:
    """A message is delivered in order and deleted behind its delivery."""
    queue, bus = Queue(("a", bodies[0]), ("a", bodies[1])), Bus()
    assert Bridge(queue, "url", Route.RECORDS, bus).carry() == 2
    assert (bus.got, queue.messages) == ([1, 2], {})


def test_a_group_waits_for_what_cannot_be_delivered(bodies: list[str]) -> None:
    """A message that cannot be delivered holds its group back, and the other groups go on."""
    queue, bus = Queue(("a", bodies[0]), ("a", bodies[1]), ("b", bodies[2])), Bus(1)
    assert Bridge(queue, "url", Route.RECORDS, bus).carry() == 1
    assert bus.got == [3]
    assert queue.messages.keys() == queue.hidden.keys() == {"receipt-0", "receipt-1"}


def test_a_message_nobody_can_read_stays(bodies: list[str]) -> None:
    """What is no event is left to the queue's own dead letters."""
    queue, bus = Queue(("a", "nonsense"), ("b", bodies[0])), Bus()
    assert Bridge(queue, "url", Route.RECORDS, bus).carry() == 1
    assert queue.messages.keys() == {"receipt-0"}


def publish(bus: Remembering, *bodies: str) -> None:
    """Publish events."""
    bus.publish([(Route.RECORDS, parse(body)) for body in bodies])


def test_receivers_that_forgot_are_sent_everything_again(carried: Carried, bodies: list[str]) -> None:
    """New receivers get all earlier events once and in order, and those that had them get none again."""
    first, second = Bus(), Bus()
    remembering = Remembering(first, carried, "one")
    remembering.catch_up()
    publish(remembering, *bodies)
    Remembering(first, carried, "one").catch_up()
    assert first.got == [1, 2, 3, 4, 5]
    for _ in range(2):
        Remembering(second, carried, "two").catch_up()
    assert second.got == [1, 2, 3, 4, 5]


def test_catching_up_is_tried_again_until_it_is_done(carried: Carried, bodies: list[str]) -> None:
    """When catching up fails half-way, the next try sends everything again."""
    publish(Remembering(Bus(), carried, "one"), *bodies)
    bus = Bus(4)
    with pytest.raises(Transient):
        Remembering(bus, carried, "two").catch_up()
    bus.refused = ()
    Remembering(bus, carried, "two").catch_up()
    assert bus.got == [1, 2, 3, 1, 2, 3, 4, 5]


def test_what_was_not_sent_is_remembered_all_the_same(carried: Carried, bodies: list[str]) -> None:
    """An event is noted before it is sent, so that a crash in between cannot lose it."""
    with pytest.raises(Transient):
        publish(Remembering(Bus(1), carried, "one"), bodies[0])
    bus = Bus()
    Remembering(bus, carried, "two").catch_up()
    assert bus.got == [1]


def test_what_is_tried_often_is_noted_once(carried: Carried, bodies: list[str]) -> None:
    """An event that has to be sent many times is remembered once, at its first place."""
    bus = Bus(1)
    remembering = Remembering(bus, carried, "one")
    for _ in range(3):
        with pytest.raises(Transient):
            publish(remembering, bodies[0])
    bus.refused = ()
    publish(remembering, *bodies)
    assert [len(page) for page in carried.pages()] == [5]
    fresh = Bus()
    Remembering(fresh, carried, "two").catch_up()
    assert fresh.got == [1, 2, 3, 4, 5]
