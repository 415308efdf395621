"""Our Functions host with an app of the tests, as a part of a stack."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from local.stack import sockets
from local.stack.part import Command, Part, Room

_APPS = Path(__file__).parent / "apps"
HOST_JSON = {
    "version": "2.0",
    "extensions": {
        "queues": {"maxDequeueCount": 3, "visibilityTimeout": "00:00:00", "maxPollingInterval": "00:00:00.2"}
    },
}


def functions(app: str, needs: tuple[str, ...] = ()) -> Part:
    """Return a part that serves an app out of a folder of its own."""

    def command(room: Room) -> Command:
        (room.folder / "host.json").write_text(json.dumps(HOST_JSON))
        shutil.copy(_APPS / f"{app}.py", room.folder)
        words = (sys.executable, "-m", "local.stack.functions", str(room.port), str(room.folder), app)
        return Command(words, folder=room.folder)

    return Part(
        "functions",
        "an app of the tests",
        needs=needs,
        ports=("http",),
        command=command,
        ready=lambda room: sockets.answers(room.port, "/admin/host/status"),
    )


def eventually(what: Callable[[], object]) -> bool:
    """Return as soon as `what` holds; other processes give no signal to wait on."""
    pause = threading.Event()
    return any(what() or pause.wait(0.05) for _ in range(600))
