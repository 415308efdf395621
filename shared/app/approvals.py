"""Asking people, hearing them, and watching the clock for them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.app.commit import change
from shared.app.findings import Findings, findings
from shared.core import approval as approvals
from shared.core.approval import Approval, Ruling, Vote
from shared.core.decision import Decision
from shared.core.journal import digest
from shared.core.task import check_open, evolve
from shared.core.workflow import workflow
from shared.errors import NotFound
from shared.events.catalog import Cause
from shared.events.ids import derive

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.task import Task
    from shared.ports import Ports


def approval_id(task: str, document: int) -> str:
    """Return the id of a document's approval; asking again, in a later run, is asking the same."""
    return derive("approval", task, document)


def budget_approval_id(task: Task) -> str:
    """Return the id of the approval by which the task's run asks for more money."""
    return derive("budget", task.id, task.run)


def unasked(ports: Ports, task: Task) -> tuple[Approval, ...]:
    """Return what a task that is about to end asked for to go on, as nobody's business any more."""
    if task.parked_for != "budget":
        return ()
    return (approvals.withdraw(ports.approvals.find(task.tenant, budget_approval_id(task))),)


def request_approval(ports: Ports, tenant: str, task: str, document: int, *, source: str) -> Approval:
    """Ask for a document's approval, once, and return it."""
    current = ports.tasks.load(tenant, task)
    asked = approval_id(task, document)
    try:
        return ports.approvals.find(tenant, asked)
    except NotFound:
        fresh = _new(ports, current, document, findings(ports, current, document))
    cause = Cause(derive(asked, "request"), tenant, task, current.entity, source)
    change(ports, cause, lambda now: _asked(now, fresh), claim=f"ask:{asked}")
    return ports.approvals.find(tenant, asked)


def _new(ports: Ports, task: Task, document: int, found: Findings) -> Approval:
    policy = workflow(task.workflow).checkpoint.policy
    now = ports.now()
    return Approval(
        id=approval_id(task.id, document),
        tenant=task.tenant,
        task=task.id,
        entity=task.entity,
        run=task.run,
        document=document,
        name=found.document.name or found.document.uri,
        reason=found.reason,
        digest=digest(found.shown),
        policy=policy,
        requested_by=task.submitted_by,
        requested_at=now,
        deadline=now + timedelta(seconds=policy.levels[0].wait),
    )


def _asked(task: Task, approval: Approval) -> Decision:
    check_open(task)
    ruling = approvals.request(approval)
    return Decision(evolve(task, *ruling.facts), ruling.facts, approvals=(ruling.approval,))


def decide_approval(ports: Ports, tenant: str, approval: str, said: Vote, *, source: str) -> Approval:
    """Count a vote and return the approval as it then stands.

    Raises Forbidden for people who may not decide, Permanent when it was decided otherwise, expired, or is
    about other content than was shown.
    """
    said = said.model_copy(update={"policy": ports.policy().version})
    ruled = _rule(
        ports,
        tenant,
        approval,
        f"vote:{said.by.name}:{said.verdict}",
        source,
        lambda found: approvals.vote(found, said, ports.now()),
    )
    if not approvals.stands(ruled, said):
        raise approvals.refusal(ruled, said)
    return ruled


def tick_approval(ports: Ports, tenant: str, approval: str, *, source: str) -> Approval:
    """Escalate or expire an approval that is overdue, and return it; safe to call at any time, any number of times."""
    return _rule(ports, tenant, approval, "tick", source, lambda found: approvals.tick(found, ports.now()))


def _rule(
    ports: Ports, tenant: str, approval: str, name: str, source: str, ruling: Callable[[Approval], Ruling]
) -> Approval:
    """Apply a ruling to the stored approval, in the transaction of its task."""
    found = ports.approvals.find(tenant, approval)
    latest = [found]

    def decide(task: Task) -> Decision:
        # A task that was parked meanwhile waits for it in another run.
        stored = ports.approvals.find(tenant, approval).model_copy(update={"run": task.run})
        ruled = ruling(stored)
        latest[0] = ruled.approval
        if not ruled.facts and ruled.approval == stored:
            return Decision(task)
        check_open(task)
        return Decision(evolve(task, *ruled.facts), ruled.facts, approvals=(ruled.approval,))

    # The level makes ids of the same request differ when each of two levels' deadlines speaks through it.
    cause = Cause(derive(approval, name, found.level), tenant, found.task, found.entity, source)
    change(ports, cause, decide)
    return latest[0]
