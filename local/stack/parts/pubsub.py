"""Pub/Sub's emulator with the topic that carries every event to the record. It keeps everything in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

from local.stack import sockets, tools
from local.stack.part import Command, Part, Room
from local.stack.parts.spanner import PROJECT
from shared.errors import Permanent

TOPIC = f"projects/{PROJECT}/topics/records"
_SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/records"
_EMULATOR = tools.of_gcloud("pubsub-emulator", "platform/pubsub-emulator/bin/cloud-pubsub-emulator")
_ACK_SECONDS = 30
_DONE = {HTTPStatus.OK, HTTPStatus.CONFLICT}  # it may be there already


def _command(room: Room) -> Command:
    words = (str(tools.required(_EMULATOR)), "--host=127.0.0.1", f"--port={room.port}")
    return Command(words, folder=room.folder)


def _ready(room: Room) -> bool:
    return sockets.answers(room.port)


def _prepare(room: Room) -> Mapping[str, str]:
    _put(room.port, TOPIC, {})
    return {
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{room.port}",
        "AGENTFABRIC_TOPIC": TOPIC,
        "PUBSUB_INCARNATION": uuid4().hex,  # who knew the one before has to begin anew
    }


def subscribe(port: int, endpoint: str) -> None:
    """Let every event be pushed to `endpoint`, an entity's in their order."""
    wanted = {
        "topic": TOPIC,
        "pushConfig": {"pushEndpoint": endpoint},
        "enableMessageOrdering": True,
        "ackDeadlineSeconds": _ACK_SECONDS,
    }
    _put(port, _SUBSCRIPTION, wanted)


def _put(port: int, place: str, what: Mapping[str, object]) -> None:
    status, body = sockets.ask(port, "PUT", f"/v1/{place}", json.dumps(what), seconds=10)
    if status not in _DONE:
        raise Permanent(f"{place} answered {status}: {body.decode(errors='replace')[:500]}", code="not-made")


PART = Part(
    name="pubsub",
    about="Pub/Sub's emulator, with the topic `records`",
    requires=(_EMULATOR, tools.command("java", "install a Java runtime, version 11 or newer", "-version")),
    ports=("http",),
    command=_command,
    ready=_ready,
    prepare=_prepare,
)
