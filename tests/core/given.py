"""What the tests of the core start from: a task, a document, a fact of each type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.core.task import Progress, Status, Task, place, submit
from shared.core.workflow import DOCUMENT_REVIEW
from shared.events.approval import ApprovalDecided, ApprovalEscalated, ApprovalExpired, ApprovalRequested
from shared.events.catalog import Cause, follow
from shared.events.document import DocumentFailed, DocumentRef, DocumentReviewed, Evidence
from shared.events.record import RecordSkipped
from shared.events.routing import ModelRouted, ModelUnrouted, Refused
from shared.events.step import StepCompleted, StepFailed, StepStarted
from shared.events.task import (
    TaskAdmitted,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskParked,
    TaskPlaced,
    TaskRejected,
    TaskResumed,
    TaskSubmitted,
    TaskThrottled,
)
from shared.events.tool import ToolCalled
from shared.events.usage import UsageCorrected, UsageMetered, UsageSaved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.events.catalog import AnyEvent
    from shared.events.envelope import Fact

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DIGEST = "0" * 64
BUDGET = 700  # micro-USD, of a document


def document(name: str = "LICENSE") -> DocumentRef:
    """Return a reference nobody follows."""
    return DocumentRef(uri=f"blob:{DIGEST}", sha256=DIGEST, size=7, name=name)


def new_task(documents: int = 1, *, may_ask: bool = False, budget: int | None = None) -> Task:
    """Return a task nobody submitted yet."""
    return Task(
        id="t1",
        tenant="acme",
        entity="package:x",
        workflow=DOCUMENT_REVIEW.name,
        documents=tuple(document(f"LICENSE.{position}") for position in range(documents)),
        taxonomy=document("taxonomy.toml"),
        may_ask=may_ask,
        budget=BUDGET * documents if budget is None else budget,
        submitted_by="ann",
        submitted_at=NOON,
    )


def placed_task(documents: int = 1, *, budget: int | None = None) -> Task:
    """Return a task that may start."""
    return place(submit(new_task(documents, budget=budget)).task).task


def task_at(status: Status, progress: Progress = Progress.RUNNING, documents: int = 1) -> Task:
    """Return a task in any state, reached or not."""
    return new_task(documents).model_copy(update={"status": status, "progress": (progress,) * documents})


def facts(number: int = 0) -> dict[str, Fact]:
    """Return a fact of each type, about the document of that number."""
    said: tuple[Fact, ...] = (
        TaskSubmitted(
            workflow="document-review",
            documents=(document(),),
            taxonomy=document("taxonomy.toml"),
            submitted_by="ann",
            budget_micro_usd=1000,
        ),
        TaskAdmitted(budget_micro_usd=1000, reason="within the budget"),
        TaskRejected(code="budget-too-large", reason="too much"),
        TaskThrottled(
            code="requests",
            reason="too many a minute",
            retry_after_seconds=5.0,
            workflow="document-review",
            priority="standard",
            policy_version="p1",
            left_micro_usd=700,
            others=12,
        ),
        TaskPlaced(cloud="azure", reason="a batch", run=1, documents=2),
        TaskParked(code="throttled", reason="no provider takes calls", run=1, until=NOON),
        TaskResumed(reason="a provider takes calls again", run=2, budget_micro_usd=1000),
        TaskCompleted(reviewed=1, failed=1, cost_micro_usd=12),
        TaskFailed(reason="no text", cost_micro_usd=12),
        TaskCancelled(by="ann", reason="a mistake", placed_on="azure", run=1),
        StepStarted(
            document=number, step="classify", tool="classify", attempt=2, input_sha256=DIGEST, reserved_micro_usd=341
        ),
        StepCompleted(document=number, step="classify", attempt=2, output_sha256=DIGEST, cost_micro_usd=9),
        StepFailed(document=number, step="classify", attempt=2, code="transient", reason="throttled", final=False),
        ToolCalled(tool="classify", document=number, step="classify", input_sha256=DIGEST, output_sha256=DIGEST),
        routed(number),
        ModelUnrouted(
            document=number,
            step="classify",
            reason="no model can be asked for 9.0 s",
            refused=(Refused(deployment="eu-1", reason="throttled for 9 s"),),
            price_version="2026-11",
            left_micro_usd=659,
        ),
        used(number),
        UsageSaved(document=number, step="classify", model="extractive-1", saved_micro_usd=9, by="cache"),
        UsageCorrected(document=number, step="classify", line=1, was_micro_usd=341, cost_micro_usd=9),
        ApprovalRequested(
            approval="a1", document=number, reason="copyleft", digest="d1", approvers=("reviewer",), deadline=NOON
        ),
        ApprovalEscalated(approval="a1", document=number, level=1, approvers=("reviewer", "owner"), deadline=NOON),
        ApprovalDecided(
            approval="a1", document=number, verdict="approved", by=("bob",), comment="fine", digest="d1", run=1
        ),
        ApprovalExpired(approval="a1", document=number, verdict="rejected"),
        reviewed(number),
        failed(number),
        RecordSkipped(by="ann", reason="lost", parked_because="never arrived", skipped=""),
    )
    return {fact.type: fact for fact in said}


def routed(number: int = 0) -> ModelRouted:
    """Return the choice of a deployment after another one was refused."""
    return ModelRouted(
        document=number,
        step="classify",
        deployment="eu-2",
        reason="the cheapest that is well",
        refused=(Refused(deployment="eu-1", reason="its circuit is open"),),
        attempt=2,
        kind="fallback",
        after="throttled",
        price_version="2026-11",
        worst_micro_usd=341,
        left_micro_usd=659,
    )


def used(number: int = 0, step: str = "classify", cost: int = 9, model: str = "extractive-1") -> UsageMetered:
    """Return a usage of that cost."""
    return UsageMetered(
        document=number,
        step=step,
        model=model,
        tokens_in=400,
        tokens_out=20,
        cost_micro_usd=cost,
        price_version="2026-11",
        line=1,
        deployment="eu-2",
    )


def reviewed(number: int = 0) -> DocumentReviewed:
    """Return the conclusion of a review."""
    return DocumentReviewed(
        document=number,
        name="LICENSE",
        uri=f"blob:{DIGEST}",
        sha256=DIGEST,
        label="MIT",
        score=0.97,
        summary="Keep the notice.",
        evidence=(Evidence(what="its wording"),),
        verdict="automatic",
        reason="MIT needs no approval.",
        cost_micro_usd=12,
    )


def failed(number: int = 0, reason: str = "there is no text in it") -> DocumentFailed:
    """Return the end of a review that was none."""
    return DocumentFailed(
        document=number,
        name="LICENSE",
        uri=f"blob:{DIGEST}",
        step="extract",
        code="empty",
        reason=reason,
        cost_micro_usd=3,
    )


def events(said: Sequence[Fact], **changed: Any) -> tuple[AnyEvent, ...]:
    """Return the facts as events of one entity."""
    cause = Cause(**{"id": "c1", "tenant": "acme", "task": "t1", "entity": "package:x", "source": "/test"} | changed)
    return follow(cause, said, after=0, at=NOON)
