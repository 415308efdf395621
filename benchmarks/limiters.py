"""Rate limiters of others as peers."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import ALONE, Environment, Process

NAMES = ("limits", "throttled-py", "pyrate-limiter", "aiolimiter")
ENVIRONMENT = Environment(".venv-bench-limits", NAMES)
_SERVER = Path(__file__).with_name("limiters_server.py")


class Limiters:
    """A process that asks limiters when told to."""

    def __init__(self, python: Path) -> None:
        self._process = Process([python, ALONE, _SERVER])
        self.versions = dict(pair.split("=") for pair in self._process.greeting.split())

    def run(self, name: str, count: int) -> float:
        """Return the processor's seconds that so many requests took."""
        return float(self._process.ask(name, count))

    def close(self) -> None:
        """End the process."""
        self._process.close()
