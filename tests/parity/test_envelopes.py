"""One event, as each cloud's transport was seen to deliver it; the samples are recorded, see their record.py."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azure.functions as func
import pytest

from aws import wire as aws
from azure.fabric import wire as azure
from gcp import wire as gcp
from gcp.adapters.pubsub import attributes
from shared.events.catalog import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.events.catalog import AnyEvent

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def recorded(path: Path) -> dict[str, Any]:
    """Return a recorded envelope."""
    envelope: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return envelope


def kinesis(path: Path) -> Iterator[AnyEvent]:
    """Unwrap a Kinesis batch as the dispatcher does."""
    return (parse(aws.kinesis_body(record), transport="kinesis") for record in recorded(path)["Records"])


def sqs(path: Path) -> Iterator[AnyEvent]:
    """Unwrap an SQS batch as the dead letters' reader does."""
    return (parse(aws.sqs_body(record), transport="sqs") for record in recorded(path)["Records"])


def storage_queue(path: Path) -> Iterator[AnyEvent]:
    """Unwrap a queue message as the review's starter does; the Functions host takes the base64 off."""
    message = func.QueueMessage(body=base64.b64decode(recorded(path)["MessageText"], validate=True))
    yield azure.event_of(message.get_body())


def pubsub(path: Path) -> Iterator[AnyEvent]:
    """Unwrap a push as the recorder does."""
    yield parse(gcp.unwrap(path.read_bytes()).data, transport="pubsub")


TRANSPORTS = {
    "aws/kinesis*.json": kinesis,
    "aws/sqs*.json": sqs,
    "azure/queue*.json": storage_queue,
    "gcp/push*.json": pubsub,
}


@pytest.fixture
def said() -> AnyEvent:
    """Return the event that all samples carry."""
    return parse((SAMPLES / "event.json").read_bytes())


@pytest.mark.parametrize("pattern", TRANSPORTS)
def test_every_cloud_delivers_the_same_event(pattern: str, said: AnyEvent) -> None:
    """Every recorded envelope of every cloud unwraps to the one event that was sent."""
    samples = sorted(SAMPLES.glob(pattern))
    assert samples, f"nothing was recorded for {pattern}"
    for sample in samples:
        events = list(TRANSPORTS[pattern](sample))
        assert events == [said] * max(1, len(events)), sample.name


def test_attributes_name_the_owner(said: AnyEvent) -> None:
    """The attributes beside a pushed body name the same owner as the event inside."""
    message = gcp.unwrap((SAMPLES / "gcp" / "push.json").read_bytes())
    assert message.attributes == attributes(said)


def test_the_laptop_pushes_what_pubsub_pushes(said: AnyEvent) -> None:
    """The embedded broker gives its messages the attributes that the Pub/Sub adapter gives them."""
    from local.sqlite.broker import _attributes  # noqa: PLC0415  the engine, for this test alone

    assert json.loads(_attributes(said)) == attributes(said)
