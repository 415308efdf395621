"""Peers: each in an environment of its own, and in a process of its own that is spoken to line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
ALONE = "-P"  # a peer's interpreter leaves this folder out of its path: it holds modules of the peers' names


class Environment(NamedTuple):
    """What a peer needs: a folder beside our own environment, and packages of the newest version."""

    folder: str
    packages: Sequence[str]

    @property
    def install(self) -> str:
        """The command that makes it."""
        uv, packages = ".venv/bin/uv", " ".join(f"'{package}'" for package in self.packages)
        return f"{uv} venv {self.folder} && {uv} pip install --python {self.folder}/bin/python {packages}"

    def find(self) -> Path | None:
        """Return its interpreter, the environment made when there is none; None when it cannot be had."""
        python, uv = ROOT / self.folder / "bin" / "python", ROOT / ".venv" / "bin" / "uv"
        if self._works(python):
            return python
        made: list[str | Path] = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, ROOT / self.folder]
        filled: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python, *self.packages]
        for command in (made, filled):
            if not uv.exists() or subprocess.run(command, check=False).returncode:  # noqa: S603  our own words
                return None
        return python if self._works(python) else None

    def _works(self, python: Path) -> bool:
        names = [package.partition("[")[0] for package in self.packages]
        code = f"from importlib.metadata import version; [version(name) for name in {names!r}]"
        return python.exists() and not subprocess.run([python, "-c", code], check=False).returncode  # noqa: S603


class Process:
    """A process that answers each line with one; `greeting` is what it says when it is ready."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._process = subprocess.Popen(  # noqa: S603  our own words
            command,
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.greeting = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *words: object) -> str:
        """Say a line and return what is answered."""
        print(*words, file=_open(self._process.stdin), flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        _open(self._process.stdin).close()
        self._process.wait()
        _open(self._process.stdout).close()

    def _answer(self) -> str:
        line = _open(self._process.stdout).readline().strip()
        if not line:
            self.close()
            raise RuntimeError(f"{self._command[-1]} ended with {self._process.returncode}")
        return line


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
