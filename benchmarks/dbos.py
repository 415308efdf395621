"""DBOS as a peer."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import ALONE, Environment, Process

ENVIRONMENT = Environment(".venv-bench", ("dbos",))
_SERVER = Path(__file__).with_name("dbos_server.py")


class Dbos:
    """A process that runs workflows when asked; `durability` is `as it comes` or `in WAL`."""

    def __init__(self, python: Path, home: Path, durability: str) -> None:
        home.mkdir(parents=True)
        self.durability = durability
        self._process = Process([python, ALONE, _SERVER, home / "dbos.sqlite", durability])
        self.version = self._process.greeting

    def run(self, kind: str, count: int) -> float:
        """Return the seconds that `count` workflows take from their start to their end."""
        return float(self._process.ask(kind, count))

    def close(self) -> None:
        """End the process."""
        self._process.close()
