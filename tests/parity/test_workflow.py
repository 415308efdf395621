"""One workflow table, three readers: the rendered state machine, the orchestrators, and the same document on both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from azure.fabric import names
from azure.fabric.handlers.activities import _asks
from azure.fabric.handlers.review import Backoff, approval_checkpoint_v1, review_document_v1
from local import asl
from local.clock import VirtualClock
from shared.app.findings import findings
from shared.core import workflow as workflows
from shared.core.approval import ApprovalPolicy, Level
from shared.core.completion import Completion, Prompt
from shared.core.workflow import DOCUMENT_REVIEW, WORKFLOWS, Checkpoint, Retry, Workflow
from shared.errors import Permanent, Transient
from shared.events.catalog import AnyEvent
from shared.events.document import DocumentRef
from shared.ports import Documents, Models, Ports
from shared.render import asl as rendered
from tests.local.stage import ASKING, INVOICE, MIT, PLAIN, UNCLEAR, Fabric, fabric, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
FLOWS = pytest.mark.parametrize("flow", WORKFLOWS.values(), ids=list(WORKFLOWS))

Json = dict[str, Any]

# The state machine and the table


def walked(definition: Json) -> list[str]:
    """Return the states a document passes when nothing fails and nobody is asked."""
    states, name = definition["States"], definition["StartAt"]
    passed = [name]
    while following := states[name].get("Next") or states[name].get("Default"):
        name = following
        passed.append(name)
    return passed


def work_of(state: Json) -> Json:
    """Return what a step's state says, in the table's words."""
    (retry,), (catch,) = state["Retry"], state["Catch"]
    return {
        "step": state["Parameters"]["step"],
        "fallback": state["Parameters"].get("fallback", False),
        "timeout": state["TimeoutSeconds"],
        "retry": Retry(
            attempts=1 + retry["MaxAttempts"],
            interval=retry["IntervalSeconds"],
            backoff=retry["BackoffRate"],
            max_interval=retry["MaxDelaySeconds"],
        ),
        "on failure": catch["Next"],
        "result": state["ResultPath"],
    }


@FLOWS
def test_a_document_passes_the_tables_steps(flow: Workflow) -> None:
    """From its start the state machine leads through the table's steps, in their order, to the record."""
    definition = rendered(flow)
    *steps, choice, record, end = walked(definition)
    assert [definition["States"][name]["Parameters"]["step"] for name in steps] == [step.name for step in flow.steps]
    assert (choice, record, definition["States"][end]["Type"]) == ("NeedsApproval", "Record", "Succeed")
    assert definition["TimeoutSeconds"] == flow.timeout


@FLOWS
def test_a_step_is_tried_as_the_table_says(flow: Workflow) -> None:
    """Each step has the table's attempts, pauses, limit and fallback, and so has the fallback, but for another."""
    definition = rendered(flow)
    for name, step in zip(walked(definition), flow.steps, strict=False):
        said = {"step": step.name, "timeout": step.timeout, "retry": step.retry, "result": f"$.results.{step.name}"}
        spare = f"{name}Fallback"
        lost = spare if step.fallback else "RecordFailure"
        assert work_of(definition["States"][name]) == {**said, "fallback": False, "on failure": lost}
        assert (spare in definition["States"]) == (step.fallback is not None)
        if step.fallback:
            second = definition["States"][spare]
            assert work_of(second) == {**said, "fallback": True, "on failure": "RecordFailure"}
            assert second["Next"] == definition["States"][name]["Next"]


@FLOWS
def test_a_human_is_asked_where_the_table_says(flow: Workflow) -> None:
    """The state machine ends early, for the orchestrator to ask, exactly where the table's checkpoint is true."""
    definition = rendered(flow)
    assert definition["States"]["NeedsApproval"]["Choices"] == [
        {"Variable": f"$.results.{flow.checkpoint.when}", "BooleanEquals": True, "Next": "AwaitsApproval"}
    ]
    assert definition["States"]["AwaitsApproval"] == {"Type": "Succeed"}


def asked_by_machine(flow: Workflow, results: Json) -> bool:
    """Run the state machine from its checkpoint on; tell whether it left the document to somebody."""
    recorded: list[object] = []

    def record(_: str, payload: object) -> Json:
        recorded.append(payload)
        return {}

    given = {"tenant": "acme", "task": "t1", "document": 0, "results": results}
    states = {
        name: rendered(flow)["States"][name] for name in ("NeedsApproval", "AwaitsApproval", "Record", "Recorded")
    }
    machine = asl.compile({"StartAt": "NeedsApproval", "States": states})
    assert machine.run(given, name="t1", invoke=record, clock=VirtualClock()).status == "SUCCEEDED"
    return not recorded


ELSEWHERE = replace(
    DOCUMENT_REVIEW,
    name="elsewhere",
    checkpoint=replace(DOCUMENT_REVIEW.checkpoint, when="classify.doubtful"),
)


@pytest.mark.parametrize("flow", [DOCUMENT_REVIEW, ELSEWHERE], ids=lambda flow: flow.name)
@pytest.mark.parametrize("value", [True, False, None, 1, 0, "true", "", [], {}])
def test_both_clouds_read_the_checkpoint_alike(flow: Workflow, value: object) -> None:
    """State machine and review agree on who must be asked, at whichever result the table's checkpoint looks."""
    step, field = flow.checkpoint.when.split(".")
    results = {step: {field: value}}
    assert _asks(flow, {"results": results}) == asked_by_machine(flow, results) == (value is True)


# The orchestrators and the table


@dataclass
class Context:
    """What an orchestrator asks of its engine; this one only takes down the first activity."""

    given: Json

    def get_input(self) -> Json:
        """Return the input."""
        return self.given

    @staticmethod
    def call_activity_with_retry(name: str, retry: Backoff, _given: Json) -> tuple[str, Json]:
        """Return what was asked for."""
        return name, retry.to_json()


@pytest.mark.parametrize("flow", [DOCUMENT_REVIEW, replace(DOCUMENT_REVIEW, name="hasty", pipeline_retry=Retry(2))])
def test_a_review_takes_its_retries_from_the_table(flow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's pipeline and its checkpoint are tried as the workflow that the input names says."""
    monkeypatch.setattr(workflows, "WORKFLOWS", {flow.name: flow})
    given = {"tenant": "acme", "task": "t1", "run": 1, "workflow": flow.name, "document": 0}
    pipeline, asking = next(review_document_v1(Context(given))), next(approval_checkpoint_v1(Context(given)))
    assert pipeline == (names.RUN_PIPELINE, Backoff(flow.pipeline_retry).to_json())
    assert asking == (names.REQUEST_APPROVAL, Backoff(flow.bookkeeping_retry).to_json())
    assert pipeline[1]["maxNumberOfAttempts"] == flow.pipeline_retry.attempts


# The same document on both clouds

Adjust = Callable[[Ports], Ports]
WHOEVER = PLAIN.replace("unknown_needs_approval = false", "unknown_needs_approval = true")
ALONE, IN_A_BATCH, MAY_ASK = (PLAIN, ""), (PLAIN, "batch"), (WHOEVER, "batch")
_PLACE = {"document", "left_micro_usd", "cloud", "call", "at"}  # and what the task has left beside the others


def healthy(ports: Ports) -> Ports:
    """Leave everything as it is."""
    return ports


def reviewed(folder: Path, how: tuple[str, str], adjust: Adjust = healthy) -> tuple[str, list[tuple[str, Json]]]:
    """Review the folder's a.txt, alone or with its neighbour; return the cloud and what was said of the document."""
    taxonomy, entity = how
    with fabric(adjust=adjust) as opened:
        found = opened.review(folder if entity else folder / "a.txt", taxonomy, entity=entity)
        item = found["a.txt"]
        task = opened.task(item.task)
        told = opened.told(task.entity)
        assert opened.dead_letters() == []
        return str(task.placed_on), [said(event) for event in told if position(event) == item.position]


def position(event: AnyEvent) -> int | None:
    """Return the position of the document that an event is about, if it is about one."""
    found: int | None = getattr(event.data, "document", None)
    return found


def said(event: AnyEvent) -> tuple[str, Json]:
    """Return what an event says, without which document of its task it says it of."""
    return event.type, event.data.model_dump(mode="json", exclude=_PLACE)


def without_taxonomy(facts: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
    """Leave out the digests of what steps were given: the taxonomy is part of it."""
    return [(kind, {name: fact[name] for name in fact if name != "input_sha256"}) for kind, fact in facts]


def neighbours(folder: Path, content: str | bytes) -> Path:
    """Write the document and a neighbour into a folder."""
    return write_corpus(folder, {"a.txt": content, "z.txt": MIT})


@pytest.mark.parametrize("content", [MIT, UNCLEAR, INVOICE, f"<html><body><p>{MIT}</p></body></html>"])
def test_a_document_is_reviewed_alike_on_both_clouds(tmp_path: Path, content: str) -> None:
    """Reviewed alone on AWS and in a batch on Azure, a document has the same facts in the same order."""
    folder = neighbours(tmp_path, content)
    aws, azure = reviewed(folder, ALONE), reviewed(folder, IN_A_BATCH)
    assert (aws[0], azure[0]) == ("aws", "azure")
    assert aws[1] == azure[1]
    assert aws[1][-1][0] == "document.reviewed"


def test_who_may_be_asked_but_is_not_changes_nothing(tmp_path: Path) -> None:
    """A document that a taxonomy could ask for, and does not, has the facts of one that nobody could be asked for."""
    folder = neighbours(tmp_path, MIT)
    aws, azure = reviewed(folder, ALONE), reviewed(folder, MAY_ASK)
    assert (aws[0], azure[0]) == ("aws", "azure")
    assert without_taxonomy(aws[1]) == without_taxonomy(azure[1])


@dataclass(frozen=True)
class Failing:
    """Models that fail one purpose, always in the same way."""

    purpose: str
    error: Exception
    inner: Models

    def complete(self, prompt: Prompt) -> Completion:
        """Answer, or fail."""
        if prompt.purpose == self.purpose:
            raise self.error
        return self.inner.complete(prompt)


@dataclass(frozen=True)
class Locked:
    """Documents among which one cannot be read."""

    error: Exception
    inner: Documents

    def read(self, ref: DocumentRef) -> bytes:
        """Read, or fail."""
        if ref.name == "a.txt":
            raise self.error
        return self.inner.read(ref)

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Write."""
        return self.inner.write(content, media_type, name)


def failing(purpose: str, error: Exception) -> Adjust:
    """Let the models fail a purpose."""
    return lambda ports: replace(ports, models=Failing(purpose, error, ports.models))


def locked(error: Exception) -> Adjust:
    """Let the document be out of reach."""
    return lambda ports: replace(ports, documents=Locked(error, ports.documents))


CANARY = "xylophone7canary"
REFUSES = Permanent("the model refuses", code="refused")
BUSY = Transient("too much at once")


@pytest.mark.parametrize("error", [REFUSES, BUSY, ZeroDivisionError(CANARY)], ids=lambda error: type(error).__name__)
def test_both_clouds_fall_back_alike(tmp_path: Path, error: Exception) -> None:
    """A summary that cannot be had is replaced by the table's fallback on both clouds, after the same attempts."""
    folder = neighbours(tmp_path, MIT)
    aws, azure = (reviewed(folder, how, failing("summarise", error)) for how in (ALONE, IN_A_BATCH))
    assert (aws[0], azure[0]) == ("aws", "azure")
    assert aws[1] == azure[1]
    tools = [fact["tool"] for kind, fact in aws[1] if kind == "step.started" and fact["step"] == "summarise"]
    step = DOCUMENT_REVIEW.step("summarise")
    attempts = step.retry.attempts if isinstance(error, Transient) else 1
    assert tools == [step.tool] * attempts + [step.fallback]
    assert aws[1][-1][0] == "document.reviewed"


DEFECT = ZeroDivisionError(CANARY)
ENDINGS: Mapping[str, tuple[str | bytes, Adjust, tuple[str, str]]] = {
    "nothing to extract": ("   ", healthy, ("extract", "empty")),
    "no text": (bytes(range(256)) * 9, healthy, ("extract", "binary")),
    "a document out of reach": (MIT, locked(BUSY), ("extract", "attempts-used-up")),
    "a defect in extract": (MIT, locked(DEFECT), ("extract", "internal")),
    "a refusal": (MIT, failing("classify", REFUSES), ("classify", "refused")),
    "no attempt left": (MIT, failing("classify", BUSY), ("classify", "attempts-used-up")),
    "a defect": (MIT, failing("classify", DEFECT), ("classify", "internal")),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_both_clouds_fail_alike(tmp_path: Path, ending: str) -> None:
    """A document that cannot be reviewed fails at the same step, with the same code and reason, on both clouds."""
    content, adjust, expected = ENDINGS[ending]
    folder = neighbours(tmp_path, content)
    aws, azure = (reviewed(folder, how, adjust) for how in (ALONE, IN_A_BATCH))
    assert (aws[0], azure[0]) == ("aws", "azure")
    assert aws[1] == azure[1]
    kind, failed = aws[1][-1]
    assert (kind, failed["step"], failed["code"]) == ("document.failed", *expected)
    assert failed["reason"]
    assert CANARY not in failed["reason"]


# Whom the orchestrator asks

POLICIES = {
    "the table's": DOCUMENT_REVIEW.checkpoint.policy,
    "another": ApprovalPolicy(
        levels=(Level(approvers=("lawyer", "owner"), wait=77), Level(approvers=("judge",), wait=5))
    ),
}


def asked(opened: Fabric, entity: str) -> dict[int, AnyEvent]:
    """Return the approvals that were asked for, by document."""
    return {event.data.document: event for event in opened.told(entity) if event.type == "approval.requested"}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_human_is_asked_exactly_when_the_checkpoint_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    """Those documents wait whose checkpoint is true, and no other, for the table's approvers until its deadline."""
    point = Checkpoint(DOCUMENT_REVIEW.checkpoint.when, POLICIES[policy])
    flow = replace(DOCUMENT_REVIEW, checkpoint=point)
    monkeypatch.setattr(workflows, "WORKFLOWS", {flow.name: flow})
    folder = write_corpus(tmp_path, {"a.txt": INVOICE, "b.txt": MIT, "c.txt": f"{INVOICE} Thank you.", "d.txt": ""})
    with fabric() as opened:
        review = opened.submit(folder, ASKING, entity="mixed")
        opened.engine.work(patience=1.0)
        task = opened.task(review.items[0].task)
        seen = asked(opened, "mixed")
        true = {number for number in range(3) if findings(opened.engine.ports, task, number).asks}
    assert set(seen) == true == {0, 2}
    for event in seen.values():
        first = POLICIES[policy].levels[0]
        assert event.data.approvers == first.approvers
        assert event.data.deadline == event.time + timedelta(seconds=first.wait)
