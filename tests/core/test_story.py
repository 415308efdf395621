from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.story import cost_tree, tell, usd
from shared.events.catalog import CATALOG
from tests.core.given import events, facts, used

UNTOLD = {"tool.called", "record.skipped"}


@pytest.mark.parametrize("kind", sorted(set(CATALOG) - UNTOLD))
def test_people_read_a_sentence_about_every_event_they_need(kind: str) -> None:
    """Each type has a line in words of its own, without a placeholder or a Python value in it."""
    (line,) = tell(events([facts()[kind]]))
    assert line.event.type == kind
    assert len(line.text) > 10
    assert not set("{}[]<>'") & set(line.text + line.why)
    assert "None" not in line.text


@pytest.mark.parametrize("kind", sorted(UNTOLD))
def test_what_nobody_needs_is_left_out(kind: str) -> None:
    """An event without a line is skipped, and the others are still told."""
    said = facts()
    assert [line.event.type for line in tell(events([said[kind], said["task.admitted"]]))] == ["task.admitted"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("task.rejected", "too much"),
        ("task.placed", "a batch"),
        ("step.failed", "throttled"),
        ("approval.requested", "copyleft"),
        ("approval.decided", "fine"),
        ("document.reviewed", "MIT needs no approval."),
        ("document.failed", "there is no text in it"),
        ("task.cancelled", "a mistake"),
    ],
)
def test_a_line_keeps_the_reason(kind: str, why: str) -> None:
    """The reason that was given at the time stands beside what happened."""
    assert tell(events([facts()[kind]]))[0].why == why


def test_lines_keep_the_order_of_the_events() -> None:
    """The story is told as it happened."""
    said = facts()
    order = ["document.reviewed", "task.submitted", "step.started"]
    assert [line.event.type for line in tell(events([said[kind] for kind in order]))] == order


def test_amounts_are_written_as_people_write_them() -> None:
    """A micro-dollar is visible, and thousands are set apart."""
    assert usd(1) == "$0.000001"
    assert usd(1_234_567_890) == "$1,234.567890"


USAGES = st.builds(
    used,
    number=st.integers(0, 3),
    step=st.sampled_from(["classify", "summarise"]),
    cost=st.integers(0, 10**9),
    model=st.sampled_from(["a", "b"]),
)


@given(st.lists(USAGES, max_size=20))
def test_the_cost_tree_adds_up(usages: list[object]) -> None:
    """The tree's total is the metered sum, every branch's is its own, and other events add nothing."""
    said = [facts()["step.completed"], *usages, facts()["document.reviewed"]]
    tree = cost_tree("t1", events(said))  # type: ignore[arg-type]
    metered = [event.data for event in events(said) if event.type == "usage.metered"]  # type: ignore[arg-type]
    assert tree.total == sum(usage.cost_micro_usd for usage in metered)
    for number in {usage.document for usage in metered}:
        of_document = [usage for usage in metered if usage.document == number]
        assert tree.parts[f"document {number}"].total == sum(usage.cost_micro_usd for usage in of_document)
    assert len(tree.parts) == len({usage.document for usage in metered})


def test_a_task_without_usage_costs_nothing() -> None:
    """An empty tree has a total."""
    assert cost_tree("t1", events([facts()["task.admitted"]])).total == 0
