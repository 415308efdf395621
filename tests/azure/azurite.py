"""Azurite, the emulator of Azure's storage, started and stopped here."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICES = ("blob", "queue", "table")
_READY = "successfully listening"


def found(root: Path) -> str | None:
    """Return the command, or None when it is not installed."""
    own = root / "tools" / "azurite" / "node_modules" / ".bin" / "azurite"
    return str(own) if own.exists() else shutil.which("azurite")


@contextmanager
def running(command: str, folder: Path) -> Iterator[str]:
    """Run the emulator in memory on free ports of this machine; yield its connection string."""
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    ports = dict(zip(_SERVICES, _free_ports(), strict=True))
    flags = [
        word for name, port in ports.items() for word in (f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port))
    ]
    process = subprocess.Popen(
        [command, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", *flags],
        cwd=folder,
        env=os.environ | {"AZURITE_ACCOUNTS": f"local:{key}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _await(process)
        ends = ";".join(f"{name.capitalize()}Endpoint=http://127.0.0.1:{port}/local" for name, port in ports.items())
        yield f"DefaultEndpointsProtocol=http;AccountName=local;AccountKey={key};{ends};"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _await(process: subprocess.Popen[str]) -> None:
    """Read what the emulator says until all its services listen."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if sum(_READY in earlier for earlier in said) == len(_SERVICES):
            return
    raise AssertionError(f"Azurite did not start: {''.join(said)}")


def _free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in _SERVICES]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
