"""Records queue_message.json: the canonical event, sent with our adapter, as the queue service hands it out.

Run at the root, with Azurite installed: python -m tests.samples.azure.record
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from azure.storage.queue import QueueClient

from azure.fabric import names, wiring
from azure.fabric.adapters.queues import StorageQueues
from shared.core.routes import Route
from shared.events.catalog import parse
from tests.azure import azurite

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def main() -> None:
    """Send the sample event through a real queue and write down how it comes out."""
    command = azurite.found(ROOT)
    if command is None:
        raise SystemExit("azurite is not installed")
    event = parse((HERE.parent / "event.json").read_bytes())
    with TemporaryDirectory() as folder, azurite.running(command, Path(folder)) as account:
        queue = wiring.queue(account, names.REVIEWS_QUEUE)
        queue.create_queue()
        StorageQueues({Route.REVIEWS: queue}).publish([(Route.REVIEWS, event)])
        raw = QueueClient.from_connection_string(account, names.REVIEWS_QUEUE)
        (message,) = raw.receive_messages()
    recorded = {
        "MessageId": message.id,
        "InsertionTime": str(message.inserted_on),
        "ExpirationTime": str(message.expires_on),
        "PopReceipt": message.pop_receipt,
        "TimeNextVisible": str(message.next_visible_on),
        "DequeueCount": message.dequeue_count,
        "MessageText": message.content,
    }
    (HERE / "queue_message.json").write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
