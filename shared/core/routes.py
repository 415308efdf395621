"""Who needs to hear of an event: the routes a bus publishes it on."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.events.catalog import AnyEvent


class Route(StrEnum):
    """A destination every deployment has.

    WORK: AWS Kinesis, to be dispatched. PIPELINE: AWS Step Functions, to be run. REVIEWS: Azure queue, to be
    started, signalled or stopped. RECORDS: GCP Pub/Sub, to be written down.
    """

    WORK = "work"
    PIPELINE = "pipeline"
    REVIEWS = "reviews"
    RECORDS = "records"


_ALSO: dict[str, Route] = {
    "task.admitted": Route.WORK,
    "approval.decided": Route.REVIEWS,
}


def routes(event: AnyEvent) -> tuple[Route, ...]:
    """Return the event's routes; every event is recorded."""
    if event.type == "task.placed":
        return (Route.PIPELINE if event.data.cloud == "aws" else Route.REVIEWS, Route.RECORDS)
    if event.type == "task.cancelled" and event.data.placed_on == "azure":
        return (Route.REVIEWS, Route.RECORDS)
    also = _ALSO.get(event.type)
    return (Route.RECORDS,) if also is None else (also, Route.RECORDS)
