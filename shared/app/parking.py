"""Parking a task that cannot go on now, and letting it go on when it can.

A parked task gives its place back: whoever works for it stops at the next step, and its journal makes what was done
free when its next run passes there again. So nothing fails for want of money, of a provider, or of a person's time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from shared.app import leases, ledger, switches
from shared.app.admission import held_back, left_to_others, yields
from shared.app.approvals import budget_approval_id, tick_approval
from shared.app.closing import wind_up
from shared.app.commit import change
from shared.app.tasks import cancel
from shared.core import approval as approvals
from shared.core import task as tasks
from shared.core.admission import tenant_policy
from shared.core.approval import Approval, budget_shown
from shared.core.decision import Decision
from shared.core.journal import digest
from shared.core.ledger import busy
from shared.core.money import usd
from shared.core.pricing import worst_case
from shared.core.schedule import order
from shared.core.workflow import workflow
from shared.errors import Conflict, Forbidden, Permanent, Transient
from shared.events.catalog import Cause
from shared.events.ids import derive
from shared.ports import Setting

if TYPE_CHECKING:
    from datetime import datetime

    from shared.core.task import Task
    from shared.events.routing import Refused
    from shared.events.task import ParkedFor
    from shared.ports import Ports

BY = "agentfabric"
EVERYONE = 10**9  # parked tasks: what an engine on one machine looks at
_LOOKED_AT = 2000  # parked tasks at a time
_MARK = "parked"  # the setting that says how far the last look came
_OVER = {
    "throttled": "models may be asked again",
    "preempted": "nothing more urgent waits",
    "quota": "its tenant has money again",
    "stopped": "it was let go on",
}


class Wait(NamedTuple):
    """What a task waits for, why, and until when at least."""

    code: ParkedFor
    reason: str
    until: datetime | None = None
    refused: tuple[Refused, ...] = ()


def park(ports: Ports, task: Task, wait: Wait, document: int) -> Decision:
    """Decide to park the task; one whose budget is used up asks a person for what the rest of it may cost."""
    prices = ports.policy().price_version
    decision = tasks.park(task, wait.code, wait.reason, ports.now(), wait.until, refused=wait.refused, prices=prices)
    if wait.code != "budget" or not decision.facts:
        return decision
    ruling = approvals.request(_more(ports, task, document, wait.reason))
    after = tasks.evolve(decision.task, *ruling.facts)
    return replace(decision, task=after, facts=(*decision.facts, *ruling.facts), approvals=(ruling.approval,))


def _more(ports: Ports, task: Task, document: int, reason: str) -> Approval:
    flow, now = workflow(task.workflow), ports.now()
    unsettled = sum(done not in tasks.SETTLED for done in task.progress)
    tenant = tenant_policy(ports.tenants, task.tenant)
    amount = worst_case(ports.policy(), flow.steps, tenant.data_zone) * unsettled
    policy = ports.policy().more_budget.approval(four_eyes=tenant.four_eyes)
    asked = Approval(
        id=budget_approval_id(task),
        tenant=task.tenant,
        task=task.id,
        entity=task.entity,
        run=task.run,
        document=document,
        name="more budget",
        reason=reason,
        digest="",
        policy=policy,
        requested_by=task.submitted_by,
        requested_at=now,
        deadline=now + timedelta(seconds=policy.levels[0].wait),
        about="budget",
        amount=amount,
    )
    return asked.model_copy(update={"digest": digest(budget_shown(asked, task))})


def give_back(ports: Ports, task: Task) -> None:
    """Return the lease of a parked task, unless it will not be long."""
    if task.parked_for in {"budget", "preempted", "quota", "stopped"}:
        leases.close(ports, task)


def give_way_to_others(ports: Ports, task: Task, cause: Cause) -> None:
    """Park a task that holds what more urgent work waits for; its step has not begun. Permanent when it was parked."""
    reason = yields(ports, task)
    if reason is None:
        return
    wait = Wait("preempted", reason, refused=left_to_others(ports))
    parked = change(ports, cause, lambda now: park(ports, now, wait, 0))
    give_back(ports, parked)
    raise Permanent(f"the task gives way: {reason}", code=tasks.PARKED)


def resume_due(ports: Ports, *, source: str, limit: int = _LOOKED_AT) -> int:
    """Let parked tasks go on whose time has come, the most urgent first; return how many.

    Of more than `limit` each look takes those behind the last one's, so that all are looked at in turn, however many
    wait longer for something that does not come. Who looks at all of them at once needs no turns.
    """
    waiting = order(ports.policy(), _in_turn(ports, limit), ports.now())
    return sum(_resume(ports, task, source) for task in waiting)


def _in_turn(ports: Ports, limit: int) -> list[Task]:
    """Return the next parked tasks, and note how far this came before anything is done about them."""
    mark = ports.settings.read(_MARK)
    found = list(ports.tasks.parked(limit=limit, after=mark.text))
    if mark.text and len(found) < limit:
        front = ports.tasks.parked(limit=limit - len(found))
        found += (task for task in front if task.in_line <= mark.text)
    came_to = found[-1].in_line if len(found) == limit else ""
    if came_to != mark.text:
        with suppress(Conflict):  # somebody else looks, too
            ports.settings.write(Setting(_MARK, came_to, mark.version + 1))
    return found


def next_due(ports: Ports) -> datetime | None:
    """Return when a parked task may go on by itself; one whose time has come waits for something else."""
    now = ports.now()
    moments = (task.parked_until for task in ports.tasks.parked(limit=EVERYONE))
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def sweep(ports: Ports, *, source: str, limit: int = 100) -> int:
    """Prolong the leases of tasks that live, end those that nobody needs any more; return how many ended.

    A closing lease has its last calls ended and its task's bill put right.
    A pipeline on AWS ends long before its lease: one that did not is gone, and its task goes on as its next run. Its
    lease is what the task is found by, and stays until that is written down.
    """
    later: set[str] = set()
    for due in ports.ledger.overdue(ports.now(), limit=limit):
        try:
            if due.state == "closing":
                wind_up(ports, due, source=source)
                continue
            task = leases.alive(ports, due)
            if task is not None and task.placed_on == "aws":
                _restart(ports, task, source)
            elif task is not None:
                leases.ensure(ports, task)
        except Transient:
            later.add(due.id)
        except Forbidden:
            continue  # what cannot be prolonged ends below; a task that still needs it asks for it anew
    return ledger.expire(ports, limit=limit, but=later)


def _restart(ports: Ports, task: Task, source: str) -> None:
    cause = Cause(derive(task.run_id, "vanished"), task.tenant, task.id, task.entity, source)
    wait = Wait("throttled", "its pipeline ended without a word", ports.now())
    change(ports, cause, lambda now: park(ports, now, wait, 0) if now.run == task.run else Decision(now))


def _resume(ports: Ports, task: Task, source: str) -> bool:
    cause = Cause(derive(task.run_id, "resume"), task.tenant, task.id, task.entity, source)
    try:
        ready = None if _calls_are_out(ports, task) else _ready(ports, task, source)
        if ready is None:
            return False
        reason, more = ready
        leases.ensure(ports, task, more=more)

        def decide(current: Task) -> Decision:
            if current.run != task.run:
                return Decision(current)
            return tasks.resume(current, reason, more=more, prices=ports.policy().price_version)

        after = change(ports, cause, decide)
    except (Transient, Forbidden):  # a switch, a rate, a budget, a store: it waits on, and no other one waits for it
        return False
    if after.over:  # somebody cancelled it meanwhile
        leases.close(ports, after)
    return after.run > task.run


def _calls_are_out(ports: Ports, task: Task) -> bool:
    """Tell whether a call of the run that was parked may still come back: its answer should not be paid for again."""
    lease = ports.ledger.lease(task.tenant, leases.lease_id(task.id))
    return lease is not None and busy(lease, ports.now().timestamp())


def _ready(ports: Ports, task: Task, source: str) -> tuple[str, int] | None:
    """Return why the task may go on and with how much more money, or None while it has to wait."""
    switches.check(ports, task.tenant, task.workflow)
    if task.parked_for == "budget":
        return _granted(ports, task, source)
    if task.parked_until is not None and ports.now() < task.parked_until:
        return None
    if held_back(ports, task) is not None:
        return None
    return _OVER.get(task.parked_for or "", "nothing holds it back any more"), 0


def _granted(ports: Ports, task: Task, source: str) -> tuple[str, int] | None:
    asked = tick_approval(ports, task.tenant, budget_approval_id(task), source=source)
    if asked.status == "pending":
        return None
    if asked.status != "approved":
        how = "nobody granted" if asked.expired else f"{', '.join(asked.deciders)} refused"
        cancel(ports, task.tenant, task.id, BY, f"{how} the {usd(asked.amount)} it asked for", source=source)
        return None
    return f"{', '.join(asked.deciders)} granted {usd(asked.amount)} more", asked.amount
