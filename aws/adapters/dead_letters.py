"""Dead letters on SQS: the message as it came, and why nobody could handle it."""

from __future__ import annotations

from typing import Any

from aws.adapters.verdicts import verdicts

_MOST_BYTES = 250 * 1024  # SQS takes 256 KiB, attributes included
_REASON = 1000


class SqsDeadLetters:
    """The `DeadLetters` port."""

    def __init__(self, sqs: Any, queue: str) -> None:  # noqa: ANN401  boto3 makes its clients' types at run time
        self._sqs = sqs
        self._queue = queue

    def bury(self, body: str, reason: str, origin: str) -> None:
        """Keep the message; one too large for the queue stays in its stream, where `origin` finds it."""
        kept = body if 0 < len(body.encode()) <= _MOST_BYTES else "(not kept: empty or too large; see origin)"
        attributes = {
            "reason": {"DataType": "String", "StringValue": reason[:_REASON]},
            "origin": {"DataType": "String", "StringValue": origin},
        }
        with verdicts("dead letter"):
            self._sqs.send_message(QueueUrl=self._queue, MessageBody=kept, MessageAttributes=attributes)
