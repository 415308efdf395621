from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aws.adapters import telemetry
from aws.handlers import failure, record, step
from local.wiring import using
from shared.core.task import Progress, Status
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Conflict, Permanent, Transient
from tests.aws.stage import PLAIN, TEXT, http_event, sample

if TYPE_CHECKING:
    from shared.core.completion import Completion, Prompt
    from shared.ports import Models
    from tests.aws.stage import Json, Stage

STEPS = [step.name for step in DOCUMENT_REVIEW.steps]


class Slow:
    """A model that is throttled the first times it is asked for a purpose."""

    def __init__(self, models: Models, purpose: str, times: int) -> None:
        self._models = models
        self._purpose = purpose
        self._times = times

    def complete(self, prompt: Prompt) -> Completion:
        """Answer, or ask for another attempt."""
        if prompt.purpose == self._purpose and self._times:
            self._times -= 1
            raise Transient("slow down", retry_after=7)
        return self._models.complete(prompt)


def step_input(task: Any, name: str = "extract", **changes: Any) -> Json:
    """Return what the state machine gives a step."""
    return {"tenant": task.tenant, "task": task.id, "document": 0, "step": name, "results": {}} | changes


def test_a_document_goes_through_to_its_record(stage: Stage) -> None:
    """The rendered state machine and the real handlers review a document from extraction to conclusion."""
    task = stage.placed(stage.submitted())
    execution = stage.run_pipeline(task)
    assert (execution.status, execution.error) == ("SUCCEEDED", None)
    done = stage.ports.tasks.load(task.tenant, task.id)
    assert (done.status, done.progress) == (Status.COMPLETED, (Progress.REVIEWED,))
    reviewed = next(event.data for event in stage.said(task) if event.type == "document.reviewed")
    assert (reviewed.label, reviewed.verdict) == ("report", "automatic")
    assert done.spent == reviewed.cost_micro_usd > 0


def test_the_state_machine_asks_in_the_tables_order(stage: Stage) -> None:
    """What the handlers are given is the steps of the table in their order, then the conclusion."""
    task = stage.placed(stage.submitted())
    seen: list[tuple[str, Json]] = []
    stage.run_pipeline(task, seen=seen)
    assert [given.get("step") for _, given in seen] == [*STEPS, None]
    assert seen[-1] == ("${RecordFunctionArn}", {"tenant": task.tenant, "task": task.id, "document": 0})


def test_no_log_line_quotes_a_document(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """A review, a failure and a refusal are told in names and codes; no word of the document is among them."""
    canary = "xylophone"
    telemetry._logger().setLevel("INFO")
    for key, text in (("key-1", f"{TEXT} The {canary} report has growth."), ("key-2", "")):
        ref = stage.document(text, canary).model_dump(mode="json")
        stage.run_pipeline(stage.placed(stage.submitted(key=key, entity=key, documents=[ref])))
    stage.submit({"entity": canary, canary: canary})
    telemetry._logger().setLevel("WARNING")
    told = capfd.readouterr()
    assert {json.loads(line)["message"] for line in told.err.splitlines()} == {
        "task submitted",
        "task placed",
        "step done",
        "document reviewed",
        "step failed",
        "document failed",
        "request refused",
    }
    assert canary not in told.err + told.out


def test_running_a_pipeline_twice_pays_once(stage: Stage) -> None:
    """A second execution of a run answers from the journal and changes nothing."""
    task = stage.placed(stage.submitted())
    first = stage.run_pipeline(task)
    written = stage.written()
    assert stage.run_pipeline(task).output == first.output
    assert stage.written() == written


def test_a_document_that_needs_a_human_waits(stage: Stage) -> None:
    """The pipeline of a document that policy wants asked about succeeds and concludes nothing."""
    asking = PLAIN.replace('name = "report"', 'name = "report"\napproval = true')
    taxonomy = stage.document(asking).model_dump(mode="json")
    task = stage.placed(stage.submitted(taxonomy=taxonomy))
    execution = stage.run_pipeline(task)
    assert execution.status == "SUCCEEDED"
    assert execution.output["results"]["policy"]["approval_required"] is True
    assert stage.ports.tasks.load(task.tenant, task.id).progress == (Progress.RUNNING,)


def test_throttling_is_retried_by_the_state_machine(stage: Stage) -> None:
    """A model that is busy twice costs two retries, and the document is reviewed."""
    task = stage.placed(stage.submitted())
    with using(replace(stage.ports, models=Slow(stage.ports.models, "classify", 2))):
        execution = stage.run_pipeline(task)
    assert dict(execution.steps)["Classify"] == 3
    assert stage.ports.tasks.load(task.tenant, task.id).status is Status.COMPLETED


def test_a_step_that_stays_busy_falls_back(stage: Stage) -> None:
    """Where the table names a fallback, the document is reviewed with the fallback's answer."""
    task = stage.placed(stage.submitted())
    with using(replace(stage.ports, models=Slow(stage.ports.models, "summarise", 99))):
        execution = stage.run_pipeline(task)
    assert "SummariseFallback" in dict(execution.steps)
    assert stage.ports.tasks.load(task.tenant, task.id).status is Status.COMPLETED


def test_a_step_that_stays_busy_fails_its_document(stage: Stage) -> None:
    """Without a fallback, attempts that are used up fail the document under that name."""
    task = stage.placed(stage.submitted())
    with using(replace(stage.ports, models=Slow(stage.ports.models, "classify", 99))):
        execution = stage.run_pipeline(task)
    assert (execution.status, execution.error) == ("FAILED", "attempts-used-up")
    failed = next(event.data for event in stage.said(task) if event.type == "document.failed")
    assert (failed.step, failed.code, failed.reason) == ("classify", "attempts-used-up", "no model answered: slow down")


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("file:///../../etc/passwd", "out-of-bounds"),
        ("file:///tmp/%2e%2e/etc/passwd", "out-of-bounds"),
        ("blob:" + "0" * 64, "document-missing"),
        ("ftp://host/file", "unknown-scheme"),
    ],
)
def test_a_document_that_cannot_be_read_fails_with_its_reason(stage: Stage, uri: str, code: str) -> None:
    """The execution's error is the verdict's own code, and the document is failed on record with it."""
    ref = stage.document().model_dump(mode="json") | {"uri": uri}
    task = stage.placed(stage.submitted(documents=[ref]))
    execution = stage.run_pipeline(task)
    assert (execution.status, execution.error) == ("FAILED", code)
    failed = next(event.data for event in stage.said(task) if event.type == "document.failed")
    assert (failed.step, failed.code, failed.reason) == ("extract", code, execution.cause)
    assert stage.ports.tasks.load(task.tenant, task.id).status is Status.FAILED


def test_a_cancelled_task_pays_for_nothing_more(stage: Stage) -> None:
    """The steps of a cancelled task are refused, and noting the failure changes nothing."""
    task = stage.placed(stage.submitted())
    stage.call(http_event("POST /tasks/{id}/cancel", id=task.id))
    spoken = len(stage.said(task))
    execution = stage.run_pipeline(task)
    assert (execution.status, execution.error) == ("FAILED", "task-over")
    assert stage.ports.tasks.load(task.tenant, task.id).spent == 0
    assert len(stage.said(task)) == spoken


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        {},
        {"tenant": "local", "task": "task-1", "document": 0, "step": "extract", "surprise": 1},
        {"tenant": "local", "task": "task-1", "document": -1, "step": "extract"},
        {"tenant": "Local#", "task": "task-1", "document": 0, "step": "extract"},
        {"tenant": "local", "task": "never-was", "document": 0, "step": "extract"},
    ],
)
def test_a_step_nobody_can_do_is_refused_for_good(event: Any) -> None:
    """A step's input that is not in order, or of a task that is not there, is Permanent."""
    with pytest.raises(Permanent) as refused:
        step.handler(event, None)
    assert type(refused.value) is Permanent


def test_an_unknown_step_is_refused_for_good(stage: Stage) -> None:
    """A step that the workflow does not have surfaces as Permanent, with its code leading the message."""
    with pytest.raises(Permanent, match=r"^\[not-found\] no step 'guess'") as refused:
        step.handler(step_input(stage.placed(stage.submitted()), "guess"), None)
    assert type(refused.value) is Permanent


def test_a_lost_race_surfaces_as_transient(stage: Stage) -> None:
    """Step Functions matches errors by class name, so every passing failure has exactly one name."""

    class Racing:
        def load(self, tenant: str, task: str) -> Any:
            raise Conflict(f"{tenant}/{task} moved on")

    racing: Any = Racing()
    with using(replace(stage.ports, tasks=racing)), pytest.raises(Transient) as refused:
        step.handler({"tenant": "local", "task": "t", "document": 0, "step": "extract"}, None)
    assert type(refused.value) is Transient


def test_an_unforeseen_failure_surfaces_without_its_message(stage: Stage) -> None:
    """A defect fails the step for good under the name of its type; its message could quote the document."""

    class Defective:
        def load(self, tenant: str, task: str) -> Any:
            raise ZeroDivisionError(f"{tenant} {task} {TEXT}")

    defective: Any = Defective()
    with using(replace(stage.ports, tasks=defective)), pytest.raises(Permanent) as refused:
        step.handler({"tenant": "local", "task": "t", "document": 0, "step": "extract"}, None)
    assert str(refused.value) == "[internal] unforeseen ZeroDivisionError"
    assert refused.value.__suppress_context__


def test_a_document_without_results_cannot_be_concluded(stage: Stage) -> None:
    """Concluding a review before its steps are done is refused."""
    task = stage.placed(stage.submitted())
    with pytest.raises(Permanent, match="not-ready"):
        record.handler({"tenant": task.tenant, "task": task.id, "document": 0}, None)


def test_the_runtimes_own_words_are_understood(stage: Stage) -> None:
    """What the Lambda runtime says of a failed function becomes the document's code and reason."""
    task = stage.placed(stage.submitted())
    told = {"Error": "Permanent", "Cause": json.dumps(sample("failed_step.json"))}
    event = {"tenant": task.tenant, "task": task.id, "document": 0, "failures": {"extract": told}}
    assert failure.handler(event, None) == {
        "code": "invalid",
        "reason": "surprise: Extra inputs are not permitted",
    }
    failed = next(event.data for event in stage.said(task) if event.type == "document.failed")
    assert (failed.step, failed.code) == ("extract", "invalid")


@pytest.mark.parametrize("failures", [{}, {"guess": {"Error": "Permanent", "Cause": ""}}])
def test_a_failure_of_no_step_is_refused(stage: Stage, failures: Json) -> None:
    """A failure that names no step of the workflow is Permanent, and the document stays as it is."""
    task = stage.placed(stage.submitted())
    with pytest.raises(Permanent):
        failure.handler({"tenant": task.tenant, "task": task.id, "document": 0, "failures": failures}, None)
    assert stage.ports.tasks.load(task.tenant, task.id).progress == (Progress.QUEUED,)
