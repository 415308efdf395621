"""The three clouds of one fabric with nothing between them but HTTP: moto, the Functions host, the recorder.

May know every cloud's handlers and wiring. AWS is moto with our own Express behind the pipelines' port, because moto
runs no synchronous executions; Pub/Sub is a list; Spanner is SQLite. Everything between them is as deployed.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from moto import mock_aws

import aws.wiring
import azure.fabric.wiring
import gcp.wiring
from aws.handlers import dispatch, forward, ingress
from azure.fabric.adapters.web import Answer
from local.clock import RealClock
from local.clouds.aws import Express
from local.clouds.azure import Azure
from local.clouds.gcp import NO_CONTENT, deliver_record
from local.sqlite.broker import Message
from local.sqlite.database import Database
from local.wiring import embedded, using
from shared.core.routes import Route
from shared.events.catalog import parse
from tests.aws.stage import http_event, kinesis_event
from tests.azure.stage import principal
from tests.contracts.amazon import REGION, make_queue, make_table
from tests.contracts.gateway import PEER, ask_home, claims_of, loopback, token

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from shared.events.catalog import AnyEvent
    from shared.ports import Ports

Json = dict[str, Any]
ON_AWS, ON_AZURE, ON_GCP = "tests.local.bridging:on_aws", "azure.fabric.wiring:home", "local.wiring:ports"
TOPIC = "projects/p/topics/records"
_ARN = "arn:aws:sqs:eu-central-1:123456789012:"


def on_aws() -> Ports:
    """Return AWS's own ports, whose pipelines run here."""
    return replace(aws.wiring.amazon(), pipelines=Express(RealClock()))


@contextmanager
def at(ports: str) -> Iterator[None]:
    """Be one cloud inside: whichever handler asks for its ports gets that cloud's."""
    before = os.environ.get("AGENTFABRIC_PORTS", "")
    os.environ["AGENTFABRIC_PORTS"] = ports
    try:
        yield
    finally:
        os.environ["AGENTFABRIC_PORTS"] = before


@dataclass
class Clouds:
    """One fabric on three clouds, moved on by hand."""

    settings: Mapping[str, str]
    azure: Azure
    topic: list[Json]
    record: Ports
    paths: list[str] = field(default_factory=list)
    _dispatched: int = 0

    def submit(self, entity: str, text: str, taxonomy: str) -> str:
        """Submit a document through the API on AWS and return the task's id."""
        with at(ON_AWS):
            write = aws.wiring.ports().documents.write
            submission = {
                "entity": entity,
                "documents": [write(text.encode(), "text/plain", entity).model_dump(mode="json")],
                "taxonomy": write(taxonomy.encode(), "application/toml", "test.toml").model_dump(mode="json"),
            }
            told = ingress.handler(http_event("POST /tasks", changes={"body": json.dumps(submission)}), None)
        assert told["statusCode"] == 202
        return str(json.loads(told["body"])["id"])

    def settle(self) -> None:
        """Move everything on until nothing moves."""
        while any([self._dispatch(), self._forward(Route.REVIEWS), self._review(), self._forward(Route.RECORDS)]):
            pass
        self._record()

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, Json]:
        """Send a request to Azure as a reviewer."""
        with at(ON_AZURE):
            return self.azure.call(method, path, person="ann", roles=["reviewer"], body=body)

    def told(self, entity: str) -> list[AnyEvent]:
        """Return an entity's recorded events."""
        return [parse(row.body) for row in self.record.records.history("local", entity=entity)]

    def _dispatch(self) -> bool:
        """Let the stream's new records be dispatched."""
        kinesis = aws.wiring.client("kinesis")
        shard = kinesis.list_shards(StreamName="stream")["Shards"][0]["ShardId"]
        start = kinesis.get_shard_iterator(StreamName="stream", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        records = kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"][self._dispatched :]
        self._dispatched += len(records)
        if records:
            with at(ON_AWS):
                batch = kinesis_event([(record["PartitionKey"], record["Data"]) for record in records])
                assert dispatch.handler(batch, None) == {"batchItemFailures": []}
        return bool(records)

    def _forward(self, route: Route) -> bool:
        """Do what an event source mapping does, once: take a batch, have it handled, delete what was."""
        sqs, url = aws.wiring.client("sqs"), self.settings[f"{route.name}_QUEUE_URL"]
        asked = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        messages = sqs.receive_message(QueueUrl=url, **asked).get("Messages", [])
        if messages:
            with at(ON_AWS):
                told = forward.handler({"Records": [_sqs_record(url, message) for message in messages]}, None)
            assert told == {"batchItemFailures": []}
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bool(messages)

    def _review(self) -> bool:
        with at(ON_AZURE):
            return self.azure.turn()

    def _record(self) -> None:
        """Push what was published, in its order."""
        with at(ON_GCP), using(self.record):
            for number, message in enumerate(self.topic):
                body = base64.b64decode(message["data"]).decode()
                pushed = Message(number, message["orderingKey"], body, message["attributes"], 0)
                assert deliver_record(pushed)[0] == NO_CONTENT
        self.topic.clear()

    def serve_home(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer for AWS's API."""
        self.paths.append(path)
        with at(ON_AWS):
            return ask_home(method, path, headers, body)

    def serve_azure(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer for the function app: App Service authentication in front, the Functions host behind."""
        claims = claims_of(headers)
        signed_in = {"X-MS-CLIENT-PRINCIPAL": principal(claims["sub"], claims["roles"])}
        with at(ON_AZURE):
            told = self.azure.host.invoke_http(method, path, signed_in, body)
        return Answer(told.status_code, dict(told.headers), told.get_body())

    def serve_pubsub(self, method: str, path: str, _: Mapping[str, str], body: bytes) -> Answer:
        """Answer for Pub/Sub."""
        assert (method, path) == ("POST", f"/v1/{TOPIC}:publish")
        (message,) = json.loads(body)["messages"]
        self.topic.append(message)
        return Answer(200, {}, json.dumps({"messageIds": [str(len(self.topic))]}).encode())


def _sqs_record(url: str, message: Json) -> Json:
    """Return a received message as Lambda gets it: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html ."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
            for name, value in message["MessageAttributes"].items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": _ARN + url.rpartition("/")[2],
        "awsRegion": REGION,
    }


def _amazon() -> dict[str, str]:
    """Make the template's resources and return its functions' settings."""
    client = aws.wiring.client
    client("kinesis").create_stream(StreamName="stream", ShardCount=1)
    client("s3").create_bucket(Bucket="documents", CreateBucketConfiguration={"LocationConstraint": REGION})
    sqs = client("sqs")
    return {
        "TABLE_NAME": make_table(client("dynamodb")),
        "STREAM_NAME": "stream",
        "STATE_MACHINE_ARN": "arn:aws:states:eu-central-1:123456789012:stateMachine:document-review",
        "INTERACTIVE_QUEUE_URL": make_queue(sqs, fifo=False),
        "BACKGROUND_QUEUE_URL": make_queue(sqs, fifo=False),
        "REVIEWS_QUEUE_URL": make_queue(sqs, fifo=True),
        "RECORDS_QUEUE_URL": make_queue(sqs, fifo=True),
        "DEAD_LETTERS_QUEUE_URL": make_queue(sqs, fifo=False),
        "DOCUMENTS_BUCKET": "documents",
    }


_MADE_ONCE = (aws.wiring.amazon, aws.wiring.handovers, azure.fabric.wiring.home, gcp.wiring._source)
_SETTINGS = {
    "AGENTFABRIC_AUTH": "none",
    "AGENTFABRIC_PORTS": "",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "POWERTOOLS_METRICS_DISABLED": "true",
    "RECORDS_TOPIC": TOPIC,
    "TENANTS": '{"local": {}}',
}


@contextmanager
def clouds(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Clouds]:
    """Set three clouds up and connect them."""
    now = RealClock().now
    with ExitStack() as stack:
        stack.enter_context(mock_aws())
        _set(monkeypatch, _SETTINGS)
        settings = _amazon()
        databases = [Database(None), Database(None)]
        record = embedded(databases[0], Express(RealClock()), now)
        made = Clouds(settings, Azure(databases[1], now), [], record)
        for close in (*(database.close for database in databases), made.azure.close):
            stack.callback(close)
        home, reviews, pubsub = (
            stack.enter_context(loopback(serve)) for serve in (made.serve_home, made.serve_azure, made.serve_pubsub)
        )
        neighbours = {
            "HOME_URL": home,
            "HOME_TOKEN": _token(folder / "home", PEER),
            "REVIEWS_URL": f"{reviews}/api/reviews",
            "REVIEWS_TOKEN": _token(folder / "reviews", token(sub="aws", roles=["fabric"])),
            "PUBSUB_URL": pubsub,
        }
        _set(monkeypatch, {**settings, **neighbours, "AGENTFABRIC_AUTH": "none"})
        _forget(_MADE_ONCE)
        stack.callback(_forget, _MADE_ONCE)
        yield made


def _set(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def _forget(made_once: Sequence[Any]) -> None:
    for make in made_once:
        make.cache_clear()


def _token(file: Path, text: str) -> str:
    file.write_text(text)
    return file.as_uri()
