"""Rate limiters of others as peers: in an environment and a process of their own, spoken to line by line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

_ROOT = Path(__file__).parents[1]
_ENVIRONMENT = _ROOT / ".venv-bench-limits"
_PYTHON = _ENVIRONMENT / "bin" / "python"
_SERVER = Path(__file__).with_name("limiters_server.py")
NAMES = ("limits", "throttled-py", "pyrate-limiter", "aiolimiter")


def find() -> Path | None:
    """Return the interpreter that has them, its environment made when there is none; None when it cannot be had."""
    if _works():
        return _PYTHON
    uv = _ROOT / ".venv" / "bin" / "uv"
    made: list[str | Path] = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, _ENVIRONMENT]
    filled: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", _PYTHON, *NAMES]
    for command in (made, filled):
        if not uv.exists() or subprocess.run(command, check=False).returncode:  # noqa: S603  our own words
            return None
    return _PYTHON if _works() else None


def _works() -> bool:
    code = f"from importlib.metadata import version; [version(name) for name in {NAMES!r}]"
    return _PYTHON.exists() and not subprocess.run([_PYTHON, "-c", code], check=False).returncode  # noqa: S603


class Limiters:
    """A process that asks limiters when told to."""

    def __init__(self, python: Path) -> None:
        spare_our_names = "-P"  # this folder stays out of its path
        command: list[str | Path] = [python, spare_our_names, _SERVER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self.versions = dict(pair.split("=") for pair in self._answer().split())

    def run(self, name: str, count: int) -> float:
        """Return the processor's seconds that so many requests took."""
        print(name, count, file=self._pipe(self._process.stdin), flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._pipe(self._process.stdin).close()
        self._process.wait()
        self._pipe(self._process.stdout).close()

    def _answer(self) -> str:
        line = self._pipe(self._process.stdout).readline().strip()
        if not line:
            raise RuntimeError(f"the limiters ended with {self._process.wait()}")
        return line

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream
