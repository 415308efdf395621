"""Model providers: Bedrock, Azure OpenAI, OpenAI-compatible and Gemini endpoints, which misbehave on demand."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from local.stack import sockets, tools
from local.stack.part import Command, Part, Room


def _command(room: Room) -> Command:
    kept = str(room.folder / "scenario.json")
    return Command((sys.executable, "-m", "local.model_server", str(room.port), "--keep", kept))


def _ready(room: Room) -> bool:
    return sockets.answers(room.port, "/_models/health")


def _facts(room: Room) -> Mapping[str, str]:
    return {"MODELS_URL": room.address}


PART = Part(
    name="models",
    about="model providers' APIs: Bedrock, Azure OpenAI, OpenAI-compatible, Gemini; a scenario sets their faults",
    requires=(tools.of_ours("aiohttp"),),
    ports=("http",),
    command=_command,
    ready=_ready,
    prepare=_facts,
)
