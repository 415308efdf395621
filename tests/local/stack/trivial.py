"""Parts made of nothing but Python, for the tests of the supervisor.

Run as a script it starts one that becomes ready and one that never does.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.stack import sockets
from local.stack.part import Command, Part, Requirement, Room
from local.stack.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping

# A child of its own that ignores being asked, and one that left the group.
FAMILY = """
import subprocess, sys
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", stubborn])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
from http.server import HTTPServer, SimpleHTTPRequestHandler
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""
MISSING = Requirement("unobtainium", lambda: None, "dig deeper")


def web(name: str, needs: tuple[str, ...] = (), requires: tuple[Requirement, ...] = ()) -> Part:
    """Return a part that serves files; it says where, and what the others said to it."""

    def command(room: Room) -> Command:
        words = (sys.executable, "-m", "http.server", str(room.port), "--bind", "127.0.0.1")
        return Command(words, folder=room.folder)

    def prepare(room: Room) -> Mapping[str, str]:
        (room.folder / "heard").write_text(",".join(sorted(room.facts)))
        return {f"{name.upper()}_URL": room.address}

    return Part(
        name,
        "files",
        requires=requires,
        needs=needs,
        ports=("http",),
        command=command,
        ready=lambda room: sockets.answers(room.port),
        prepare=prepare,
    )


def script(name: str, code: str, needs: tuple[str, ...] = (), *, ready: bool = True, patience: float = 60) -> Part:
    """Return a part that runs Python code with its port as the argument; ready when it listens, or never."""

    def command(room: Room) -> Command:
        return Command((sys.executable, "-c", code, str(room.port)), folder=room.folder)

    return Part(
        name,
        "a script",
        needs=needs,
        ports=("http",),
        command=command,
        ready=lambda room: ready and sockets.listens(room.port),
        patience=patience,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in a shell's background ignores it
    never = script("never", "print('here', flush=True); import time; time.sleep(600)", ("first",), ready=False)
    Supervisor(Path(sys.argv[1]), [web("first"), never], lambda name, what: print(name, what, flush=True)).up()  # noqa: T201
