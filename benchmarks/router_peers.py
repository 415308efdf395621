"""The processes the router is measured in: ours, libraries next to it, LiteLLM's proxy; and the peers' environment.

Libraries are spoken to line by line, doors over HTTP on this machine alone.
"""

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
from typing import IO, Literal, Self

from benchmarks.router_server import DEPLOYMENTS, LIMITED, deployment

KEY = "sk-benchmark"
_ROOT = Path(__file__).parents[1]
_ENVIRONMENT = _ROOT / ".venv-bench-models"
_BIN = _ENVIRONMENT / "bin"
_PYTHON = _BIN / "python"
_SERVER = Path(__file__).with_name("router_server.py")
_PACKAGES = ("litellm[proxy]", "opentelemetry-sdk", "pydantic-ai-slim")
INSTALL = (
    f".venv/bin/uv venv {_ENVIRONMENT.name} && .venv/bin/uv pip install --python {_ENVIRONMENT.name}/bin/python "
    + " ".join(f"'{package}'" for package in _PACKAGES)
)
_QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
SideName = Literal["ours", "litellm", "litellm-traced", "pydantic-ai"]
_STARTS_WITHIN = 240.0  # seconds: the proxy imports for many
_STOPS_WITHIN = 20.0
_OK = 200


def find() -> Path | None:
    """Return the interpreter that has the peers, its environment made when there is none; None: it cannot be had."""
    if _works():
        return _PYTHON
    uv = _ROOT / ".venv" / "bin" / "uv"
    made: list[str | Path] = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, _ENVIRONMENT]
    filled: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", _PYTHON, *_PACKAGES]
    for command in (made, filled):
        if not uv.exists() or subprocess.run(command, check=False).returncode:  # noqa: S603  our own words
            return None
    return _PYTHON if _works() else None


def _works() -> bool:
    code = "from importlib.metadata import version as v; v('litellm'), v('opentelemetry-sdk'), v('pydantic-ai-slim')"
    return _PYTHON.exists() and not subprocess.run([_PYTHON, "-c", code], check=False).returncode  # noqa: S603


class Side:
    """A process that makes calls when asked."""

    def __init__(self, name: SideName, python: Path | None = None) -> None:
        spare_our_names = "-P"  # this folder stays out of a peer's path
        ours, theirs = (sys.executable, "-m", "benchmarks.router_server"), (python or "", spare_our_names, _SERVER)
        command: list[str | Path] = [*(theirs if python else ours), name]
        self._process = subprocess.Popen(  # noqa: S603  our own words
            command, cwd=_ROOT, env=os.environ | _QUIET, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.name = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait()
        self._pipe(self._process.stdout).close()

    def calls(self, kind: str, count: int) -> tuple[float, float]:
        """Return the seconds of processor and of clock that so many calls take."""
        processor, clock = self._ask(f"{kind} {count}").split()
        return float(processor), float(clock)

    def megabytes(self) -> float:
        """Return the process's peak."""
        return float(self._ask("memory"))

    def _ask(self, line: str) -> str:
        print(line, file=self._pipe(self._process.stdin), flush=True)
        return self._answer()

    def _answer(self) -> str:
        line = self._pipe(self._process.stdout).readline().strip()
        if not line:
            self.__exit__()
            raise RuntimeError(f"the process ended with {self._process.wait()}")
        return line

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


class Door:
    """A process that answers `POST /v1/chat/completions` on 127.0.0.1."""

    def __init__(self, command: list[str | Path], port: int, home: Path) -> None:
        self.port = port
        self._said = home / f"{port}.log"
        environment = _QUIET | {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(_ROOT)}
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
