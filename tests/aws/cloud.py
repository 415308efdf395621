"""A deployment in an account of this process: the template's resources, wiring's own clients, and what they were asked.

Knows the services as the SDK names them. Must not know what a test expects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from aws import wiring
from tests.aws.stage import kinesis_event
from tests.contracts.amazon import REGION, make_queue, make_table

if TYPE_CHECKING:
    import pytest

    from shared.ports import Ports
    from tests.aws.formation import Grant
    from tests.aws.stage import Json

QUEUES = {  # settings, and the resources they are set to
    "INTERACTIVE_QUEUE_URL": "InteractiveLane",
    "BACKGROUND_QUEUE_URL": "BackgroundLane",
    "REVIEWS_QUEUE_URL": "ReviewsQueue",
    "RECORDS_QUEUE_URL": "RecordsQueue",
    "DEAD_LETTERS_QUEUE_URL": "DeadLetterQueue",
}
_FIFO = frozenset({"REVIEWS_QUEUE_URL", "RECORDS_QUEUE_URL"})
SECRETS = {"OPENAI_KEY": "sk-first"}
_FIXED = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "POWERTOOLS_METRICS_DISABLED": "true",
    "AGENTFABRIC_AUTH": "none",  # recorded tokens have expired
    "TENANTS": '{"local": {"max_budget": 1000000}}',
    "STREAM_NAME": "stream",
    "DOCUMENTS_BUCKET": "documents",
}


@dataclass
class Cloud:
    """A deployment in an account of this process."""

    ports: Ports
    settings: dict[str, str]
    kinesis: Any
    sqs: Any
    stepfunctions: Any
    dynamo: Any
    asked: list[tuple[str, str, Json]] = field(default_factory=list)  # service, operation, parameters

    def work(self) -> Json:
        """Return the stream's records as Lambda's batch."""
        shard = self.kinesis.list_shards(StreamName="stream")["Shards"][0]["ShardId"]
        asked = {"StreamName": "stream", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        start = self.kinesis.get_shard_iterator(**asked)["ShardIterator"]
        records = self.kinesis.get_records(ShardIterator=start)["Records"]
        return kinesis_event([(record["PartitionKey"], record["Data"]) for record in records])

    def taken(self, queue: str) -> list[str]:
        """Take everything off a queue."""
        url = self.settings[queue]
        found: list[str] = []
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += [message["Body"] for message in messages]
            for message in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def refuse(self, call: str) -> None:
        """Let a service answer every such call, of clients that are made from now on, that it is busy."""
        parsed = {"ResponseMetadata": {"HTTPStatusCode": 503}, "Error": {"Code": "ServiceUnavailable", "Message": ""}}
        busy = (AWSResponse("", 503, {}, None), parsed)
        boto3.DEFAULT_SESSION.events.register_first(f"before-call.{call}", lambda **_: busy)

    def note(self, params: Json, model: Any, **_: Any) -> None:
        """Note what a client is asked."""
        self.asked.append((model.service_model.service_name, model.name, params))

    @contextmanager
    def needed(self) -> Iterator[set[Grant]]:
        """Collect what has to be granted for what happens inside."""
        self.asked.clear()
        found: set[Grant] = set()
        yield found
        for service, operation, params in self.asked:
            found |= set(self._grants(service, operation, params))

    def _grants(self, service: str, operation: str, params: Json) -> Iterator[Grant]:
        """Yield the permissions that one call takes: those of its parts, where it has parts."""
        match service, operation:
            case "dynamodb", "TransactWriteItems":
                yield from ((f"dynamodb:{verb}Item", "Table") for item in params["TransactItems"] for verb in item)
            case "dynamodb", _:
                index = params.get("IndexName")
                yield f"dynamodb:{operation}", f"Table/index/{index}" if index else "Table"
            case "sqs", _:
                names = {url: QUEUES[name] for name, url in self.settings.items() if name in QUEUES}
                yield f"sqs:{operation.removesuffix('Batch')}", names[params["QueueUrl"]]
            case "s3", _:
                yield f"s3:{operation}", "Documents/blobs/*" if operation == "PutObject" else "Documents/*"
            case "stepfunctions", _:
                yield f"states:{operation}", "StateMachine"
            case "kinesis", _:
                yield f"kinesis:{operation}", "Stream"
            case "secretsmanager", _:
                yield f"secretsmanager:{operation}", "ProviderSecrets"
            case _:
                yield f"{service}:{operation}", "*"


@contextmanager
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Make the template's resources, as far as one process can have them, and wiring's own clients."""
    for name, value in _FIXED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AGENTFABRIC_PORTS", raising=False)
    with mock_aws():
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session())
        sqs, settings = wiring.client("sqs"), {"TABLE_NAME": make_table(wiring.client("dynamodb"))}
        wiring.client("kinesis").create_stream(StreamName="stream", ShardCount=1)
        place = {"LocationConstraint": REGION}
        wiring.client("s3").create_bucket(Bucket="documents", CreateBucketConfiguration=place)
        secrets = wiring.client("secretsmanager").create_secret(Name="providers", SecretString=json.dumps(SECRETS))
        machine = wiring.client("stepfunctions").create_state_machine(
            name="document-review",
            definition='{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
            roleArn="arn:aws:iam::123456789012:role/machine",
        )
        settings |= {"STATE_MACHINE_ARN": machine["stateMachineArn"], "PROVIDER_SECRETS": secrets["ARN"]}
        settings |= {name: make_queue(sqs, fifo=name in _FIFO) for name in QUEUES}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield from _noting(settings)


def _noting(settings: dict[str, str]) -> Iterator[Cloud]:
    for made in (wiring.amazon, wiring.handovers):
        made.cache_clear()
    clients = [wiring.client(service) for service in ("kinesis", "sqs", "stepfunctions", "dynamodb")]
    notes: list[Cloud] = []

    def note(**said: Any) -> None:
        for cloud in notes:
            cloud.note(**said)

    boto3.DEFAULT_SESSION.events.register("provide-client-params", note)
    cloud = Cloud(wiring.ports(), settings, *clients)
    notes.append(cloud)
    yield cloud
    for made in (wiring.amazon, wiring.handovers):
        made.cache_clear()
