"""Settling documents: reviewed, or failed with a reason; the last one settles the task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.app.approvals import approval_id, unasked
from shared.app.commit import change
from shared.app.findings import findings
from shared.core import task as tasks
from shared.core.approval import withdraw
from shared.core.decision import Decision
from shared.core.failure import Failure
from shared.core.workflow import workflow
from shared.errors import NotFound, Permanent
from shared.events.catalog import Cause
from shared.events.document import DocumentFailed, DocumentReviewed, Evidence
from shared.events.ids import derive

if TYPE_CHECKING:
    from shared.core.approval import Approval
    from shared.core.journal import Entry
    from shared.core.task import Task
    from shared.ports import Ports


def record_document(ports: Ports, tenant: str, task: str, document: int, *, source: str) -> Task:
    """Conclude a document's review from its journal and its approval.

    Permanent when a step has no result, or policy wants a decision that nobody made yet.
    """
    current = ports.tasks.load(tenant, task)
    cause = Cause(derive(current.run_id, document, "record"), tenant, task, current.entity, source)

    def decide(now: Task) -> Decision:
        if tasks.is_settled(now, document):
            return Decision(now)
        return _ended(ports, now, tasks.settle(now, _reviewed(ports, now, document)))

    return change(ports, cause, decide, claim=f"settle:{current.run_id}:{document}")


def fail_document(ports: Ports, tenant: str, task: str, document: int, why: Failure, *, source: str) -> Task:
    """Note that a document cannot be reviewed, and why; nobody has to decide on it any more.

    A pipeline that stopped because its task is parked failed at nothing: its next run goes on.
    """
    current = ports.tasks.load(tenant, task)
    current.at(document)
    if why.code == tasks.PARKED:
        return current
    cause = Cause(derive(current.run_id, document, "fail"), tenant, task, current.entity, source)

    def decide(now: Task) -> Decision:
        ref = now.documents[document]
        cost = sum(entry.cost for entry in _entries(ports, now, document))
        failed = DocumentFailed(
            document=document,
            name=ref.name,
            uri=ref.uri,
            step=why.step,
            code=why.code,
            reason=why.reason[:1000],
            cost_micro_usd=cost,
        )
        decision = _ended(ports, now, tasks.settle(now, failed))
        if not decision.facts:
            return decision
        return replace(decision, approvals=(*decision.approvals, *_withdrawn(ports, now, document)))

    return change(ports, cause, decide, claim=f"settle:{current.run_id}:{document}")


def _ended(ports: Ports, before: Task, decision: Decision) -> Decision:
    """Withdraw what the task asked for to go on, when it ends with this document all the same."""
    return replace(decision, approvals=unasked(ports, before)) if decision.task.over else decision


def _withdrawn(ports: Ports, task: Task, document: int) -> tuple[Approval, ...]:
    waits = task.at(document) is tasks.Progress.WAITING
    return (withdraw(_approval(ports, task, document)),) if waits else ()


def _entries(ports: Ports, task: Task, document: int) -> list[Entry]:
    found = (ports.journal.find(task.tenant, task.id, document, step.name) for step in workflow(task.workflow).steps)
    return [entry for entry in found if entry is not None]


def _reviewed(ports: Ports, task: Task, document: int) -> DocumentReviewed:
    found = findings(ports, task, document)
    approval = _approval(ports, task, document) if found.asks else None
    ref, steps = found.document, found.steps
    return DocumentReviewed(
        document=document,
        name=ref.name,
        uri=ref.uri,
        sha256=ref.sha256,
        label=steps["classify"]["label"],
        score=steps["classify"]["score"],
        summary=steps["summarise"]["summary"],
        evidence=tuple(Evidence.model_validate(seen) for seen in steps["classify"]["evidence"]),
        verdict=approval.verdict if approval else "automatic",
        reason=found.reason,
        decided_by=approval.deciders if approval else (),
        cost_micro_usd=found.cost,
    )


def _approval(ports: Ports, task: Task, document: int) -> Approval:
    """Return the approval of a document; Permanent when nobody asked for it."""
    try:
        return ports.approvals.find(task.tenant, approval_id(task.id, document))
    except NotFound as missing:
        raise Permanent(f"document {document} needs an approval nobody asked for", code="approval-owed") from missing
