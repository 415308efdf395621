"""Telling of submissions that came too fast, without letting a flood of them become a flood of writes.

A process tells of one tenant's refusals of one kind once in ten seconds at most; those in between are counted, and the
next event says how many. What cannot be written stays counted: no refusal waits or fails for its event's sake.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.app.commit import send
from shared.core.admission import tenant_policy
from shared.core.ledger import left, windows_at
from shared.errors import FabricError
from shared.events.catalog import Cause, follow
from shared.events.ids import derive
from shared.events.task import TaskThrottled

if TYPE_CHECKING:
    from shared.core.task import Task
    from shared.errors import Throttled
    from shared.ports import Ports

EVERY = timedelta(seconds=10)
_LOG = logging.getLogger(__name__)


def entity_of(tenant: str) -> str:
    """Return the entity that a tenant's refusals are about: in order among themselves, and with nothing else."""
    return f"limits:{tenant}"


def tell(ports: Ports, cause: Cause, task: Task, refusal: Throttled) -> None:
    """Count a refusal, and write down that it was when the last one of its kind was told of long enough ago."""
    counted = _due(ports, task.tenant, refusal.code)
    if not counted:
        return
    try:
        _write(ports, cause, _fact(ports, task, refusal, counted - 1), counted)
    except FabricError as lost:
        _LOG.warning("%s refusals (%s) are not told of yet: %s", counted, refusal.code, lost)


def _due(ports: Ports, tenant: str, code: str) -> int:
    """Count one more; return how many nobody was told of, or 0 as long as it is too early to tell."""
    kind, now, kept = (tenant, code), ports.now(), ports.refusals
    with kept.lock:
        kept.counts[kind] = kept.counts.get(kind, 0) + 1
        if now < kept.due.get(kind, now):
            return 0
        kept.due[kind] = now + EVERY
        return kept.counts[kind]


def _write(ports: Ports, cause: Cause, fact: TaskThrottled, counted: int) -> None:
    entity = entity_of(cause.tenant)
    after = ports.tasks.last_sequence(cause.tenant, entity)
    mine = Cause(derive(entity, after), cause.tenant, cause.task, entity, cause.source)
    events = follow(mine, (fact,), after=after, at=ports.now())
    ports.tasks.note(events)
    with ports.refusals.lock:
        ports.refusals.counts[cause.tenant, fact.code] -= counted
    send(ports, events)


def _fact(ports: Ports, task: Task, refusal: Throttled, others: int) -> TaskThrottled:
    policy, now = ports.policy(), ports.now().timestamp()
    money = tenant_policy(policy.tenants, task.tenant).money
    limit, level = refusal.level or (None, None)
    return TaskThrottled(
        code=refusal.code,
        reason=str(refusal),
        retry_after_seconds=float(refusal.retry_after),
        workflow=task.workflow,
        priority=task.priority,
        policy_version=policy.version,
        left_micro_usd=max(0, left(ports.ledger.account(task.tenant), windows_at(now), money)),
        others=others,
        limit=None if limit is None else float(limit),
        level=None if level is None else float(level),
    )
