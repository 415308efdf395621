"""A queue in virtual time: work arrives by class, is shed or waits, and is taken at a fixed rate in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import merge

from shared.core.policy import PRIORITIES, Classes
from shared.core.schedule import Load, Turns, pick, pressure
from shared.events.task import Priority

NOON = 1_800_000_000.0


@dataclass
class Queue:
    """So many calls a second are made; `waits` and `shed` say what became of the work."""

    per_second: float
    classes: Classes = field(default_factory=Classes)
    lines: dict[Priority, deque[float]] = field(default_factory=lambda: {one: deque() for one in PRIORITIES})
    waits: dict[Priority, list[float]] = field(default_factory=lambda: {one: [] for one in PRIORITIES})
    shed: dict[Priority, list[float]] = field(default_factory=lambda: {one: [] for one in PRIORITIES})
    turns: Turns = field(default_factory=Turns)
    free_at: float = NOON

    def load(self) -> Load:
        """Return what waits."""
        return Load({one: len(line) for one, line in self.lines.items()}, per_second=self.per_second)

    def arrive(self, priority: Priority, at: float) -> None:
        """Let work in, or send it away."""
        seconds = pressure(self.load(), priority, self.classes)
        if seconds:
            self.shed[priority].append(seconds)
        else:
            self.lines[priority].append(at)

    def serve(self, until: float) -> None:
        """Make calls up to a moment."""
        while self.free_at <= until:
            oldest = {one: line[0] for one, line in self.lines.items() if line}
            if not oldest:
                self.free_at = until
                return
            at = max(self.free_at, min(oldest.values()))
            priority, self.turns = pick(oldest, self.turns, self.classes, at)
            self.waits[priority].append(at - self.lines[priority].popleft())
            self.free_at = at + 1 / self.per_second

    def run(self, rates: Mapping[Priority, float], seconds: float) -> None:
        """Let work arrive evenly at so many a second by class."""
        streams = (
            [(NOON + number / rate, one) for number in range(int(rate * seconds))] for one, rate in rates.items()
        )
        for at, priority in merge(*streams):
            self.serve(at)
            self.arrive(priority, at)
        self.serve(self.free_at + 10_000)

    def p99(self, priority: Priority) -> float:
        """Return the wait that 99 of 100 stay below."""
        waits = sorted(self.waits[priority])
        return waits[int(len(waits) * 0.99)]
