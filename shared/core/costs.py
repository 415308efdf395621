"""What a bill says when it is read: what was paid for what, and whether a line of it is missing. Micro-USD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from shared.core.cost_tree import WASTE
from shared.core.recording import BillingRow

By = Literal["tenant", "workflow", "step", "model", "cloud", "deployment", "outcome", "entity", "task"]
WAYS: tuple[str, ...] = get_args(By)


@dataclass(slots=True)
class Share:
    """One group's part of the bill; `wasted` brought no answer: failed calls, and those nobody knows the end of."""

    name: str
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    wasted: int = 0
    saved: int = 0

    def add(self, row: BillingRow, *, wasted: bool) -> None:
        """Add a line of the bill, or a correction of one."""
        self.calls += row.outcome not in {"corrected", "saved"}
        self.tokens_in += row.tokens_in
        self.tokens_out += row.tokens_out
        self.cost += row.cost_micro_usd
        self.wasted += row.cost_micro_usd if wasted else 0
        self.saved += row.saved_micro_usd


@dataclass(frozen=True, slots=True)
class Gap:
    """A task whose bill lacks lines, or has one twice."""

    task: str
    missing: tuple[int, ...]
    repeated: tuple[int, ...]


def shares(rows: Iterable[BillingRow], by: By) -> list[Share]:
    """Return the bill by one of its columns, the dearest first."""
    found: dict[str, Share] = {}
    bill = list(rows)
    lost = {(row.task, row.line) for row in bill if row.outcome in WASTE}
    for row in bill:
        name = str(getattr(row, by)) or "-"
        found.setdefault(name, Share(name)).add(row, wasted=(row.task, row.line) in lost)
    return sorted(found.values(), key=lambda share: (-share.cost, share.name))


def gaps(rows: Iterable[BillingRow]) -> list[Gap]:
    """Return the tasks whose lines are not 1, 2, 3, …: something was lost, or is still on its way."""
    lines: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row.line and row.outcome != "corrected":
            lines[row.task].append(row.line)
    found = (_gap(task, numbers) for task, numbers in sorted(lines.items()))
    return [gap for gap in found if gap.missing or gap.repeated]


def _gap(task: str, numbers: Sequence[int]) -> Gap:
    missing = tuple(sorted(set(range(1, max(numbers) + 1)) - set(numbers)))
    repeated = tuple(sorted({number for number in numbers if numbers.count(number) > 1}))
    return Gap(task, missing, repeated)
