"""The way to every destination from AWS: a stream, two lanes to the pipelines, and two hand-over queues.

Lanes have no order: a task is one message in one of them. The hand-over queues are read by the other clouds'
bridges. They are FIFO: a message group is an entity, and a message that was sent before is recognised by its
event's id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aws.adapters.verdicts import verdicts
from shared.core.routes import Lane, Route, lane
from shared.errors import Transient
from shared.events.catalog import AnyEvent, encode
from shared.events.ids import derive

_T = TypeVar("_T")

_STREAM_BATCH = 500
_QUEUE_BATCH = 5  # five of the largest events fit the 256 KiB of one call
_NOT_IN_XML = re.compile("[\ufffe\uffff]")  # SQS refuses the whole message for one of these


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where the routes lead: a stream's name, the URLs of a queue per lane and of the two hand-over queues."""

    stream: str
    lanes: Mapping[Lane, str]
    reviews: str
    records: str


class AmazonBus:
    """The `Bus` port."""

    def __init__(self, kinesis: Any, sqs: Any, to: Destinations) -> None:  # noqa: ANN401  boto3 makes its types
        self._kinesis = kinesis
        self._sqs = sqs
        self._to = to

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Hand all messages over, route by route; Transient when any of them may not have arrived."""
        for route in Route:
            events = [event for where, event in messages if where is route]
            if events:
                self._send(route, events)

    def _send(self, route: Route, events: list[AnyEvent]) -> None:
        match route:
            case Route.WORK:
                self._stream(events)
            case Route.PIPELINE:
                self._line_up(events)
            case Route.REVIEWS:
                self._queue(self._to.reviews, [_message(event) | _place(event) for event in events])
            case Route.RECORDS:
                self._queue(self._to.records, [_message(event) | _place(event) for event in events])

    def _stream(self, events: list[AnyEvent]) -> None:
        for batch in _batches(events, _STREAM_BATCH):
            records = [{"Data": encode(event, "kinesis").encode(), "PartitionKey": event.entity} for event in batch]
            with verdicts("publish work"):
                told = self._kinesis.put_records(StreamName=self._to.stream, Records=records)
            if told.get("FailedRecordCount"):
                raise Transient(f"publish work: {told['FailedRecordCount']} of {len(records)} records were not taken")

    def _line_up(self, events: list[AnyEvent]) -> None:
        """Put placed tasks into the lanes of their priorities."""
        for where, url in self._to.lanes.items():
            self._queue(url, [_message(event) for event in events if lane(event.data.priority) is where])

    def _queue(self, url: str, messages: list[dict[str, Any]]) -> None:
        for batch in _batches(messages, _QUEUE_BATCH):
            entries = [{"Id": str(position), **message} for position, message in enumerate(batch)]
            with verdicts("queue"):
                told = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
            if told.get("Failed"):
                codes = ", ".join(sorted({failed["Code"] for failed in told["Failed"]}))
                raise Transient(f"queue: {len(told['Failed'])} of {len(entries)} messages were not taken ({codes})")


def _message(event: AnyEvent) -> dict[str, Any]:
    """Return the message of an event, with the attributes that the recorder wants to find beside the body."""
    attributes = {
        "tenant": event.tenant,
        "partitionkey": event.entity,
        "sequence": str(event.sequence),
        "type": event.type,
    }
    body = encode(event, "sqs")
    return {
        "MessageBody": json.dumps(json.loads(body)) if _NOT_IN_XML.search(body) else body,
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    }


def _place(event: AnyEvent) -> dict[str, str]:
    """Return where a message stands in a FIFO queue; a group's name is ASCII and shorter than an entity may be."""
    return {"MessageGroupId": derive(event.tenant, event.entity), "MessageDeduplicationId": event.id}


def _batches(items: list[_T], size: int) -> Iterator[list[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
