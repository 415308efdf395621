"""Reviews from the queue's message to the last record, by the real SDK in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from azure.fabric import names
from shared.app import approvals as asking
from shared.core import workflow as workflows
from shared.core.stepping import Call
from shared.core.task import Progress, Status
from shared.core.workflow import Retry
from shared.errors import Permanent, Transient
from tests.azure.stage import NOON, Script, Stage, begin

REVIEW = "t1.1"
MakeStage = Callable[[Script], Stage]


def test_a_batch_without_questions_ends_reviewed(stage_for: MakeStage) -> None:
    """A batch that needs no human is reviewed to the end in one go, each document by a pipeline of its own name."""
    stage = stage_for(Script())
    stage.place(3)
    stage.settle()
    assert stage.task().status is Status.COMPLETED
    assert stage.script.names == ["t1.1-0", "t1.1-1", "t1.1-2"]
    done = {"task": "t1", "run": 1, "documents": 3, "outcomes": {"recorded": 3}}
    assert stage.status(REVIEW) == ("Completed", done)


def test_more_documents_than_a_slice_are_all_reviewed(stage_for: MakeStage) -> None:
    """More documents than run at once are reviewed slice after slice."""
    stage = stage_for(Script(asks=frozenset({1, 59})))
    stage.place(60)
    stage.settle()
    assert stage.task().waiting == 2
    assert stage.task().progress.count(Progress.REVIEWED) == 58


def test_a_document_that_fails_leaves_the_others_alone(stage_for: MakeStage) -> None:
    """A document whose pipeline fails for good ends as failed, with its reason, while the others are reviewed."""
    stage = stage_for(Script(failures={1: [Permanent("the PDF is encrypted", code="encrypted")]}))
    stage.place(3)
    stage.settle()
    assert stage.task().progress == (Progress.REVIEWED, Progress.FAILED, Progress.REVIEWED)
    (failed,) = stage.events("document.failed")
    assert (failed.data.code, failed.data.reason) == ("encrypted", "the PDF is encrypted")
    assert stage.status(REVIEW)[1]["outcomes"] == {"failed": 1, "recorded": 2}


def test_a_passing_failure_is_tried_again_with_growing_pauses(stage_for: MakeStage) -> None:
    """A pipeline that is busy is tried again after 1, 2 and 4 seconds, as the workflow table says."""
    stage = stage_for(Script(failures={0: [Transient("busy")] * 3}))
    stage.place(2)
    stage.wait(seconds=6.9)
    assert stage.task().progress[0] is Progress.QUEUED
    stage.wait(seconds=0.2)
    assert stage.task().status is Status.COMPLETED
    assert stage.script.names.count("t1.1-0") == 4


def test_a_failure_that_does_not_pass_is_noted(stage_for: MakeStage) -> None:
    """A pipeline that is busy at every attempt fails its document after as many attempts as the table has."""
    stage = stage_for(Script(failures={0: [Transient("busy")] * 99}))
    stage.place(2)
    stage.wait(minutes=10)
    (failed,) = stage.events("document.failed")
    assert failed.data.code == "attempts-used-up"
    assert stage.script.names.count("t1.1-0") == workflows.DOCUMENT_REVIEW.pipeline_retry.attempts
    assert stage.task().status is Status.COMPLETED


@pytest.mark.parametrize(("began", "step"), [(["extract"], "extract"), ([], "pipeline")])
def test_a_pipeline_that_is_lost_names_the_step_it_was_at(stage_for: MakeStage, began: list[str], step: str) -> None:
    """A pipeline that never says how it ended fails its document at the step it had begun, if it had begun one."""
    stage = stage_for(Script(failures={0: [Transient("timed out")] * 99}))
    task = stage.place(2)
    for name in began:
        begin(stage.ports, task, Call(0, name, {}))
    stage.wait(minutes=10)
    (failed,) = stage.events("document.failed")
    assert (failed.data.step, failed.data.code) == (step, "attempts-used-up")


CANARY = "the secret text of a document"


def test_an_unforeseen_failure_keeps_its_text_to_itself(stage_for: MakeStage, caplog: pytest.LogCaptureFixture) -> None:
    """A defect fails its document under its type's name; neither event, history nor log has its text."""
    stage = stage_for(Script(failures={0: [ValueError(CANARY)] * 99}))
    stage.place(2)
    stage.wait(minutes=10)
    (failed,) = stage.events("document.failed")
    assert failed.data.reason == "Activity function 'run_pipeline' failed: UnforeseenError: ValueError"
    written = " ".join(stage.host.hub.history(names.document(REVIEW, 0)))
    assert "UnforeseenError: ValueError" in written
    assert CANARY not in caplog.text + failed.model_dump_json() + written
    assert "unexpected ValueError at" in caplog.text


def test_a_defect_at_a_checkpoint_keeps_its_text_to_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect in what a checkpoint writes is tried again under its type's name alone, and passes when it is mended."""

    def broken(*_: object, **__: object) -> None:
        raise LookupError(CANARY)

    stage.place(2)
    with monkeypatch.context() as defect:
        defect.setattr(asking, "request_approval", broken)
        stage.settle()
    assert "unexpected LookupError at" in caplog.text
    assert CANARY not in caplog.text + " ".join(stage.host.hub.history(names.checkpoint(REVIEW, 0)))
    stage.wait(minutes=1)
    assert stage.task().progress[0] is Progress.WAITING


def use(monkeypatch: pytest.MonkeyPatch, **retries: Retry) -> None:
    """Let the flagship workflow retry otherwise."""
    changed = replace(workflows.DOCUMENT_REVIEW, **retries)  # type: ignore[arg-type]  # retries only
    monkeypatch.setattr(workflows, "WORKFLOWS", {changed.name: changed})


def test_a_pipeline_is_tried_as_its_workflow_says(stage_for: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another entry in the workflow table is another number of attempts, with other pauses."""
    use(monkeypatch, pipeline_retry=Retry(attempts=2, interval=20.0))
    stage = stage_for(Script(failures={0: [Transient("busy")] * 9}))
    stage.place(2)
    stage.wait(seconds=19)
    assert stage.script.names.count("t1.1-0") == 1
    stage.wait(minutes=5)
    assert stage.script.names.count("t1.1-0") == 2
    assert [event.data.code for event in stage.events("document.failed")] == ["attempts-used-up"]


def test_bookkeeping_is_tried_as_its_workflow_says(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a checkpoint writes is tried as often as the workflow table says."""
    tried: list[object] = []

    def busy(*asked: object, **_: object) -> None:
        tried.append(asked)
        raise Transient("the store is away")

    use(monkeypatch, bookkeeping_retry=Retry(attempts=3, interval=10.0, backoff=1.0))
    monkeypatch.setattr(asking, "request_approval", busy)
    stage.place(2)
    stage.wait(seconds=19)
    assert len(tried) == 2
    stage.wait(minutes=5)
    assert len(tried) == 3
    assert [event.data.code for event in stage.events("document.failed")] == ["attempts-used-up"]


def test_a_review_that_began_before_workflows_had_names_goes_on(stage_for: MakeStage) -> None:
    """A review whose input names no workflow is one of documents."""
    stage = stage_for(Script())
    stage.place(2)
    given = {"tenant": "local", "task": "t1", "run": 1, "documents": 2}
    stage.host.hub.start(names.REVIEW, REVIEW, json.dumps(given))
    stage.settle()
    assert stage.task().status is Status.COMPLETED


def test_the_workflow_travels_with_the_input(stage: Stage) -> None:
    """Reviews, documents and checkpoints are told the name of the workflow, which a replay finds again."""
    stage.place(2)
    stage.settle()
    for instance in (REVIEW, names.document(REVIEW, 1), names.checkpoint(REVIEW, 0)):
        found = stage.host.hub.status(instance)
        assert found is not None
        assert found.input is not None
        assert json.loads(found.input)["workflow"] == "document-review"


def test_an_approved_document_is_recorded(stage: Stage) -> None:
    """A vote wakes the waiting document at once, which is recorded with the verdict and who gave it."""
    stage.place(2)
    stage.settle()
    assert stage.task().progress == (Progress.WAITING, Progress.REVIEWED)
    assert stage.say("approved", "bob:reviewer", stage.approval()) == 200
    stage.settle()
    reviewed = {event.data.document: event.data for event in stage.events("document.reviewed")}
    assert (reviewed[0].verdict, reviewed[0].decided_by) == ("approved", ("bob",))
    assert reviewed[1].verdict == "automatic"
    assert stage.task().status is Status.COMPLETED
    assert stage.clock.at == NOON
    assert stage.status(REVIEW)[1]["outcomes"] == {"approved": 1, "recorded": 1}


def test_a_review_says_how_many_documents_wait(stage: Stage) -> None:
    """The custom status of a review tells how many of its documents wait for a human."""
    stage.place(2)
    stage.settle()
    found = stage.host.hub.status(REVIEW)
    assert found is not None
    assert found.custom_status == '{"documents": 2, "waiting": 1}'


def test_messages_may_come_twice(stage: Stage) -> None:
    """Every message of the queue delivered three times leads to the same events as delivered once."""
    stage.place(2)
    stage.settle(times=3)
    assert stage.say("approved", "bob:reviewer", stage.approval()) == 200
    stage.settle(times=3)
    assert len(stage.events("document.reviewed")) == 2
    assert len(stage.events("approval.requested", "approval.decided", "task.completed")) == 3
    assert stage.script.names == ["t1.1-0", "t1.1-1"]


@pytest.mark.parametrize("crashes", [1, 5])
def test_a_host_that_crashes_goes_on_where_it_was(stage: Stage, crashes: int) -> None:
    """A host that is lost again and again, in the middle and while waiting, loses and repeats nothing."""
    stage.place(2)
    stage.deliver()
    while stage.host.hub.run_once():
        for _ in range(crashes):
            stage.crash()
    approval = stage.approval()
    stage.wait(days=2)
    stage.crash()
    assert stage.say("rejected", "bob:reviewer", approval) == 200
    stage.settle()
    assert [event.data.verdict for event in stage.events("document.reviewed")] == ["automatic", "rejected"]
    assert stage.task().status is Status.COMPLETED


def test_cancelling_stops_the_review_and_its_parts(stage: Stage) -> None:
    """A cancelled task's review is terminated together with the checkpoint that waits in it."""
    stage.place(2)
    stage.settle()
    stage.cancel()
    stage.settle()
    assert stage.status(REVIEW)[0] == "Terminated"
    assert stage.status(names.checkpoint(REVIEW, 0))[0] == "Terminated"
    assert stage.host.hub.next_due() is None


def test_a_cancellation_before_the_start_leaves_nothing_running(stage: Stage) -> None:
    """A task that is cancelled before its review starts ends without a question to anybody."""
    stage.place(2)
    stage.cancel()
    stage.wait(minutes=1)
    assert stage.task().status is Status.CANCELLED
    assert stage.events("approval.requested") == []
    assert stage.host.hub.next_due() is None


def test_a_checkpoint_that_hears_of_no_cancellation_ends_by_itself(stage: Stage) -> None:
    """A checkpoint whose task is over, without anybody having stopped it, ends at its next look."""
    stage.place(2)
    stage.settle()
    stage.database.connection.execute("DELETE FROM messages")
    stage.cancel()
    stage.database.connection.execute("DELETE FROM messages")
    stage.wait(days=1)
    assert stage.status(names.checkpoint(REVIEW, 0)) == (
        "Completed",
        {"document": 0, "outcome": "failed", "code": "task-over"},
    )
    assert stage.status(REVIEW)[0] == "Completed"


def test_a_false_alarm_changes_nothing(stage: Stage) -> None:
    """An event without a decision, sent many times, neither decides nor keeps a later decision from being heard."""
    stage.place(2)
    stage.settle()
    approval = stage.approval()
    for _ in range(3):
        stage.host.hub.raise_event(names.checkpoint(REVIEW, 0), names.decided(approval.id), '{"verdict": "approved"}')
        stage.settle()
    assert stage.task().progress[0] is Progress.WAITING
    assert stage.say("approved", "bob:reviewer", approval) == 200
    stage.wait(hours=1)
    assert stage.task().status is Status.COMPLETED


def test_a_forgotten_approval_escalates_and_expires(stage: Stage) -> None:
    """Three silent days ask the owner, four more let the default decide, in virtual time."""
    stage.place(2)
    stage.wait(days=3)
    approval = stage.approval()
    assert (approval.level, approval.approvers) == (1, ("reviewer", "owner"))
    assert approval.deadline == NOON + timedelta(days=7)
    stage.wait(days=4)
    kinds = [event.type for event in stage.events("approval.escalated", "approval.expired", "document.reviewed")]
    assert kinds == ["document.reviewed", "approval.escalated", "approval.expired", "document.reviewed"]
    assert stage.events("document.reviewed")[-1].data.verdict == "rejected"
    assert stage.task().status is Status.COMPLETED
    assert stage.host.hub.next_due() is None
