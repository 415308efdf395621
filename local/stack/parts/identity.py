"""An identity provider for this machine: signs tokens for whoever asks, and publishes the key to check them with."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from local.stack import sockets, tools
from local.stack.part import Command, Part, Room


def _command(room: Room) -> Command:
    words = (sys.executable, "-m", "local.stack.identity", str(room.port), str(room.folder / "key.pem"))
    return Command(words)


def _ready(room: Room) -> bool:
    return sockets.answers(room.port, "/.well-known/openid-configuration")


def _facts(room: Room) -> Mapping[str, str]:
    return {"ISSUER_URL": room.address}


PART = Part(
    name="identity",
    about="signs and vouches for tokens (loopback only)",
    requires=(tools.of_ours("cryptography"),),
    ports=("http",),
    command=_command,
    ready=_ready,
    prepare=_facts,
)
