"""DBOS as a peer: in an environment and a process of its own, spoken to line by line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

_ROOT = Path(__file__).parents[1]
_ENVIRONMENT = _ROOT / ".venv-bench"
_PYTHON = _ENVIRONMENT / "bin" / "python"
_SERVER = Path(__file__).with_name("dbos_server.py")


def find() -> Path | None:
    """Return the interpreter that has DBOS, its environment made when there is none; None when it cannot be had."""
    if _works():
        return _PYTHON
    uv = _ROOT / ".venv" / "bin" / "uv"
    made: list[str | Path] = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, _ENVIRONMENT]
    filled: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", _PYTHON, "dbos"]
    for command in (made, filled):
        if not uv.exists() or subprocess.run(command, check=False).returncode:  # noqa: S603  our own words
            return None
    return _PYTHON if _works() else None


def _works() -> bool:
    return _PYTHON.exists() and not subprocess.run([_PYTHON, "-c", "import dbos"], check=False).returncode  # noqa: S603


class Dbos:
    """A process that runs workflows when asked; `durability` is `as it comes` or `in WAL`."""

    def __init__(self, python: Path, home: Path, durability: str) -> None:
        home.mkdir(parents=True)
        self.durability = durability
        spare_our_names = "-P"  # this folder, which holds a dbos.py, too, stays out of its path
        command: list[str | Path] = [python, spare_our_names, _SERVER, home / "dbos.sqlite", durability]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self.version = self._answer()

    def run(self, kind: str, count: int) -> float:
        """Return the seconds that `count` workflows take from their start to their end."""
        print(kind, count, file=self._pipe(self._process.stdin), flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._pipe(self._process.stdin).close()
        self._process.wait()
        self._pipe(self._process.stdout).close()

    def _answer(self) -> str:
        line = self._pipe(self._process.stdout).readline().strip()
        if not line:
            raise RuntimeError(f"DBOS ended with {self._process.wait()}")
        return line

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream
