"""Ports on the stack, for what runs outside AWS: the home store is the local AWS, as it is in the cloud.

AGENTFABRIC_PORTS=local.stack.wiring:azure. Every variable read here is a fact of some part.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from shared.core.routes import Route

if TYPE_CHECKING:
    from shared.events.catalog import AnyEvent
    from shared.ports import Bus, Ports


_MAKING = threading.Lock()  # activities run beside each other, and the SDKs' clients are made one at a time


def azure() -> Ports:
    """Return the ports of the review functions: tasks, documents and pipelines on AWS, reviews on the queue here."""
    with _MAKING:
        return _azure()


@cache
def _azure() -> Ports:
    from aws import wiring as aws  # noqa: PLC0415  SDKs load when they are needed
    from azure.fabric import wiring as fabric  # noqa: PLC0415
    from azure.fabric.adapters.queues import StorageQueues  # noqa: PLC0415

    home = aws.amazon()
    account = os.environ["AzureWebJobsStorage"]  # noqa: SIM112  the Functions host's own name for it
    reviews = StorageQueues({Route.REVIEWS: fabric.queue(account, Route.REVIEWS.value)})
    return replace(home, bus=Routes({Route.REVIEWS: reviews}, home.bus), spans=fabric.spans())


@dataclass(frozen=True, slots=True)
class Routes:
    """The `Bus` port, route by route: what has no way of its own goes the other way."""

    own: Mapping[Route, Bus]
    other: Bus

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Hand all messages over, each its way; a failure leaves the rest for the next time."""
        for bus in {id(bus): bus for bus in (*self.own.values(), self.other)}.values():
            mine = [(route, event) for route, event in messages if self.own.get(route, self.other) is bus]
            if mine:
                bus.publish(mine)
