"""The processes the router is measured in: ours, libraries beside it, LiteLLM's proxy over HTTP on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Literal, Self

from benchmarks.peers import ALONE, ROOT, Environment, Process
from benchmarks.router_server import DEPLOYMENTS, LIMITED, deployment

KEY = "sk-benchmark"
ENVIRONMENT = Environment(".venv-bench-models", ("litellm[proxy]", "opentelemetry-sdk", "pydantic-ai-slim"))
_SERVER = Path(__file__).with_name("router_server.py")
_QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
SideName = Literal["ours", "litellm", "litellm-traced", "pydantic-ai"]
_STARTS_WITHIN = 240.0  # seconds: the proxy imports for many
_STOPS_WITHIN = 20.0
_OK = 200


class Side:
    """A process that makes calls when asked."""

    def __init__(self, name: SideName, python: Path | None = None) -> None:
        ours, theirs = (sys.executable, "-m", "benchmarks.router_server"), (python or "", ALONE, _SERVER)
        self._process = Process([*(theirs if python else ours), name], _QUIET)
        self.name = self._process.greeting

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def calls(self, kind: str, count: int) -> tuple[float, float]:
        """Return the seconds of processor and of clock that so many calls take."""
        processor, clock = self._process.ask(kind, count).split()
        return float(processor), float(clock)

    def megabytes(self) -> float:
        """Return the process's peak."""
        return float(self._process.ask("memory"))


class Door:
    """A process that answers `POST /v1/chat/completions` on 127.0.0.1."""

    def __init__(self, command: list[str | Path], port: int, home: Path) -> None:
        self.port = port
        self._said = home / f"{port}.log"
        environment = _QUIET | {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
        with self._said.open("w") as said:
            self._process = subprocess.Popen(  # noqa: S603  our own words
                command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    @classmethod
    def ours(cls, home: Path) -> Self:
        """Start the door to our path."""
        port = _free_port()
        return cls([sys.executable, "-m", "benchmarks.router_door", str(port)], port, home)

    @classmethod
    def litellm(cls, python: Path, home: Path) -> Self:
        """Start LiteLLM's proxy, one worker, with the same eight deployments and limits as its router."""
        port = _free_port()
        told = {
            "model_list": [deployment("pool", number) for number in range(DEPLOYMENTS)],
            "router_settings": LIMITED,
            "general_settings": {"master_key": KEY},
        }
        config = home / "litellm.yaml"
        config.write_text(json.dumps(told), encoding="utf-8")  # JSON is YAML
        words = ("--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
        return cls([python.with_name("litellm"), *words], port, home)

    def __enter__(self) -> Self:
        until = time.monotonic() + _STARTS_WITHIN
        while not self._open():
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                last = self._said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                raise RuntimeError(f"it does not start: {' '.join(last)[-200:]}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def processor(self) -> float | None:
        """Return the seconds of processor the process took so far; None where the system does not tell."""
        told = Path(f"/proc/{self._process.pid}/stat")
        if not told.exists():
            return None
        user, system = told.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _open(self) -> bool:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=2)) as connection:
            try:
                connection.request("GET", "/health/liveliness")
                return connection.getresponse().status == _OK
            except (OSError, HTTPException):
                return False


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
