"""The bill: by a column, in a month, and what of it is missing."""

from __future__ import annotations

from typing import Any

import pytest

from shared.core.costs import Difference, Gap, differences, gap_in, gaps, shares, within
from shared.core.recording import BillingRow
from tests.core.given import events, facts, used


def row(task: str, line: int, cost: int = 9, outcome: str = "answered", **more: Any) -> BillingRow:
    """Return a line of a task's bill, or another row of it."""
    named: dict[str, Any] = {"line": line, "outcome": outcome} | more
    head = (f"{task}-{line}-{outcome}", "acme", task, "case-7", line)
    return BillingRow(*head, "classify", "gpt", 1, 1, cost, "2026-11", **named)


def closed(task: str, lines: int) -> BillingRow:
    """Return what a task's end says of its bill."""
    return row(task, lines, 0, "closed")


WHOLE = [row("t1", 1), row("t1", 2, outcome="failed"), closed("t1", 2)]


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        (WHOLE, ()),
        ([*WHOLE, row("t1", 3)], ()),
        ([row("t1", 1), closed("t1", 2)], (2,)),
        ([closed("t1", 2)], (1, 2)),
        ([row("t1", 2)], (1,)),
        ([closed("t1", 0)], ()),
    ],
    ids=["whole", "late", "tail", "all", "middle", "free"],
)
def test_what_a_bill_lacks_shows(rows: list[BillingRow], missing: tuple[int, ...]) -> None:
    """A line may be lost at the beginning, in the middle or at the end; one after the end is none too many."""
    assert gaps(rows) == ([Gap("t1", missing, ())] if missing else [])


def test_a_line_that_is_there_twice_shows() -> None:
    """Nobody pays a line twice without being told."""
    assert gaps([*WHOLE, row("t1", 2)]) == [Gap("t1", (), (2,))]


def test_a_bill_that_is_not_there_at_all_shows() -> None:
    """What was charged and is on no bill is found by what was charged; what is right, or not asked for, is not told."""
    corrected = row("t1", 1, -4, "corrected")
    assert differences([*WHOLE, corrected, row("t3", 1)], {"t1": 14, "t2": 5}) == [Difference("t2", 0, 5)]


def test_the_end_of_a_task_is_no_call() -> None:
    """The row that counts the lines is no group and no call."""
    (share,) = shares(WHOLE, "workflow")
    assert (share.calls, share.cost, share.wasted) == (2, 18, 9)


def test_a_hedge_that_lost_was_paid_in_vain() -> None:
    """An answer that came too late was of no use."""
    (share,) = shares([row("t1", 1), row("t1", 2, 5, "hedged")], "tenant")
    assert (share.cost, share.wasted) == (14, 5)


def test_a_month_is_that_of_the_budget() -> None:
    """Rows count where their money was leased; a row without a day counts in no month."""
    rows = [row("t1", 1, day="2026-10-31"), row("t1", 2, day="2026-11-01"), row("t1", 3)]
    assert [one.line for one in within(rows, "2026-10")] == [1]
    assert [one.line for one in within(rows, "2026-11-01")] == [2]
    assert [one.line for one in within(rows, "2026")] == [1, 2]


def test_a_tasks_events_say_what_its_bill_lacks() -> None:
    """The end names the number of lines; a story without an end is whole as far as it goes."""
    second = used().model_copy(update={"line": 2})
    end = facts()["task.completed"].model_copy(update={"lines": 3})
    assert gap_in("t1", events([second])).missing == (1,)
    assert gap_in("t1", events([used().model_copy(update={"line": 1}), second, end])).missing == (3,)
