"""Where the stack's own processes send their spans, for `agentfabric trace --stack emulators`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from local.stack import sockets
from local.stack.part import Command, Part, Room


def _command(room: Room) -> Command:
    return Command((sys.executable, "-m", "local.stack.collector", str(room.port), str(room.folder)))


def _ready(room: Room) -> bool:
    return sockets.answers(room.port, "/")


def _facts(room: Room) -> Mapping[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": room.address, "TRACES_FOLDER": str(room.folder)}


PART = Part(
    name="collector",
    about="a collector of OpenTelemetry spans, OTLP over HTTP",
    ports=("http",),
    command=_command,
    ready=_ready,
    prepare=_facts,
)
