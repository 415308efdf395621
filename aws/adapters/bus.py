"""The way to every destination from AWS: a stream, a state machine, and two hand-over queues.

The queues are read by the other clouds' bridges. They are FIFO: a message group is an entity, and a message that
was sent before is recognised by its event's id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from aws.adapters.verdicts import code_of, verdicts
from shared.core.routes import Route
from shared.core.workflow import pipeline_input
from shared.errors import Transient
from shared.events.catalog import AnyEvent, encode
from shared.events.ids import derive

_STREAM_BATCH = 500
_QUEUE_BATCH = 5  # five of the largest events fit the 256 KiB of one call
_NOT_IN_XML = re.compile("[\ufffe\uffff]")  # SQS refuses the whole message for one of these


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where the routes lead: a stream's name, a state machine's ARN, two queues' URLs."""

    stream: str
    machine: str
    reviews: str
    records: str


class AmazonBus:
    """The `Bus` port."""

    def __init__(self, kinesis: Any, sqs: Any, stepfunctions: Any, to: Destinations) -> None:  # noqa: ANN401  boto3's
        self._kinesis = kinesis
        self._sqs = sqs
        self._stepfunctions = stepfunctions
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
                self._start(events)
            case Route.REVIEWS:
                self._queue(self._to.reviews, events)
            case Route.RECORDS:
                self._queue(self._to.records, events)

    def _stream(self, events: list[AnyEvent]) -> None:
        for batch in _batches(events, _STREAM_BATCH):
            records = [{"Data": encode(event, "kinesis").encode(), "PartitionKey": event.entity} for event in batch]
            with verdicts("publish work"):
                told = self._kinesis.put_records(StreamName=self._to.stream, Records=records)
            if told.get("FailedRecordCount"):
                raise Transient(f"publish work: {told['FailedRecordCount']} of {len(records)} records were not taken")

    def _start(self, events: list[AnyEvent]) -> None:
        """Start a pipeline per placed task; one that is started already is as good as started now."""
        for event in events:
            given = json.dumps(pipeline_input(event.tenant, event.taskid, 0))
            name = f"{event.taskid}.{event.data.run}"
            with verdicts("start a pipeline"):
                try:
                    self._stepfunctions.start_execution(stateMachineArn=self._to.machine, name=name, input=given)
                except ClientError as error:
                    if code_of(error) != "ExecutionAlreadyExists":
                        raise

    def _queue(self, url: str, events: list[AnyEvent]) -> None:
        for batch in _batches(events, _QUEUE_BATCH):
            entries = [_entry(position, event) for position, event in enumerate(batch)]
            with verdicts("hand over"):
                told = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
            if told.get("Failed"):
                codes = ", ".join(sorted({failed["Code"] for failed in told["Failed"]}))
                raise Transient(f"hand over: {len(told['Failed'])} of {len(entries)} messages were not taken ({codes})")


def _entry(position: int, event: AnyEvent) -> dict[str, Any]:
    """Return the message of an event, with the attributes that the recorder wants to find beside the body."""
    attributes = {
        "tenant": event.tenant,
        "partitionkey": event.entity,
        "sequence": str(event.sequence),
        "type": event.type,
    }
    body = encode(event, "sqs")
    return {
        "Id": str(position),
        "MessageBody": json.dumps(json.loads(body)) if _NOT_IN_XML.search(body) else body,
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
        # A group's name is shorter than an entity may be, and ASCII only.
        "MessageGroupId": derive(event.tenant, event.entity),
        "MessageDeduplicationId": event.id,
    }


def _batches(events: list[AnyEvent], size: int) -> Iterator[list[AnyEvent]]:
    return (events[start : start + size] for start in range(0, len(events), size))
