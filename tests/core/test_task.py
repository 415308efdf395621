from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from shared.core.task import (
    DOCUMENT_MOVES,
    OVER,
    SETTLED,
    TASK_MOVES,
    Progress,
    Status,
    cancel,
    check_open,
    evolve,
    is_settled,
    place,
    reject,
    settle,
    submit,
)
from shared.errors import Permanent
from shared.events.catalog import CATALOG
from tests.core.given import facts, failed, new_task, placed_task, reviewed, task_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.core.task import Task
    from shared.events.document import DocumentFailed, DocumentReviewed
    from shared.events.envelope import Fact

FACTS = facts()
BILLS = {"model.routed", "model.unrouted", "usage.metered", "usage.saved", "usage.corrected"}
ABOUT_DOCUMENTS = sorted(kind for kind, fact in FACTS.items() if hasattr(fact, "document"))
NO_TASK_MOVE = sorted(set(product(Status, CATALOG)) - set(TASK_MOVES))
NO_DOCUMENT_MOVE = sorted(set(product(Progress, ABOUT_DOCUMENTS)) - set(DOCUMENT_MOVES))


def closure(start: str, moves: Iterable[tuple[str, str]]) -> set[str]:
    """Return what can be reached from `start`, itself included."""
    reached = {start}
    while more := {after for before, after in moves if before in reached} - reached:
        reached |= more
    return reached


def test_every_type_has_an_example() -> None:
    """The examples that the tables are tried with cover the whole catalog."""
    assert set(FACTS) == set(CATALOG)


def test_the_tables_name_catalogued_types_only() -> None:
    """A move is made by a type of event that exists, and a document's move by one that names a document."""
    assert {kind for _, kind in TASK_MOVES} <= set(CATALOG)
    assert {kind for _, kind in DOCUMENT_MOVES} == set(ABOUT_DOCUMENTS)


@pytest.mark.parametrize(("status", "kind"), NO_TASK_MOVE)
def test_a_move_that_the_tasks_table_lacks_is_refused(status: Status, kind: str) -> None:
    """Every pair of status and event type outside the table is an illegal move."""
    with pytest.raises(Permanent) as refused:
        evolve(task_at(status), FACTS[kind])
    assert refused.value.code == "illegal-move"


@pytest.mark.parametrize(("progress", "kind"), NO_DOCUMENT_MOVE)
def test_a_move_that_the_documents_table_lacks_is_refused(progress: Progress, kind: str) -> None:
    """Every pair of progress and event type outside the table is an illegal move."""
    with pytest.raises(Permanent) as refused:
        evolve(task_at(Status.RUNNING, progress), FACTS[kind])
    assert refused.value.code == "illegal-move"


@pytest.mark.parametrize(("status", "kind"), sorted(TASK_MOVES))
def test_a_move_of_the_tasks_table_leads_where_it_says(status: Status, kind: str) -> None:
    """A legal event moves the task as the table says, whatever its documents do."""
    before = next((progress for progress in Progress if (progress, kind) in DOCUMENT_MOVES), Progress.RUNNING)
    assert evolve(task_at(status, before), FACTS[kind]).status is TASK_MOVES[status, kind]


@pytest.mark.parametrize(("progress", "kind"), sorted(DOCUMENT_MOVES))
def test_a_move_of_the_documents_table_touches_its_document_alone(progress: Progress, kind: str) -> None:
    """A legal event moves the document it names, as the table says, and no other one."""
    about = facts(1)[kind]
    moved = evolve(task_at(Status.RUNNING, progress, documents=3), about)
    assert moved.progress == (progress, DOCUMENT_MOVES[progress, kind], progress)


def test_every_status_can_be_reached() -> None:
    """No status of a task or a document is there for nothing (cancelling reaches documents through their task)."""
    assert closure(Status.NEW, [(before, after) for (before, _), after in TASK_MOVES.items()]) == set(Status)
    reached = closure(Progress.QUEUED, [(before, after) for (before, _), after in DOCUMENT_MOVES.items()])
    assert reached | {Progress.CANCELLED} == set(Progress)


def test_what_is_over_stays_so() -> None:
    """Terminal states have no way out: all that may still come is a bill."""
    out = [(kind, after is before) for (before, kind), after in TASK_MOVES.items() if before in OVER]
    out += [(kind, after is before) for (before, kind), after in DOCUMENT_MOVES.items() if before in SETTLED]
    assert set(out) == {(kind, True) for kind in BILLS}


@pytest.mark.parametrize("status", sorted(OVER - {Status.REJECTED}))
def test_a_bill_that_comes_after_the_end_changes_nothing_but_money(status: Status) -> None:
    """Whatever ended a task that ran, a late bill is taken, and leaves status and progress alone."""
    task = task_at(status, Progress.CANCELLED)
    assert evolve(task, *(FACTS[kind] for kind in sorted(BILLS))) == task


def test_everything_else_has_a_way_to_its_end() -> None:
    """From every state that is not terminal a terminal one can be reached."""
    of_tasks = [(before, after) for (before, _), after in TASK_MOVES.items()]
    of_documents = [(before, after) for (before, _), after in DOCUMENT_MOVES.items()]
    assert all(closure(status, of_tasks) & OVER for status in Status)
    assert all(closure(progress, of_documents) & SETTLED for progress in Progress)


@pytest.mark.parametrize("number", [-1, 2, 999])
def test_a_document_that_the_task_has_not_is_refused(number: int) -> None:
    """A document is named by its position; a negative one does not count from the end."""
    with pytest.raises(Permanent, match="has 2 documents"):
        placed_task(2).at(number)


def test_submitting_admits_and_queues_every_document() -> None:
    """An accepted task is admitted with its budget in the same decision."""
    decision = submit(new_task(3, budget=5000))
    assert [fact.type for fact in decision.facts] == ["task.submitted", "task.admitted"]
    assert decision.task.status is Status.ADMITTED
    assert decision.task.progress == (Progress.QUEUED,) * 3
    assert decision.facts == submit(new_task(3, budget=5000)).facts


def test_a_refusal_is_kept_with_its_reason() -> None:
    """A rejected task is over, spends nothing, and says why."""
    decision = reject(new_task(), "budget-too-large", "more than you may spend")
    assert [fact.type for fact in decision.facts] == ["task.submitted", "task.rejected"]
    assert decision.task.over
    assert decision.task.reason == "more than you may spend"
    assert decision.task.spent == 0
    with pytest.raises(Permanent, match="more than you may spend"):
        check_open(decision.task)


@pytest.mark.parametrize(
    ("documents", "may_ask", "cloud", "why"),
    [
        (1, False, "aws", "no approval possible"),
        (1, True, "azure", "may ask for an approval"),
        (2, False, "azure", "a batch of 2 documents"),
        (40, True, "azure", "a batch of 40 documents"),
    ],
)
def test_placement_says_where_and_why(documents: int, may_ask: bool, cloud: str, why: str) -> None:  # noqa: FBT001
    """One document that needs nobody goes to AWS, a batch or a possible approval to Azure, and the event says why."""
    decision = place(submit(new_task(documents, may_ask=may_ask)).task)
    said = decision.facts[0]
    assert (said.type, decision.task.status, decision.task.placed_on) == ("task.placed", Status.PLACED, cloud)
    assert said.model_dump(include={"cloud", "run", "documents"}) == {"cloud": cloud, "run": 1, "documents": documents}
    assert why in said.model_dump()["reason"]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.ADMITTED}))
def test_only_an_admitted_task_is_placed(status: Status) -> None:
    """Placing a task again, or one that is over, changes nothing."""
    task = task_at(status)
    assert place(task).nothing
    assert place(task).task == task


@pytest.mark.parametrize("status", [Status.ADMITTED, Status.PLACED, Status.RUNNING, Status.PARKED])
def test_cancelling_stops_what_is_not_settled(status: Status) -> None:
    """Cancelling leaves a reviewed document reviewed and what was spent spent."""
    done = (Progress.REVIEWED, Progress.FAILED, Progress.WAITING, Progress.QUEUED)
    task = task_at(status, documents=4).model_copy(update={"progress": done, "spent": 5})
    after = cancel(task, "ann", "a mistake").task
    assert after.progress == (Progress.REVIEWED, Progress.FAILED, Progress.CANCELLED, Progress.CANCELLED)
    assert (after.status, after.reason, after.spent) == (Status.CANCELLED, "a mistake", 5)


def test_cancelling_twice_is_cancelling_once() -> None:
    """A second cancellation changes nothing, not even the reason."""
    once = cancel(placed_task(), "ann", "a mistake").task
    again = cancel(once, "bob", "another")
    assert again.nothing
    assert again.task == once


@pytest.mark.parametrize("status", sorted(OVER - {Status.CANCELLED}))
def test_what_is_over_cannot_be_cancelled(status: Status) -> None:
    """Cancelling a task that ended otherwise is refused."""
    with pytest.raises(Permanent) as refused:
        cancel(task_at(status), "ann", "too late")
    assert refused.value.code == "already-over"


def settled(task: Task, *outcomes: DocumentReviewed | DocumentFailed) -> tuple[Task, list[str]]:
    """Return the task after its documents' ends, and what was said on the way."""
    said: list[Fact] = []
    for outcome in outcomes:
        decision = settle(task, outcome)
        task, said = decision.task, [*said, *decision.facts]
    return task, [fact.type for fact in said]


def running(documents: int) -> Task:
    """Return a task whose documents are at work, and which cost something already."""
    return task_at(Status.RUNNING, documents=documents).model_copy(update={"spent": 23})


def test_the_last_document_completes_the_task() -> None:
    """The task goes on until its last document is settled, and ends in the same decision as that one."""
    first, said = settled(running(2), reviewed(1))
    assert (first.status, said) == (Status.RUNNING, ["document.reviewed"])
    last, said = settled(first, reviewed(0))
    assert (last.status, said) == (Status.COMPLETED, ["document.reviewed", "task.completed"])
    assert (first.spent, last.spent) == (23, 23)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_mixed_outcomes_complete_the_task_and_are_counted(order: tuple[int, int, int]) -> None:
    """One reviewed document is enough for a completed task, whichever came last."""
    ends = (reviewed(0), failed(1), failed(2))
    task = running(3)
    for number in order[:-1]:
        task = settle(task, ends[number]).task
    end = settle(task, ends[order[-1]]).facts[-1]
    assert end.model_dump() == {"reviewed": 1, "failed": 2, "cost_micro_usd": 23, "lines": 0}


def test_a_task_without_any_review_failed() -> None:
    """When every document failed the task failed, for the last one's reason."""
    task, said = settled(running(2), failed(0, "first"), failed(1, "second"))
    assert (task.status, task.reason, said[-1]) == (Status.FAILED, "second", "task.failed")


@pytest.mark.parametrize("again", [reviewed(0), failed(0)])
def test_a_document_is_settled_once(again: DocumentReviewed | DocumentFailed) -> None:
    """Whatever is said of a settled document later changes nothing, before and after the task's end."""
    half = settle(running(2), reviewed(0)).task
    assert settle(half, again).nothing
    whole = settle(half, failed(1)).task
    assert settle(whole, again).nothing
    assert is_settled(half, 0)
    assert not is_settled(half, 1)


def test_a_document_may_fail_before_its_first_step() -> None:
    """A document whose pipeline never began can still be given up."""
    task, said = settled(placed_task(1), failed(0))
    assert (task.status, said) == (Status.FAILED, ["document.failed", "task.failed"])


def test_a_document_without_any_step_cannot_be_reviewed() -> None:
    """A conclusion without work is refused."""
    with pytest.raises(Permanent) as refused:
        settle(placed_task(1), reviewed(0))
    assert refused.value.code == "illegal-move"
