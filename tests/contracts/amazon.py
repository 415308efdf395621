"""AWS in this process (moto): one account for a module's tests, fresh resources for each of them.

Knows the resources that template.yaml declares, as far as adapters see them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

REGION = "eu-central-1"
_NUMBERS = count(1)

Json = dict[str, Any]


def client(service: str, **settings: Any) -> Any:
    """Return a client that asks once, so that no test waits for a retry."""
    once = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=1)
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": REGION}
    return boto3.client(service, config=once, **keys, **settings)


def fresh(kind: str) -> str:
    """Return a name that no other test has."""
    return f"{kind}-{next(_NUMBERS)}"


def make_table(dynamo: Any) -> str:
    """Create the table of control state."""
    name = fresh("table")
    keys = ("pk", "sk", "unsent", "since")
    dynamo.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=_schema("pk", "sk"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "unsent",
                "KeySchema": _schema("unsent", "since"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    return name


def _schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def make_queue(sqs: Any, *, fifo: bool) -> str:
    """Create a queue and return its address."""
    name = fresh("queue")
    if not fifo:
        return str(sqs.create_queue(QueueName=name)["QueueUrl"])
    return str(sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"])


@contextmanager
def answering(client: Any, parsed: Json, status: int = 200) -> Iterator[None]:
    """Let a service answer every call inside with this, as the SDK would have read it off the wire."""
    response = AWSResponse("", status, {}, None)

    def answer(**_: Any) -> tuple[AWSResponse, Json]:
        return response, {"ResponseMetadata": {"HTTPStatusCode": status}, **parsed}

    event = f"before-call.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register_first(event, answer)
    try:
        yield
    finally:
        client.meta.events.unregister(event, answer)


@contextmanager
def refusing(client: Any, code: str, status: int = 400, **more: Any) -> Iterator[None]:
    """Let a service refuse every call inside."""
    with answering(client, {"Error": {"Code": code, "Message": "secret"}, **more}, status):
        yield


class OneAtATime:
    """A client whose calls wait for one another: moto's transactions, which are copies of the whole table, do not.

    What a replica does between its calls is as interleaved as ever.
    """

    def __init__(self, dynamo: Any) -> None:
        self._dynamo = dynamo
        self._alone = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._dynamo, name)

        def alone(**asked: Any) -> Any:
            with self._alone:
                return operation(**asked)

        return alone
