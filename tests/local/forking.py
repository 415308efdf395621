"""Runs the command line in forked processes, each on request and some until they are killed.

Started once, it loads all that the command line loads; each run is then a process of its own that is at
work within milliseconds. Reads a request a line, writes an answer a line. Knows nothing of tests.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path[:] = [str(Path(__file__).resolve().parents[2]), *sys.path]  # started as a script: its own folder comes first

from local.cli import main as agentfabric  # noqa: E402  the line above says where it is


def _warm_up(arguments: list[str]) -> None:
    """Run once in this very process, so that every run forked from it begins with the work at once."""
    sys.argv = ["agentfabric", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            agentfabric()
        except SystemExit as end:
            if end.code:
                raise


def _run(arguments: list[str], out: str, kill_after: float | None) -> dict[str, Any]:
    """Run the command line, kill it after that many seconds if it still runs, and say how it ended."""
    alive, held = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(alive)
        _become(arguments, out)
    os.close(held)
    ended = bool(select.select([alive], [], [], kill_after)[0])  # the pipe ends with the only process that holds it
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(alive)
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}


def _become(arguments: list[str], out: str) -> NoReturn:
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{out}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    sys.argv = ["agentfabric", *arguments]
    code = 70
    try:
        agentfabric()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as escaped:  # noqa: BLE001  the process ends here; the test reads what it was
        sys.stderr.write(f"escaped: {escaped!r}\n")
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Answer requests until there are no more; the arguments are those of a first run that has to succeed."""
    _warm_up(sys.argv[1:])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(**json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
