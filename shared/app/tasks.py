"""Submitting, placing and cancelling tasks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from shared.app import leases, refusals
from shared.app.admission import grant, left_of, noted
from shared.app.approvals import approval_id, unasked
from shared.app.commit import change, create
from shared.core import task as tasks
from shared.core.admission import Submission, admit, tenant_policy
from shared.core.approval import Approval, withdraw
from shared.core.decision import Decision
from shared.core.granting import Ask
from shared.core.pricing import most_tokens, prices, worst_case
from shared.core.routes import Route, routes
from shared.core.workflow import workflow
from shared.errors import Forbidden, Permanent, Throttled
from shared.events.catalog import AnyEvent, Cause
from shared.events.ids import derive
from shared.tools._reading import read_taxonomy

if TYPE_CHECKING:
    from shared.core.policy import TenantPolicy
    from shared.core.task import Task
    from shared.ports import Ports


def submit(ports: Ports, tenant: str, person: str, submission: Submission, key: str, *, source: str) -> Task:
    """Admit a submission and return its task; the same idempotency `key` always yields the same task.

    Raises Permanent for a submission that is not in order, Forbidden (after noting the refusal in the record) for one
    the tenant may not make, Throttled for one that comes too fast: that one is no task, and told of as `refusals` says.
    """
    policy = tenant_policy(ports.tenants, tenant)
    taxonomy = read_taxonomy(submission.taxonomy, ports.documents)
    task = tasks.Task(
        id=derive("task", tenant, key),
        tenant=tenant,
        entity=submission.entity,
        workflow=submission.workflow,
        documents=submission.documents,
        taxonomy=submission.taxonomy,
        may_ask=taxonomy.may_ask,
        budget=submission.budget_micro_usd or 0,
        priority=submission.priority,
        submitted_by=person,
        submitted_at=ports.now(),
    )
    cause = Cause(derive("submission", tenant, key), tenant, task.id, task.entity, source)
    try:
        budget = admit(submission, policy, lambda flow: worst_case(ports.policy(), flow.steps, policy.data_zone))
        tokens = most_tokens(ports.policy(), workflow(task.workflow).steps, policy.data_zone) * len(task.documents)
        made = _admitted(ports, cause, task.model_copy(update={"budget": budget, "tokens_taken": tokens}))
    except Forbidden as refusal:
        left = left_of(ports, tenant)
        asked = task.model_copy(update={"budget": _asked_for(ports, policy, submission)})
        rejected = tasks.reject(asked, refusal.code, str(refusal), left=left, prices=ports.policy().price_version)
        made = create(ports, cause, lambda: rejected, claim=f"submit:{task.id}")
        if made.status is tasks.Status.REJECTED and _asks_for(made, submission):
            raise
    except Throttled as refusal:
        refusals.tell(ports, cause, task, refusal)
        raise
    return _same(made, submission)


def _asked_for(ports: Ports, policy: TenantPolicy, submission: Submission) -> int:
    """Return what the submission may cost: what it says, or its worst case; 0 of a workflow its tenant may not have."""
    if submission.budget_micro_usd is not None or submission.workflow not in policy.workflows:
        return submission.budget_micro_usd or 0
    flow = workflow(submission.workflow)
    return worst_case(ports.policy(), flow.steps, policy.data_zone) * len(submission.documents)


def _admitted(ports: Ports, cause: Cause, task: Task) -> Task:
    """Create the task together with its lease, or return the one that is there."""
    turned_away = 0

    def decide() -> Decision:
        nonlocal turned_away
        granted = grant(ports, task.tenant, _asked(task))
        turned_away = granted.turned_away
        zone = tenant_policy(ports.tenants, task.tenant).data_zone
        admitted = tasks.submit(
            task,
            reason=granted.reason,
            left=max(0, granted.left),
            turned_away=turned_away,
            prices=prices(ports.policy(), zone),
        )
        return replace(admitted, posting=granted.posting)

    def written() -> None:
        noted(ports, task.tenant, turned_away)

    return create(ports, cause, decide, claim=f"submit:{task.id}", written=written)


def _asked(task: Task) -> Ask:
    """Return what a new task asks its tenant's account for."""
    lease = leases.lease_id(task.id)
    return Ask(lease, task.id, task.workflow, task.priority, task.budget, task.tokens_taken or 0)


def _same(task: Task, submission: Submission) -> Task:
    """A key used again must come with the same submission."""
    if not _asks_for(task, submission):
        raise Permanent(f"this key already belongs to task {task.id}, which asks for something else", code="key-reused")
    if task.status is tasks.Status.REJECTED:
        raise Forbidden(task.reason, code="rejected")
    return task


def _asks_for(task: Task, submission: Submission) -> bool:
    """Return whether the task is what the submission asks for; one that names no budget takes any."""
    return (task.documents, task.entity, task.workflow, task.taxonomy, task.priority) == (
        submission.documents,
        submission.entity,
        submission.workflow,
        submission.taxonomy,
        submission.priority,
    ) and submission.budget_micro_usd in (None, task.budget)


def dispatch(ports: Ports, event: AnyEvent, *, source: str) -> Task | None:
    """Place a task that was admitted or goes on; other events are none of the dispatcher's business."""
    if event.type not in {"task.admitted", "task.resumed"}:
        return None
    place = partial(tasks.place, prices=ports.policy().price_version)
    return change(ports, Cause.of(event, source), place, claim=f"dispatch:{event.id}")


def to_start(ports: Ports, event: AnyEvent) -> Task | None:
    """Return the task whose pipeline a placement asks for, or None when its run is over, parked or another one by now.

    A run that has begun is started again: an earlier delivery may have ended before it was acknowledged. Raises
    Permanent for an event that asks for no pipeline.
    """
    if Route.PIPELINE not in routes(event):
        raise Permanent(f"{event.type} starts no pipeline on AWS", code="no-route")
    task = ports.tasks.load(event.tenant, event.taskid)
    waits = task.status in {tasks.Status.PLACED, tasks.Status.RUNNING} and task.run == event.data.run
    return task if waits else None


def cancel(ports: Ports, tenant: str, task: str, by: str, reason: str, *, source: str) -> Task:
    """Stop a task and withdraw what it asks people; stopping it twice is stopping it once."""
    found = ports.tasks.load(tenant, task)
    cause = Cause(derive("cancel", tenant, task), tenant, task, found.entity, source)

    def decide(current: Task) -> Decision:
        decision = tasks.cancel(current, by, reason)
        return replace(decision, approvals=_withdrawn(ports, current)) if decision.facts else decision

    return change(ports, cause, decide)


def _withdrawn(ports: Ports, task: Task) -> tuple[Approval, ...]:
    """Return the task's pending approvals as nobody's business any more."""
    waiting = (document for document, done in enumerate(task.progress) if done is tasks.Progress.WAITING)
    asked = (ports.approvals.find(task.tenant, approval_id(task.id, document)) for document in waiting)
    return (*map(withdraw, asked), *unasked(ports, task))
