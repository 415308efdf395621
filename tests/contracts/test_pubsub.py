from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.api_core.exceptions import NotFound
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException

from gcp.adapters.pubsub import PubsubBus, publisher
from shared.core.routes import Route
from shared.errors import Permanent, Transient
from shared.events.catalog import parse
from tests.contracts.bus_contract import BusContract, events
from tests.gcp.emulators import environment, pubsub_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = b"no more"


@pytest.fixture(scope="module", autouse=True)
def emulator() -> Iterator[None]:
    """Run the real emulator for all tests of this file; each makes its own topic in it."""
    with pubsub_settings() as settings, environment(settings):
        yield


class PubsubWires:
    """A topic, and a subscription from which is pulled in order."""

    def __init__(self, subscriber: SubscriberClient) -> None:
        name = f"records-{uuid4().hex[:8]}"
        self._subscriber = subscriber
        self.client = publisher()
        self.topic = self.client.topic_path("local", name)
        self._subscription = subscriber.subscription_path("local", name)
        self.bus = PubsubBus(self.client, self.topic)
        self._open()

    def _open(self) -> None:
        self.client.create_topic(name=self.topic)
        made = {"name": self._subscription, "topic": self.topic, "enable_message_ordering": True}
        self._subscriber.create_subscription(request=made)

    def received(self, route: Route) -> list[str]:
        """Return what arrived, which is all when nothing comes between two marks."""
        assert route is Route.RECORDS
        found: list[str] = []
        while more := self._pulled_to_the_mark():
            found += more
        return found

    def _pulled_to_the_mark(self) -> list[str]:
        self.client.publish(self.topic, MARK).result(timeout=10)
        found: list[bytes] = []
        while MARK not in found:
            pulled = self._subscriber.pull(subscription=self._subscription, max_messages=1000).received_messages
            taken = [one.ack_id for one in pulled]
            self._subscriber.acknowledge(subscription=self._subscription, ack_ids=taken)
            found += [one.message.data for one in pulled]
        return [body.decode() for body in found if body != MARK]

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Take the topic away, as before somebody has set it up."""
        self._subscriber.delete_subscription(subscription=self._subscription)
        self.client.delete_topic(topic=self.topic)
        yield
        self._open()


class TestPubsubBus(BusContract):
    carried = (Route.RECORDS,)

    @pytest.fixture(params=carried)
    def route(self, request: pytest.FixtureRequest) -> Route:
        """The one route it carries."""
        found: Route = request.param
        return found

    @pytest.fixture
    def wires(self) -> Iterator[PubsubWires]:
        """A topic of its own."""
        with SubscriberClient() as subscriber:
            yield PubsubWires(subscriber)

    def test_a_paused_ordering_key_is_resumed(self, wires: PubsubWires) -> None:
        """A key that the SDK paused after a failure fails once more, holds nobody else back, and then goes on."""
        held, free = events("package-a"), events("package-b")
        with wires.cut(), pytest.raises(NotFound):
            self.publish_raw(wires)
        with pytest.raises(PublishToPausedOrderingKeyException):
            self.publish_raw(wires)
        with pytest.raises(Transient, match=r"PausedOrderingKey.* for 1 entities"):
            wires.bus.publish([(Route.RECORDS, event) for event in (*held, *free)])
        assert [parse(body) for body in wires.received(Route.RECORDS)] == free
        wires.bus.publish([(Route.RECORDS, event) for event in held])
        assert [parse(body) for body in wires.received(Route.RECORDS)] == held

    @staticmethod
    def publish_raw(wires: PubsubWires) -> None:
        """Publish with nothing but the SDK, once."""
        wires.client.publish(wires.topic, b"{}", ordering_key="package-a", retry=None).result(timeout=10)

    def test_no_event_of_an_entity_passes_one_that_failed(self, wires: PubsubWires) -> None:
        """When an entity's first event is not taken, none of those after it is: all are published again, in order."""
        said = events(count=6)
        with wires.cut(), pytest.raises(Transient, match="NotFound"):
            wires.bus.publish([(Route.RECORDS, event) for event in said])
        wires.bus.publish([(Route.RECORDS, event) for event in said])
        assert [parse(body) for body in wires.received(Route.RECORDS)] == said

    @pytest.mark.parametrize("route", [Route.WORK, Route.REVIEWS])
    def test_another_route_is_refused(self, wires: PubsubWires, route: Route) -> None:
        """Pub/Sub carries events to the record and nowhere else; a hand-over that names another publishes nothing."""
        first, second = events()
        with pytest.raises(Permanent, match=f"goes to {route}"):
            wires.bus.publish([(Route.RECORDS, first), (route, second)])
        assert wires.received(Route.RECORDS) == []
