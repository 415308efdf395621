"""What a bill says when it is read: what was paid for what, and whether something of it is missing. Micro-USD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from shared.core.cost_tree import WASTE
from shared.core.recording import BillingRow
from shared.events.catalog import AnyEvent

By = Literal["tenant", "workflow", "step", "model", "cloud", "deployment", "outcome", "entity", "task"]
_CLOSED = "closed"  # the outcome of the row that says how many lines there are
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


class Difference(NamedTuple):
    """A task whose bill does not say what the fabric has charged."""

    task: str
    billed: int
    charged: int


def within(rows: Iterable[BillingRow], during: str) -> list[BillingRow]:
    """Return the rows that count in this year, month or day, as in tenants' budgets; the oldest rows name none."""
    return [row for row in rows if row.day.startswith(during)]


def shares(rows: Iterable[BillingRow], by: By) -> list[Share]:
    """Return the bill by one of its columns, the dearest first."""
    found: dict[str, Share] = {}
    bill = [row for row in rows if row.outcome != _CLOSED]
    lost = {(row.task, row.line) for row in bill if row.outcome in WASTE}
    for row in bill:
        name = str(getattr(row, by)) or "-"
        found.setdefault(name, Share(name)).add(row, wasted=(row.task, row.line) in lost)
    return sorted(found.values(), key=lambda share: (-share.cost, share.name))


def gaps(rows: Iterable[BillingRow]) -> list[Gap]:
    """Return the tasks whose lines are not 1, 2, 3, … to the last: something was lost, or is still on its way."""
    lines: dict[str, list[int]] = defaultdict(list)
    last: dict[str, int] = {}
    for row in rows:
        if row.outcome == _CLOSED:
            last[row.task] = row.line
        elif row.line and row.outcome != "corrected":
            lines[row.task].append(row.line)
    found = (gap(task, lines[task], last.get(task, 0)) for task in sorted(lines | last))
    return [one for one in found if one.missing or one.repeated]


def differences(rows: Iterable[BillingRow], charged: Mapping[str, int]) -> list[Difference]:
    """Return the tasks whose bills add up to something else than they were charged; others are none of its business."""
    billed = dict.fromkeys(charged, 0)
    for row in rows:
        if row.task in billed:
            billed[row.task] += row.cost_micro_usd
    return [Difference(task, billed[task], charged[task]) for task in sorted(charged) if billed[task] != charged[task]]


def gap_in(task: str, events: Iterable[AnyEvent]) -> Gap:
    """Return what is missing of the bill in a task's events."""
    numbers, last = [], 0
    for event in events:
        if event.type == "usage.metered":
            numbers.append(event.data.line)
        last = getattr(event.data, "lines", None) or last
    return gap(task, numbers, last)


def gap(task: str, numbers: Sequence[int], last: int = 0) -> Gap:
    """Return what is missing of a bill with these lines, of which there should be `last`; late ones may follow."""
    missing = tuple(sorted(set(range(1, max((*numbers, last), default=0) + 1)) - set(numbers)))
    repeated = tuple(sorted({number for number in numbers if numbers.count(number) > 1}))
    return Gap(task, missing, repeated)
