"""Documents through the whole embedded fabric, offline model, at two sizes and both placements."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.corpus import write
from benchmarks.runner import Effort, Row, at_least, at_most, in_turns

_ROOT = Path(__file__).parents[1]
_MOST = 5  # runs, the larger of which take minutes
_PLACED = {"direct": "aws", "reviewed": "azure"}
_WORDS = {"direct": "on AWS", "reviewed": "through Azure"}


def rows(effort: Effort) -> Iterator[Row]:
    """Measure both placements at both sizes."""
    small, large = effort.pick(full=(1000, 10_000), quick=(200, 1000), tiny=(2, 4))
    with TemporaryDirectory() as folder:
        for size in (small, large):
            write(Path(folder) / str(size), size)
        for how in effort.pick(full=tuple(_PLACED), quick=tuple(_PLACED), tiny=("reviewed",)):
            yield from _placed(effort, Path(folder), how, small, large)


def _placed(effort: Effort, folder: Path, how: str, small: int, large: int) -> Iterator[Row]:
    few, many, tools = (_Runs(folder, size, kind) for size, kind in ((small, how), (large, how), (small, "tools")))
    costs, costs_many, alone = in_turns(min(effort.repeats, _MOST), few.cost, many.cost, tools.cost)
    rates, limits = [1000 / cost for cost in costs], [1000 / cost for cost in alone]
    where = _WORDS[how]
    note = f"{small} licence texts, all different, each a task of its own, submitted and reviewed {where}; one process."
    peer = " The limit: the four tools on the same files, no fabric, nothing written."
    yield Row(f"{small} documents {where}", "/s", rates, "limit: tools alone", limits, note=note + peer)
    yield Row(f"{small} documents {where}, rate", "/s", rates, target=at_least(100, "ours"), note=note)
    flat = f"Milliseconds a document at {large} next to {small}, in turns: flat is 1."
    yield Row(f"cost at {large:,} {where}", "ms", costs_many, f"at {small:,}", costs, at_most(1.2), flat)
    memory = "The process's peak, Python and three SDKs included."
    yield Row(f"memory at {large:,} {where}", "MB", many.megabytes, target=at_most(300, "ours"), note=memory)


@dataclass
class _Runs:
    """Runs of one kind, each in a fresh process; remembers their peaks of memory."""

    folder: Path
    size: int
    how: str

    def __post_init__(self) -> None:
        self.megabytes: list[float] = []

    def cost(self) -> float:
        """Milliseconds a document."""
        return self._run() / self.size * 1000

    def _run(self) -> float:
        command = [sys.executable, "-m", "benchmarks.reviewing", str(self.folder / str(self.size)), self.how]
        done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603  our own
        told: dict[str, Any] = json.loads(done.stdout)
        assert told["clouds"] == ({_PLACED[self.how]: self.size} if self.how in _PLACED else {})
        self.megabytes.append(told["megabytes"])
        return float(told["seconds"])
