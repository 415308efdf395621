"""The bridges from AWS's hand-over queues to Azure's queue and to Pub/Sub: `python -m local.stack.bridge FOLDER`.

A message is deleted behind its delivery, so a crash delivers twice and loses nothing. What cannot be delivered stays,
and its entity's later messages stay behind it. May know the clouds' adapters; must not look into events further than
a bus does.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.stack.carried import Carried
from shared.core.routes import Route
from shared.errors import FabricError, Permanent
from shared.events.catalog import encode, parse

if TYPE_CHECKING:
    from shared.events.catalog import AnyEvent
    from shared.ports import Bus

_BATCH, _WAIT_SECONDS, _HIDDEN_SECONDS = 10, 1, 30
_SECONDS_AFTER_TROUBLE = 1.0
_log = logging.getLogger(__name__)

Message = Mapping[str, Any]


class Bridge:
    """Carries one queue's messages over to a bus."""

    def __init__(self, sqs: Any, queue: str, route: Route, bus: Bus) -> None:  # noqa: ANN401  boto3 makes its types
        self._sqs = sqs
        self._queue = queue
        self._route = route
        self._bus = bus

    def carry(self) -> int:
        """Carry a batch over; return how many messages arrived."""
        asked = {"MaxNumberOfMessages": _BATCH, "WaitTimeSeconds": _WAIT_SECONDS, "VisibilityTimeout": _HIDDEN_SECONDS}
        told = self._sqs.receive_message(QueueUrl=self._queue, AttributeNames=["MessageGroupId"], **asked)
        held: set[str] = set()
        arrived = 0
        for message in told.get("Messages", []):
            arrived += self._carry_one(message, held)
        return arrived

    def _carry_one(self, message: Message, held: set[str]) -> bool:
        """Deliver a message and delete it; False leaves it, with what comes behind it in its group."""
        group, handle = message["Attributes"]["MessageGroupId"], message["ReceiptHandle"]
        if group not in held and self._arrived(message):
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=handle)
            return True
        held.add(group)
        self._sqs.change_message_visibility(QueueUrl=self._queue, ReceiptHandle=handle, VisibilityTimeout=1)
        return False

    def _arrived(self, message: Message) -> bool:
        try:
            self._bus.publish([(self._route, parse(message["Body"], transport="sqs"))])
        except FabricError as error:
            code = error.code if isinstance(error, Permanent) else "try-later"
            _log.warning("a message was not delivered: %s", code)
            return False
        return True


class Remembering:
    """The `Bus` port: notes what goes to `bus`, and sends all of it again to receivers that forgot."""

    def __init__(self, bus: Bus, carried: Carried, incarnation: str) -> None:
        self._bus = bus
        self._carried = carried
        self._incarnation = incarnation

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Note the messages and hand them over."""
        self._carried.add([encode(event) for _, event in messages])
        self._bus.publish(messages)

    def catch_up(self) -> None:
        """Send everything again to receivers that have not had it, before anything new."""
        if self._carried.is_for(self._incarnation):
            return
        for page in self._carried.pages():
            self._bus.publish([(Route.RECORDS, parse(body)) for body in page])
        self._carried.sent_to(self._incarnation)


def _run(bridge: Bridge, stopping: threading.Event, first: Callable[[], None]) -> None:
    """Do what comes first until it succeeds, then carry; trouble is no reason to end."""
    ready = False
    while not stopping.is_set():
        try:
            if not ready:
                first()
                ready = True
            if carried := bridge.carry():
                _log.info("%d carried over", carried)
        except Exception as error:  # noqa: BLE001  a queue may be away for a while, and come back
            _log.warning("no way over: %s", type(error).__name__)
            stopping.wait(_SECONDS_AFTER_TROUBLE)


def main() -> None:
    """Carry until stopped."""
    from aws import wiring as aws  # noqa: PLC0415  SDKs load when they are needed
    from azure.fabric import wiring as fabric  # noqa: PLC0415
    from azure.fabric.adapters.queues import StorageQueues  # noqa: PLC0415
    from gcp.adapters.pubsub import PubsubBus, publisher  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    for chatty in ("azure", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    account = os.environ["AzureWebJobsStorage"]  # noqa: SIM112  the Functions host's own name for it
    reviews = StorageQueues({Route.REVIEWS: fabric.queue(account, Route.REVIEWS.value)})
    topic = PubsubBus(publisher(), os.environ["AGENTFABRIC_TOPIC"])
    incarnation = os.environ["PUBSUB_INCARNATION"] + os.environ["SPANNER_INCARNATION"]
    with closing(Carried(Path(sys.argv[1]) / "carried.db")) as carried:
        records = Remembering(topic, carried, incarnation)
        ways: dict[Route, tuple[str, Bus, Callable[[], None]]] = {
            Route.REVIEWS: ("REVIEWS_QUEUE_URL", reviews, lambda: None),
            Route.RECORDS: ("RECORDS_QUEUE_URL", records, records.catch_up),
        }
        threads = []
        for route, (queue, bus, first) in ways.items():
            bridge = Bridge(aws.client("sqs"), os.environ[queue], route, bus)
            threads.append(threading.Thread(target=_run, args=(bridge, stopping, first), name=route.value))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
