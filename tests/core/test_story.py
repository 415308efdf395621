from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.cost_tree import cost_tree
from shared.core.money import usd
from shared.core.story import Account, account, tell, waits
from shared.events.catalog import CATALOG
from shared.events.routing import Refused
from shared.events.step import StepStarted
from shared.events.task import TaskSubmitted
from shared.events.usage import UsageCorrected
from tests.core.given import DIGEST, NOON, document, events, facts, routed, used

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.events.envelope import Fact

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
        ("task.throttled", "too many a minute"),
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


def test_a_refusal_says_how_many_others_there_were() -> None:
    """One event tells of many: its line says how many came too fast and have none of their own."""
    (line,) = tell(events([facts()["task.throttled"]]))
    assert line.text == (
        "turned away (requests), to come again in 5 s; 12 others were since the last one that was noted"
    )


def submitted(*names: str) -> TaskSubmitted:
    """Return the submission of documents of these names."""
    documents, taxonomy = tuple(map(document, names)), document("taxonomy.toml")
    return TaskSubmitted(
        workflow="document-review", documents=documents, taxonomy=taxonomy, submitted_by="ann", budget_micro_usd=700
    )


def begun(attempt: int, number: int = 0) -> StepStarted:
    """Return the beginning of an attempt to classify."""
    return StepStarted(
        document=number,
        step="classify",
        tool="classify",
        attempt=attempt,
        input_sha256=DIGEST,
        reserved_micro_usd=341,
    )


def asked(deployment: str, kind: str, **more: Any) -> Fact:
    """Return the choice of a deployment."""
    return routed().model_copy(update={"deployment": deployment, "kind": kind, "refused": (), "after": "", **more})


def paid(line: int, deployment: str, outcome: str, cost: int, call: str = "") -> Fact:
    """Return a line of the bill."""
    said = {"line": line, "deployment": deployment, "outcome": outcome, "call": call}
    return used(cost=cost).model_copy(update=said)


def corrected(line: int, was: int, cost: int) -> UsageCorrected:
    """Return what a line cost after all."""
    return UsageCorrected(document=0, step="classify", line=line, was_micro_usd=was, cost_micro_usd=cost)


def texts(*said: Fact) -> list[str]:
    """Return the sentences of a story."""
    return [line.text for line in tell(events(said))]


def names(said: Sequence[Fact]) -> list[str]:
    """Return what the tree calls the calls of the only step."""
    runs = cost_tree("t1", events([submitted("a.md"), *said])).parts.values()
    return [name for run in runs for name in run.parts["classify"].parts]


ATTEMPT = (
    begun(1),
    asked("eu-1", "first"),
    asked("eu-2", "fallback", after="eu-1: throttled", call="d1"),
    asked("eu-2", "repair", after="eu-2: bad-answer", call="d2"),
    asked("us-1", "fallback", after="eu-2: too-slow", call="d3"),
    paid(3, "us-1", "answered", 9, "d3"),
    paid(2, "eu-2", "unknown", 300, "d2"),
    paid(1, "eu-2", "failed", 20, "d1"),
)


def test_a_call_and_its_price_are_one_line() -> None:
    """Who was asked, how that ended and what it cost stand together, in whatever order the bill names the calls."""
    _, *told = tell(events((submitted("a.md"), *ATTEMPT)))
    assert [line.cost for line in told] == [None, 20, 300, 9]
    first, bad, lost, good = (line.text for line in told)
    assert first == "classify asks eu-1"
    assert bad.startswith("classify asks eu-2 instead: 400 tokens read")
    assert "will not do" in bad
    assert lost.startswith("classify asks eu-2 to repair its answer;")
    assert "charged at its worst" in lost
    assert good == "classify asks us-1 instead: 400 tokens read, 20 written"


def test_a_call_says_why() -> None:
    """Why this one was asked, what it could cost, and those who could not be asked, by reason."""
    refused = tuple(Refused(deployment=name, reason="throttled") for name in ("a", "b"))
    said = asked("eu-2", "fallback", after="eu-1: truncated-json", refused=refused)
    (line,) = tell(events([said]))
    assert line.why == "eu-1 answered half an answer; at most $0.000341 of $0.001000 left; not asked: a, b (throttled)"
    assert tell(events([asked("eu-2", "first")]))[0].why.startswith("the cheapest that is well; at most")


def test_the_tree_says_what_each_line_was_for() -> None:
    """A line of the bill is a fallback, a retry, a repair or a second call, and in vain or not."""
    said = (*ATTEMPT, begun(2), asked("us-1", "retry", call="d4"), paid(4, "us-1", "hedged", 9, "d4"))
    assert names(said) == [
        "line 3: us-1, instead of another",
        "line 2: eu-2, repair, end unknown, charged at its worst",
        "line 1: eu-2, instead of another, of no use",
        "line 4: us-1, again, too late",
    ]
    assert cost_tree("t1", events(said)).wasted == 329


def test_a_line_that_a_crash_left_over_is_told_for_itself() -> None:
    """Without a choice to stand with, a line of the bill is a sentence of its own, with its cost."""
    (line,) = tell(events([paid(3, "eu-2", "unknown", 300)]))
    assert (line.cost, "line 3" in line.text, "eu-2" in line.text) == (300, True, True)
    assert names([begun(1), asked("eu-2", "fallback"), begun(2), paid(1, "eu-2", "answered", 9)]) == ["line 1: eu-2"]


def test_a_call_belongs_to_the_run_that_made_it() -> None:
    """What a later run put on the bill for an earlier one stands below the earlier; what says nothing is its own."""
    early = asked("eu-2", "first", call="d1", run=1)
    said = [submitted("a.md"), facts()["task.resumed"], early, paid(1, "eu-2", "unknown", 300, "d1")]
    tree = cost_tree("t1", events([*said, paid(2, "eu-2", "answered", 9)]))
    assert {name: run.total for name, run in tree.parts.items()} == {"run 1": 300, "run 2": 9}


def test_a_call_stands_where_it_was_made_not_where_it_was_told() -> None:
    """A call of a process that died is told of by the next one; the story has it at its own time."""
    early = asked("eu-2", "first", call="d1", at=NOON - timedelta(hours=1))
    said = [submitted("a.md"), begun(2), early, paid(1, "eu-2", "unknown", 300, "d1")]
    lost, *_ = told = tell(events(said))
    assert [line.event.type for line in told] == ["model.routed", "task.submitted", "step.started"]
    assert (lost.at, lost.cost) == (NOON - timedelta(hours=1), 300)


def test_an_answer_of_its_own_is_no_saving() -> None:
    """What the task paid for before is not paid again; only an answer from the cache saves money."""
    own = facts()["usage.saved"].model_copy(update={"by": "journal", "saved_micro_usd": 40})
    tree = cost_tree("t1", events([own, facts()["usage.saved"]]))
    cached: Any = facts()["usage.saved"]
    assert (tree.saved, tree.not_paid_again, tree.total) == (cached.saved_micro_usd, 40, 0)
    assert "not paid again" in texts(own)[0]


def test_a_correction_changes_its_line() -> None:
    """What turned out cheaper is so in its line, in what was in vain, and in the story."""
    said = [submitted("a.md"), paid(1, "eu-2", "unknown", 300), paid(2, "eu-1", "answered", 9), corrected(1, 300, 20)]
    tree = cost_tree("t1", events(said))
    assert (tree.total, tree.wasted) == (29, 20)
    last = tell(events(said))[-1]
    assert (last.cost, last.text) == (-280, "classify cost $0.000020, not $0.000300")


def test_documents_have_their_names() -> None:
    """A task of one document need not name it, one of many does, and two of one name are told apart."""
    done = facts(1)["step.completed"]
    assert texts(submitted("a.md"), facts(0)["step.completed"])[-1] == "classify done for $0.000009"
    assert texts(submitted("a.md", "b.md"), done)[-1] == "b.md: classify done for $0.000009"
    assert texts(submitted("a.md", "a.md"), done)[-1].startswith("a.md (2): ")
    assert texts(done) == ["document 1: classify done for $0.000009"]
    assert texts(submitted("a.md", "b.md"))[0].endswith("submitted 2 documents to document-review")
    assert list(cost_tree("t1", events([submitted("a.md", "b.md"), used(1)])).parts["run 1"].parts) == ["b.md"]


def test_a_budget_is_no_documents_business() -> None:
    """What is asked for more money is told without a document, though some document caused it."""
    asking = facts()["approval.requested"].model_copy(update={"about": "budget"})
    deciding = facts()["approval.decided"].model_copy(update={"about": "budget"})
    assert texts(submitted("a", "b"), asking, deciding)[1:] == [
        "asked for more budget: reviewer to decide by 2026-03-02 12:00 UTC",
        "approved by bob for more budget",
    ]


def test_a_beginning_is_told_while_nothing_came_of_it() -> None:
    """A first attempt under way is told; one that something came of is not, and a second attempt always is."""
    assert texts(begun(1))[-1].endswith("classify begins")
    assert not any("begins" in text for text in texts(begun(1), facts()["step.completed"]))
    assert any("begins" in text for text in texts(begun(1), facts(1)["step.completed"]))
    assert any("begins, attempt 2" in text for text in texts(begun(2), facts()["step.completed"]))


def test_a_task_that_waits_says_for_what() -> None:
    """Until when, if that is known, and why."""
    assert waits("budget", None) == "waits for a decision on its budget"
    assert waits("throttled", NOON, "no model") == (
        "waits for a model that takes calls until 2026-03-02 12:00:00 UTC: no model"
    )


def test_the_account_is_that_of_the_last_run() -> None:
    """What was granted meanwhile is in the budget; each price list is named once."""
    said = [facts()["task.admitted"], used(), used(), facts()["task.resumed"]]
    granted: Any = facts()["task.resumed"]
    assert account(events(said)) == Account(granted.budget_micro_usd, granted.run, ("2026-11",))
    assert account(()) == Account()


def test_amounts_are_written_as_people_write_them() -> None:
    """A micro-dollar is visible, thousands are set apart, and what comes back is negative."""
    assert usd(1) == "$0.000001"
    assert usd(1_234_567_890) == "$1,234.567890"
    assert usd(-280) == "-$0.000280"


USAGES = st.builds(
    used,
    number=st.integers(0, 3),
    step=st.sampled_from(["classify", "summarise"]),
    cost=st.integers(0, 10**9),
    model=st.sampled_from(["a", "b"]),
)
CHOICES = st.builds(
    lambda number, deployment: routed(number).model_copy(update={"deployment": deployment}),
    st.integers(0, 3),
    st.sampled_from(["eu-1", "eu-2"]),
)


@given(st.lists(USAGES | CHOICES | st.builds(begun, st.integers(1, 2), st.integers(0, 3)), max_size=30))
def test_the_cost_tree_and_the_story_add_up(said: list[Any]) -> None:
    """The tree's total is the metered sum, every branch's is its own, and so is the sum of the story's lines."""
    happened = events([facts()["step.completed"], *said, facts()["document.reviewed"]])
    tree = cost_tree("t1", happened)
    metered = [event.data for event in happened if event.type == "usage.metered"]
    assert tree.total == sum(usage.cost_micro_usd for usage in metered)
    assert sum(line.cost or 0 for line in tell(happened)) == tree.total
    for number in {usage.document for usage in metered}:
        of_document = [usage for usage in metered if usage.document == number]
        assert tree.parts["run 1"].parts[f"document {number}"].total == sum(
            usage.cost_micro_usd for usage in of_document
        )
    assert sum(len(run.parts) for run in tree.parts.values()) == len({usage.document for usage in metered})


def test_a_task_without_usage_costs_nothing() -> None:
    """An empty tree has a total."""
    assert cost_tree("t1", events([facts()["task.admitted"]])).total == 0
