"""The bus on Storage Queues: one queue per route, named like it.

The review functions read `reviews` themselves; the neighbours' bridges read the others. Storage Queues keep no
order, so who needs it goes by the events' own numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.fabric.adapters.verdicts import verdicts
from shared.events.catalog import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure.storage.queue import QueueClient

    from shared.core.routes import Route
    from shared.events.catalog import AnyEvent


class StorageQueues:
    """The `Bus` port. The clients encode messages as base64, which is what the Functions host decodes."""

    def __init__(self, queues: Mapping[Route, QueueClient]) -> None:
        self._queues = queues

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Hand all messages over, one after the other; Transient when any of them may not have arrived."""
        for route, event in messages:
            with verdicts(f"the queue {route.value}"):
                self._queues[route].send_message(encode(event, "storage-queue"), time_to_live=-1)
