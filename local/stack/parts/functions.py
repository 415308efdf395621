"""Our Functions host: function_app.py behind HTTP, storage queues and the durable management API."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from local.stack import sockets, tools
from local.stack.part import Command, Part, Room
from shared.core.links import LEAST_KEY


def _command(room: Room) -> Command:
    words = (sys.executable, "-m", "local.stack.functions", str(room.port), str(room.folder))
    environment = {
        "AGENTFABRIC_PORTS": "local.stack.wiring:azure",
        "AGENTFABRIC_AUTH": "none",  # it listens on loopback only
        "EXPRESS_HOST_PREFIX": "false",
        "APPROVAL_LINK_KEYS": _key(room.folder / "links.key"),
    }
    return Command(words, environment)


def _key(file: Path) -> str:
    """Return the key that seals approval links here; made once, so that a link survives a restart."""
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
            made.write(base64.b64encode(secrets.token_bytes(LEAST_KEY)))
    return file.read_text(encoding="ascii")


def _ready(room: Room) -> bool:
    return sockets.answers(room.port, "/admin/host/status")


def _facts(room: Room) -> Mapping[str, str]:
    return {"FUNCTIONS_URL": room.address}


PART = Part(
    name="functions",
    about="Functions host: approvals over HTTP, durable reviews, the queue `reviews`",
    requires=(tools.of_ours("azure-functions-durable"), tools.of_ours("aiohttp")),
    needs=("azurite", "deploy"),
    ports=("http",),
    command=_command,
    ready=_ready,
    prepare=_facts,
)
