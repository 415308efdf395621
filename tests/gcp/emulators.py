"""The real Spanner and Pub/Sub emulators of the Google Cloud SDK, each on a port of its own, stopped by group."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SPANNER = "bin/cloud_spanner_emulator/gateway_main"
PUBSUB = "platform/pubsub-emulator/bin/cloud-pubsub-emulator"
INSTALL = {
    SPANNER: "gcloud components install cloud-spanner-emulator",
    PUBSUB: "gcloud components install beta pubsub-emulator",
}
_READY_SECONDS = 60


def find(program: str) -> Path:
    """Return the emulator's path; without it the test is skipped, and in CI it fails."""
    gcloud = shutil.which("gcloud")
    path = Path(gcloud).resolve().parents[1] / program if gcloud else None
    if path is not None and path.exists():
        return path
    missing = f"the emulator is not installed here: {INSTALL[program]}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str], ready: str, variables: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[list[str]]:
    """Run a server until it says `ready`, yield the lines it writes, then stop its process group."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | (variables or {}),
        cwd=cwd,
    )
    lines: list[str] = []
    heard = threading.Event()
    reader = threading.Thread(target=_listen, args=(process, ready, lines, heard))
    reader.start()
    try:
        assert heard.wait(_READY_SECONDS), f"never said {ready!r}: {''.join(lines[-20:])}"
        assert process.poll() is None, f"it ended: {''.join(lines[-20:])}"
        yield lines
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()


def _listen(process: subprocess.Popen[str], ready: str, lines: list[str], heard: threading.Event) -> None:
    """Collect what the process writes; its end counts as heard, so that nobody waits in vain."""
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            lines.append(line)
            if ready in line:
                heard.set()
    heard.set()


@contextmanager
def environment(named: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setenv(name, value)
        yield


@contextmanager
def spanner_settings() -> Iterator[dict[str, str]]:
    """Run the Spanner emulator and yield the variables that lead clients to it."""
    program = find(SPANNER)
    grpc, rest = free_port(), free_port()
    ports = ["--hostname", "127.0.0.1", "--grpc_port", str(grpc), "--http_port", str(rest)]
    settings = {
        "SPANNER_EMULATOR_HOST": f"127.0.0.1:{grpc}",
        "GOOGLE_CLOUD_SPANNER_MULTIPLEXED_SESSIONS_FOR_RW": "false",
    }
    with running([str(program), *ports], "gRPC server listening"):
        yield settings


@contextmanager
def pubsub_settings() -> Iterator[dict[str, str]]:
    """Run the Pub/Sub emulator and yield the variables that lead clients to it."""
    program = find(PUBSUB)
    port = free_port()
    with running([str(program), "--host=127.0.0.1", f"--port={port}"], "Server started"):
        yield {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"}


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as `what` holds; other processes give no signal to wait on."""
    pause = threading.Event()
    tries = int(seconds / 0.05)
    assert any(what() or pause.wait(0.05) for _ in range(tries)), "it never came to hold"
