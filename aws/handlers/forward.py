"""The forwarder: hand-over queues in, the other clouds' doors out; an entity's events in their order.

A queue's message group is an entity. What cannot be handed over now holds its group until it can; what never can
goes to the dead letters with its reason, and its group goes on. Others' groups wait for neither.
"""

from __future__ import annotations

import math

from aws.adapters.telemetry import count, note
from aws.verdicts import buried, unforeseen
from aws.wire import Json, failures, sqs_body
from aws.wiring import handovers, ports
from shared.errors import Permanent, Transient
from shared.events.catalog import parse

LONGEST_PAUSE = 900
_UNFORESEEN_PAUSE = 5.0
_MOST_DOUBLINGS = 12


def carry(event: Json, _context: object = None) -> Json:
    """Hand a batch over in order; answer with the messages that have to come again.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html: of a FIFO queue's batch, everything
    behind a failed message of the same group has to be among them.
    """
    held: dict[str, int] = {}
    again: list[str] = []
    for record in event["Records"]:
        group = record["attributes"]["MessageGroupId"]
        if group not in held:
            pause = _carried(record)
            if pause is None:
                continue
            held[group] = pause
        _postpone(record, held[group])
        again.append(record["messageId"])
    return failures(again)


def _carried(record: Json) -> int | None:
    """Hand one message over; return after how many seconds it has to come again, None when it is done with."""
    message = record["messageId"]
    try:
        way = handovers().get(_queue(record))
        if way is None:
            raise Transient(f"nobody was named to hand {_queue(record)} over to")  # noqa: TRY301  caught as any other
        way.hand_over(parse(sqs_body(record), transport="sqs"))
    except Transient as passing:
        count("HandoversDelayed")
        note("hand-over delayed", sequence=message)
        return _pause(record, passing.retry_after)
    except Permanent as poison:
        count("HandoversRefused")
        note("hand-over refused", severe=True, code=poison.code, sequence=message)
        kept = buried(ports(), record["body"], poison, f"{_queue(record)}/{message}")
        return None if kept else _pause(record, _UNFORESEEN_PAUSE)
    except Exception as error:  # noqa: BLE001  one bad message must not fail its batch
        unforeseen(error)
        return _pause(record, _UNFORESEEN_PAUSE)
    count("HandoversDone")
    return None


def _pause(record: Json, asked: float) -> int:
    """Return a pause that doubles with each delivery: a neighbour that is away for a day uses up no attempts."""
    earlier = int(record["attributes"]["ApproximateReceiveCount"]) - 1
    return min(LONGEST_PAUSE, math.ceil(max(asked, 1.0) * (1 << min(earlier, _MOST_DOUBLINGS))))


def _postpone(record: Json, seconds: int) -> None:
    """Let the message come after the pause; when that cannot be said, it comes when the queue thinks fit."""
    way = handovers().get(_queue(record))
    try:
        if way is not None:
            way.postpone(record["receiptHandle"], seconds)
    except (Transient, Permanent):
        note("hand-over not postponed", sequence=record["messageId"])


def _queue(record: Json) -> str:
    arn: str = record["eventSourceARN"]
    return arn.rpartition(":")[2]


handler = carry
