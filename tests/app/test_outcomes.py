from __future__ import annotations

import pytest

from local.wiring import TENANT
from shared.app.tasks import cancel
from shared.core.task import Progress, Status
from shared.errors import NotFound, Permanent
from tests.app.world import SOURCE, World

TWO = ("Pass it on. Keep the notice.", "Pass that on, too. Keep it.")


def test_a_review_says_what_was_found(world: World) -> None:
    """The conclusion carries label, evidence, summary, verdict and what the document cost."""
    task = world.placed()
    results = world.worked(task)
    world.record(task)
    said = next(event.data for event in world.published() if event.type == "document.reviewed")
    assert (said.label, said.verdict, said.decided_by) == ("Pass", "automatic", ())
    assert said.summary == results["summarise"]["summary"]
    assert [seen.what for seen in said.evidence] == ["its first word"]
    assert said.cost_micro_usd == world.load(task).spent > 0


@pytest.mark.parametrize("order", [("record", "give_up"), ("give_up", "record")])
def test_the_last_document_completes_the_task_once(world: World, order: tuple[str, str]) -> None:
    """Whether the last document is reviewed or fails, the task ends with it, once, and repetitions change nothing."""
    task = world.placed(*TWO)
    for document in (0, 1):
        world.worked(task, document)
    for document, end in enumerate(order):
        assert world.load(task).status is Status.RUNNING
        getattr(world, end)(task, document)
    for document, end in enumerate(order):
        getattr(world, end)(task, document)
    assert world.load(task).status is Status.COMPLETED
    assert world.told(task).count("task.completed") == 1
    end = world.published()[-1].data
    assert (end.reviewed, end.failed, end.cost_micro_usd) == (1, 1, world.load(task).spent)


def test_when_all_documents_fail_the_task_fails(world: World) -> None:
    """A task without a single review failed, for the last document's reason."""
    task = world.placed(*TWO)
    world.give_up(task, 1)
    world.give_up(task, 0, reason="it is encrypted")
    assert (world.load(task).status, world.load(task).reason) == (Status.FAILED, "it is encrypted")
    assert world.told(task)[-3:] == ["document.failed", "document.failed", "task.failed"]


def test_a_document_fails_once(world: World) -> None:
    """Failing a document again changes nothing, not even for another reason."""
    task = world.placed(*TWO)
    world.give_up(task)
    again = world.give_up(task, reason="another")
    assert again.progress == (Progress.FAILED, Progress.QUEUED)
    assert world.told(task).count("document.failed") == 1


@pytest.mark.parametrize("worked", [True, False])
def test_a_document_that_failed_is_not_reviewed_later(world: World, *, worked: bool) -> None:
    """A conclusion after the failure changes nothing, whether or not its steps were done."""
    task = world.placed(*TWO)
    if worked:
        world.worked(task)
    world.give_up(task)
    after = world.record(task)
    assert after.progress[0] is Progress.FAILED
    assert "document.reviewed" not in world.told(task)


def test_a_reviewed_document_does_not_fail_later(world: World) -> None:
    """A failure that comes after the conclusion changes nothing."""
    task = world.placed(*TWO)
    world.worked(task)
    world.record(task)
    assert world.give_up(task).progress[0] is Progress.REVIEWED
    assert "document.failed" not in world.told(task)


def test_a_conclusion_needs_every_step(world: World) -> None:
    """A document whose last step is missing is not concluded."""
    task = world.placed()
    world.worked(task, until="policy")
    with pytest.raises(Permanent) as refused:
        world.record(task)
    assert refused.value.code == "not-ready"
    assert world.load(task).progress == (Progress.RUNNING,)


def test_a_failure_tells_what_was_spent_before(world: World) -> None:
    """A document that fails half-way costs what its steps used, and frees what was set aside."""
    task = world.placed()
    world.worked(task, until="summarise")
    world.models.faults = [RuntimeError("gone")]  # type: ignore[list-item]
    with pytest.raises(RuntimeError):
        world.step(task, "summarise", world.worked(task, until="summarise"))
    world.give_up(task)
    failed = next(event.data for event in world.published() if event.type == "document.failed")
    stored = world.load(task)
    assert failed.cost_micro_usd == stored.spent > 0
    assert (world.lease(task).state, world.lease(task).held) == ("closed", 0)


def test_a_document_waiting_for_a_human_may_fail(world: World) -> None:
    """A review that gives up while people are asked asks them no longer; a vote then comes too late."""
    task, approval = world.asked()
    world.give_up(task)
    assert world.load(task).status is Status.FAILED
    assert world.ports.approvals.pending(TENANT, limit=10) == []
    with pytest.raises(Permanent):
        world.vote(approval)
    assert world.told(task)[-1] == "task.failed"


def test_a_decision_stays_when_its_document_fails(world: World) -> None:
    """What a human decided is not undone by a review that gives up afterwards."""
    task, approval = world.asked()
    world.vote(approval)
    world.give_up(task)
    assert world.approval(task).status == "approved"
    assert world.told(task)[-2:] == ["document.failed", "task.failed"]


def test_nothing_is_settled_after_the_cancellation(world: World) -> None:
    """A cancelled task stays as it was stopped, whatever its pipelines still report."""
    task = world.placed(*TWO)
    world.worked(task)
    cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    stopped = world.load(task)
    assert world.record(task) == stopped
    assert world.give_up(task, 1) == stopped
    assert world.told(task)[-1] == "task.cancelled"


@pytest.mark.parametrize("end", ["record", "give_up"])
def test_only_documents_of_the_task_are_settled(world: World, end: str) -> None:
    """A document that the task has not cannot end it."""
    task = world.placed()
    with pytest.raises(Permanent, match="1 documents, no number 1"):
        getattr(world, end)(task, 1)
    with pytest.raises(NotFound):
        getattr(world, end)(task.model_copy(update={"id": "no-such"}))
