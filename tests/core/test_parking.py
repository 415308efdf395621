"""Parking a task and letting it go on: from every status, twice, and while other things happen to it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.core.task import (
    OVER,
    Progress,
    Status,
    Task,
    cancel,
    check_open,
    check_running,
    evolve,
    park,
    place,
    resume,
    settle,
)
from shared.errors import Permanent
from shared.events.task import ParkedFor, TaskParked, TaskPlaced, TaskResumed
from tests.core.given import NOON, facts, failed, new_task, placed_task, reviewed, task_at

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = NOON + timedelta(minutes=5)
GOING = (Status.ADMITTED, Status.PLACED, Status.RUNNING)
CODES: tuple[ParkedFor, ...] = ("budget", "quota", "throttled", "preempted", "stopped")
ASKS = ("approval.requested", "approval.escalated", "approval.decided", "approval.expired")


def parked(documents: int = 1, progress: Progress = Progress.RUNNING, code: ParkedFor = "throttled") -> Task:
    """Return a running task that was parked."""
    return park(task_at(Status.RUNNING, progress, documents), code, "too many calls", NOON, LATER).task


def waits_for(task: Task) -> tuple[object, ...]:
    """Return what the task says about its waiting."""
    return task.parked_for, task.parked_at, task.parked_until


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("status", GOING)
def test_what_goes_on_can_be_parked(status: Status, code: ParkedFor) -> None:
    """A task that is admitted, placed or running gives its place back, and says what for, since when, until when."""
    task = task_at(status, Progress.RUNNING, documents=2)
    decision = park(task, code, "it has to wait", NOON, LATER)
    assert decision.facts == (
        TaskParked(code=code, reason="it has to wait", run=1, until=LATER, left_micro_usd=decision.task.left),
    )
    after = decision.task
    assert (after.status, after.reason, waits_for(after)) == (Status.PARKED, "it has to wait", (code, NOON, LATER))
    assert (after.progress, after.run, after.spent) == (task.progress, task.run, task.spent)


@pytest.mark.parametrize("status", sorted(set(Status) - set(GOING)))
def test_nothing_else_can_be_parked(status: Status) -> None:
    """A task that waits already, is over or is not admitted yet stays as it is."""
    task = task_at(status)
    decision = park(task, "quota", "it has to wait", NOON)
    assert decision.nothing
    assert decision.task == task


def test_parking_twice_is_parking_once() -> None:
    """The second reason to wait changes neither the first nor since when it holds."""
    once = parked()
    again = park(once, "stopped", "another reason", LATER)
    assert again.nothing
    assert again.task == once


def test_a_parked_task_may_wait_for_nobody_knows_how_long() -> None:
    """When nobody knows when to look again, none is said."""
    decision = park(placed_task(), "budget", "used up", NOON)
    assert decision.facts == (TaskParked(code="budget", reason="used up", run=1, left_micro_usd=decision.task.left),)
    assert waits_for(decision.task) == ("budget", NOON, None)


def test_a_parked_task_goes_on_as_its_next_run() -> None:
    """Resuming counts the run, adds the money that was granted, and forgets that the task waited."""
    task = parked(documents=2).model_copy(update={"spent": 7, "lines": 3})
    decision = resume(task, "granted", more=500)
    assert decision.facts == (
        TaskResumed(reason="granted", run=2, budget_micro_usd=task.budget + 500, left_micro_usd=task.left + 500),
    )
    after = decision.task
    assert (after.status, after.run, after.budget) == (Status.ADMITTED, 2, task.budget + 500)
    assert (after.reason, waits_for(after)) == ("", (None, None, None))
    assert (after.progress, after.spent, after.lines) == (task.progress, 7, 3)
    assert after.run_id != task.run_id


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.PARKED}))
def test_only_a_parked_task_is_resumed(status: Status) -> None:
    """Resuming a task that does not wait changes nothing: no run is counted and no money added."""
    task = task_at(status)
    decision = resume(task, "again", more=500)
    assert decision.nothing
    assert decision.task == task


def test_a_resumed_task_is_placed_again() -> None:
    """The next run is placed like the first, under its own number."""
    task = resume(parked(documents=2), "again").task
    (fact,) = place(task).facts
    assert isinstance(fact, TaskPlaced)
    assert (fact.run, fact.documents) == (2, 2)


def test_a_resumed_task_can_be_parked_again() -> None:
    """Every run can be parked, before it is placed and after, and each says which one it was."""
    task = placed_task()
    for run in (1, 2, 3):
        decision = park(task, "preempted", "urgent work waits", NOON)
        assert decision.facts == (
            TaskParked(code="preempted", reason="urgent work waits", run=run, left_micro_usd=decision.task.left),
        )
        task = resume(decision.task, "its turn").task
    assert (task.run, task.status) == (4, Status.ADMITTED)


def test_cancelling_ends_the_waiting() -> None:
    """A parked task that is cancelled is over, waits for nothing, and does not go on."""
    decision = cancel(parked(documents=2), "ann", "a mistake")
    after = decision.task
    assert [fact.type for fact in decision.facts] == ["task.cancelled"]
    assert (after.status, after.reason, waits_for(after)) == (Status.CANCELLED, "a mistake", (None, None, None))
    assert after.progress == (Progress.CANCELLED,) * 2
    assert resume(after, "too late", more=500).nothing
    assert park(after, "quota", "too late", NOON).nothing


@pytest.mark.parametrize("between", ["parked", "resumed"])
def test_a_document_may_settle_between_two_runs(between: str) -> None:
    """What was under way when its task was parked still ends its document; the task waits on for the others."""
    task = parked(documents=2)
    task = task if between == "parked" else resume(task, "again").task
    decision = settle(task, reviewed(1))
    assert [fact.type for fact in decision.facts] == ["document.reviewed"]
    assert decision.task == task.model_copy(update={"progress": (Progress.RUNNING, Progress.REVIEWED)})


@pytest.mark.parametrize(("well", "end"), [(True, Status.COMPLETED), (False, Status.FAILED)])
@pytest.mark.parametrize("between", ["parked", "resumed"])
def test_the_last_document_ends_a_task_between_two_runs(well: bool, end: Status, between: str) -> None:  # noqa: FBT001
    """A task whose last document settles while it waits is over, and waits for nothing any more."""
    task = parked(documents=1)
    task = task if between == "parked" else resume(task, "again").task
    after = settle(task, reviewed(0) if well else failed(0)).task
    assert (after.status, waits_for(after)) == (end, (None, None, None))
    assert after.reason == ("" if well else "there is no text in it")
    assert resume(after, "too late").nothing


@pytest.mark.parametrize(
    ("kind", "then"),
    [
        ("approval.decided", Progress.DECIDED),
        ("approval.expired", Progress.DECIDED),
        ("approval.escalated", Progress.WAITING),
    ],
)
def test_a_human_may_decide_while_the_task_is_parked(kind: str, then: Progress) -> None:
    """An approval moves its document on while the task waits, and the task waits on as before."""
    task = parked(progress=Progress.WAITING)
    after = evolve(task, facts()[kind])
    assert after == task.model_copy(update={"progress": (then,)})


@pytest.mark.parametrize("kind", ASKS)
@pytest.mark.parametrize("progress", sorted(Progress))
def test_asking_about_the_budget_moves_no_document(kind: str, progress: Progress) -> None:
    """An approval of money names the document whose step needs it, and leaves it where it is."""
    fact = facts()[kind].model_copy(update={"about": "budget"})
    task = parked(progress=progress, code="budget")
    assert evolve(task, fact) == task


@pytest.mark.parametrize("status", sorted(OVER))
@pytest.mark.parametrize("check", [check_open, check_running])
def test_what_is_over_is_neither_open_nor_running(status: Status, check: Callable[[Task], None]) -> None:
    """Nobody works or decides for a task that is over."""
    with pytest.raises(Permanent) as refused:
        check(task_at(status))
    assert refused.value.code == "task-over"


@pytest.mark.parametrize("status", [Status.PARKED, Status.ADMITTED])
def test_who_works_for_a_parked_task_stops(status: Status) -> None:
    """A task that waits, or waits to be placed again, is open to decisions, and no step of it starts."""
    task = parked() if status is Status.PARKED else resume(parked(), "again").task
    check_open(task)
    with pytest.raises(Permanent, match=r"too many calls|not placed yet") as refused:
        check_running(task)
    assert (task.status, refused.value.code) == (status, "task-parked")


@pytest.mark.parametrize("status", [Status.PLACED, Status.RUNNING])
def test_a_task_that_runs_may_work(status: Status) -> None:
    """A placed or running task passes both checks, also after a pause."""
    check_open(task_at(status))
    check_running(task_at(status))
    check_running(place(resume(parked(), "again").task).task)


def test_a_task_that_was_never_admitted_does_not_wait() -> None:
    """What a new task says of its waiting is nothing."""
    assert waits_for(new_task()) == (None, None, None)
