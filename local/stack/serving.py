"""How functions-framework serves one of gcp/main.py's functions."""

from __future__ import annotations

import sys

from local.stack import sockets, tools
from local.stack.part import ROOT, Command, Room

FRAMEWORK = tools.of_ours("functions-framework")


def serve(target: str, room: Room) -> Command:
    """Return the command that serves a function."""
    words = (sys.executable, "-m", "functions_framework", "--source", str(ROOT / "gcp" / "main.py"))
    environment = {
        "AGENTFABRIC_AUTH": "none",  # it listens on loopback only
        "GOOGLE_CLOUD_SPANNER_MULTIPLEXED_SESSIONS_FOR_RW": "false",  # half of concurrent transactions would fail
        "PYTHONUNBUFFERED": "1",
    }
    return Command((*words, "--target", target, "--host", "127.0.0.1", "--port", str(room.port)), environment)


def answers(room: Room) -> bool:
    """Tell whether the function answers, be it with a refusal."""
    return sockets.answers(room.port, "/", accept=range(200, 500))
