"""Who needs to hear of an event: the routes a bus publishes it on."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.events.catalog import AnyEvent
    from shared.events.task import Priority


class Route(StrEnum):
    """A destination every deployment has.

    WORK: AWS Kinesis, to be dispatched. PIPELINE: AWS SQS, a lane to Step Functions, to be run. REVIEWS: Azure
    queue, to be started, signalled or stopped. RECORDS: GCP Pub/Sub, to be written down.
    """

    WORK = "work"
    PIPELINE = "pipeline"
    REVIEWS = "reviews"
    RECORDS = "records"


class Lane(StrEnum):
    """What waits on the route PIPELINE, waits in one of two lanes: a person waits for it, or nobody does."""

    INTERACTIVE = "interactive"
    BACKGROUND = "background"


_ALSO: dict[str, Route] = {
    "task.admitted": Route.WORK,
    "task.resumed": Route.WORK,
}


def routes(event: AnyEvent) -> tuple[Route, ...]:
    """Return the event's routes; every event is recorded."""
    if event.type == "task.placed":
        return (Route.PIPELINE if event.data.cloud == "aws" else Route.REVIEWS, Route.RECORDS)
    if event.type == "task.cancelled" and event.data.placed_on == "azure":
        return (Route.REVIEWS, Route.RECORDS)
    if event.type == "approval.decided" and event.data.about == "document":
        return (Route.REVIEWS, Route.RECORDS)
    also = _ALSO.get(event.type)
    return (Route.RECORDS,) if also is None else (also, Route.RECORDS)


def lane(priority: Priority) -> Lane:
    """Return the lane of a priority: only who asks for it is in the fast one."""
    return Lane.INTERACTIVE if priority == "interactive" else Lane.BACKGROUND
