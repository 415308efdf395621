"""How everything here is measured: contenders in turns, medians, one row each, one table.

Knows no subject. A subject is a module with `rows(effort)`.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
Bench = Callable[[], float]
_TIMES = " ×"  # noqa: RUF001  that is the sign for it


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure: the sizes, and how often each contender runs.

    `peers` asks for those peers, too, that need an environment of their own.
    """

    size: Literal["full", "quick", "tiny"] = "full"
    repeats: int = 7
    peers: bool = False

    def pick(self, *, full: T, quick: T, tiny: T) -> T:
        """Return what fits this effort."""
        return {"full": full, "quick": quick, "tiny": tiny}[self.size]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on the ratio, or on our own figure."""

    sign: Literal["≤", "≥"]
    bound: float
    of: Literal["ratio", "ours"]

    def holds(self, ratio: float | None, ours: float) -> bool:
        """Tell whether it is met."""
        value = ours if self.of == "ours" or ratio is None else ratio
        return value <= self.bound if self.sign == "≤" else value >= self.bound

    def __str__(self) -> str:
        return f"{self.sign} {_figure(self.bound)}{_TIMES if self.of == 'ratio' else ''}"


def at_most(bound: float, of: Literal["ratio", "ours"] = "ratio") -> Target:
    """Return an upper bound."""
    return Target("≤", bound, of)


def at_least(bound: float, of: Literal["ratio", "ours"] = "ratio") -> Target:
    """Return a lower bound."""
    return Target("≥", bound, of)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: samples of ours and of the peer, taken in turns. No samples: `note` says why."""

    name: str
    unit: str
    ours: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    target: Target | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """Our median."""
        return median(self.ours)

    @property
    def ratio(self) -> float | None:
        """Ours ÷ peer: the median over the repeats, each of which had both in the same moments."""
        if not self.theirs:
            return None
        return median(mine / other for mine, other in zip(self.ours, self.theirs, strict=True))

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty for a row that only informs."""
        if not self.ours:
            return "skipped"
        if self.target is None:
            return ""
        return "met" if self.target.holds(self.ratio, self.value) else "short"

    def as_json(self) -> dict[str, Any]:
        """Return the row for machines."""
        return {
            "row": self.name,
            "unit": self.unit,
            "ours": self.value if self.ours else None,
            "peer": self.peer or None,
            "theirs": median(self.theirs) if self.theirs else None,
            "ratio": self.ratio,
            "target": str(self.target) if self.target else None,
            "verdict": self.verdict or None,
            "repeats": len(self.ours),
            "note": self.note,
        }


def in_turns(repeats: int, *contenders: Bench) -> list[list[float]]:
    """Return each contender's samples; a slow moment of the machine hits all, and another one is first each time."""
    samples: list[list[float]] = [[] for _ in contenders]
    for repeat in range(repeats):
        for offset in range(len(contenders)):
            turn = (repeat + offset) % len(contenders)
            gc.collect()
            samples[turn].append(contenders[turn]())
    return samples


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def each(work: Callable[[], object], times: int, *, scale: float = 1.0) -> Bench:
    """Return a contender that calls `work` many times: seconds per call, times `scale`."""

    def run() -> float:
        began = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - began) / times * scale

    return run


def show(rows: Iterable[Row], console: Console) -> None:
    """Print the table, and below it what each side did."""
    rows = list(rows)
    table = Table()
    for name in ("row", "ours", "peer", "ratio", "target", ""):
        table.add_column(name, justify="right" if name in {"ours", "ratio"} else "left")
    for row in rows:
        table.add_row(*_cells(row), style="bold red" if row.verdict == "short" else None)
    console.print(table)
    for row in rows:
        console.print(f"[bold]{row.name}[/bold]: {row.note}", highlight=False)


def _cells(row: Row) -> tuple[str, ...]:
    target = str(row.target) if row.target else ""
    if not row.ours:
        return row.name, "", row.peer, "", target, row.verdict
    peer = f"{row.peer} {_figure(median(row.theirs))} {row.unit}" if row.theirs else row.peer
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}{_TIMES}"
    return row.name, f"{_figure(row.value)} {row.unit}", peer, ratio, target, row.verdict


def _figure(value: float) -> str:
    """Three digits that count."""
    if not value or value >= 100:  # noqa: PLR2004  three digits before the point
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}".rstrip("0").rstrip(".")
