"""The bridges between clouds: `python -m local.stack.bridge`. From AWS's hand-over queues to Azure's queue and Pub/Sub.

A message is deleted behind its delivery, so a crash delivers twice and loses nothing. What cannot be delivered stays,
and its entity's later messages stay behind it. May know the clouds' adapters; must not look into events further than
a bus does.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.core.routes import Route
from shared.errors import FabricError, Permanent
from shared.events.catalog import parse

if TYPE_CHECKING:
    from shared.ports import Bus

_BATCH, _WAIT_SECONDS, _HIDDEN_SECONDS = 10, 1, 30
_SECONDS_AFTER_TROUBLE = 1.0
_log = logging.getLogger(__name__)


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
        messages = told.get("Messages", [])
        done = [message for message in messages if self._arrived(message, held)]
        if done:
            entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(done)]
            self._sqs.delete_message_batch(QueueUrl=self._queue, Entries=entries)
        for message in messages:
            if message not in done:  # its group waits for it, so it should not stay hidden for long
                self._sqs.change_message_visibility(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=1
                )
        return len(done)

    def _arrived(self, message: Mapping[str, Any], held: set[str]) -> bool:
        group = message["Attributes"]["MessageGroupId"]
        if group in held:
            return False
        try:
            self._bus.publish([(self._route, parse(message["Body"], transport="sqs"))])
        except FabricError as error:
            code = error.code if isinstance(error, Permanent) else "try-later"
            _log.warning("%s: a message was not delivered: %s", self._route, code)
            held.add(group)
            return False
        return True


def _run(bridge: Bridge, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            carried = bridge.carry()
        except Exception as error:  # noqa: BLE001  the queue may be away for a while; that is no reason to end
            _log.warning("the queue does not answer: %s", type(error).__name__)
            carried = 0
            stopping.wait(_SECONDS_AFTER_TROUBLE)
        if carried:
            _log.info("%d carried over", carried)


def main() -> None:
    """Carry until stopped."""
    from aws import wiring as aws  # noqa: PLC0415  SDKs load when they are needed
    from azure.fabric import wiring as fabric  # noqa: PLC0415
    from azure.fabric.adapters.queues import StorageQueues  # noqa: PLC0415
    from gcp.adapters.pubsub import PubsubBus, publisher  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    account = os.environ["AzureWebJobsStorage"]  # noqa: SIM112  the Functions host's own name for it
    buses: dict[Route, tuple[str, Bus]] = {
        Route.REVIEWS: ("REVIEWS_QUEUE_URL", StorageQueues({Route.REVIEWS: fabric.queue(account, Route.REVIEWS)})),
        Route.RECORDS: ("RECORDS_QUEUE_URL", PubsubBus(publisher(), os.environ["AGENTFABRIC_TOPIC"])),
    }
    threads = []
    for route, (variable, bus) in buses.items():
        bridge = Bridge(aws.client("sqs"), os.environ[variable], route, bus)
        threads.append(threading.Thread(target=_run, args=(bridge, stopping), name=route.value))
        threads[-1].start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
