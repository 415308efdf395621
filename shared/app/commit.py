"""Decide, write once, then speak: the one way a use case changes anything.

Nothing is published before it is committed. A duplicate still speaks: it changes nothing, but sends what
a crash may have left unsent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from shared.app import leases
from shared.app.admission import finish
from shared.app.tracing import moved
from shared.core.decision import Decision
from shared.core.routes import routes
from shared.core.stepping import Spending, bill
from shared.errors import Conflict, Duplicate, Transient
from shared.events.catalog import AnyEvent, Cause, follow
from shared.events.ids import derive
from shared.ports import Change, Ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.journal import Entry
    from shared.core.ledger import Draw, Lease
    from shared.core.task import Task

_RACES = 16


def change(ports: Ports, cause: Cause, decide: Callable[[Task], Decision], *, claim: str | None = None) -> Task:
    """Load the task, decide on it, commit and publish; decide again when somebody else was first.

    `claim` is the message's name in the inbox; with one, a repeated message changes nothing.
    """
    return _tried(ports, cause, claim, lambda: _once(ports, cause, decide, claim))


def create(
    ports: Ports, cause: Cause, decide: Callable[[], Decision], *, claim: str, written: Callable[[], None] | None = None
) -> Task:
    """Commit and publish a task that is new, and tell `written`; when its claim is taken, return the one there is."""

    def attempt() -> Task:
        made = _commit(ports, cause, decide(), None, claim)
        if written is not None:
            written()
        return made

    return _tried(ports, cause, claim, attempt)


def _tried(ports: Ports, cause: Cause, claim: str | None, attempt: Callable[[], Task]) -> Task:
    for _ in range(_RACES):
        try:
            return attempt()
        except Duplicate:
            relay(ports, tenant=cause.tenant, entity=cause.entity)
            return ports.tasks.load(cause.tenant, cause.task)
        except Conflict:
            continue
    raise Transient(f"task {cause.task} is changed by many at once ({claim or cause.id})", retry_after=0.5)


def _once(ports: Ports, cause: Cause, decide: Callable[[Task], Decision], claim: str | None) -> Task:
    task = ports.tasks.load(cause.tenant, cause.task)
    decision = decide(task)
    if decision.nothing:
        relay(ports, tenant=task.tenant, entity=task.entity)
        return task
    if decision.task.over and not task.over:
        decision = _ended(ports, task, decision, cause.source)
    return _commit(ports, cause, decision, task, claim)


def _commit(ports: Ports, cause: Cause, decision: Decision, before: Task | None, claim: str | None) -> Task:
    expected = before.version if before else 0
    after = ports.tasks.last_sequence(cause.tenant, cause.entity)
    events = follow(cause, decision.facts, after=after, at=ports.now())
    task = decision.task.model_copy(update={"version": expected + 1})
    ports.tasks.commit(Change(task, expected, events, claim, decision.entry, decision.approvals, decision.posting))
    moved(ports, before, task, decision.approvals)
    send(ports, events)
    return task


def _ended(ports: Ports, task: Task, decision: Decision, source: str) -> Decision:
    """Return the decision that ends a task, with the end of its lease, and settles the tokens it took from its tenant.

    Raises Conflict when something was not on its bill: it is now, and the task has changed.
    """
    used = decision.task.tokens
    unused = 0 if task.tokens_taken is None else task.tokens_taken - used
    ended = finish(ports, task.tenant, leases.lease_id(task.id), unused_tokens=unused)
    if ended is None:
        return decision
    posting, lease = ended
    if bill_the_rest(ports, task, lease, source):
        raise Conflict("its bill was not complete")
    return replace(decision, posting=posting)


def bill_the_rest(ports: Ports, task: Task, lease: Lease, source: str) -> bool:
    """Put on the bill what a crash left off it; False when nothing could be put there that it does not say."""
    if leases.charged(lease) == task.spent:
        return False
    billed = False
    for entry, draws in leases.unbilled(ports, task, lease):
        told = (part for drawn in draws for part in (drawn.id, drawn.version))
        name = derive(task.run_id, entry.document, entry.step, "bill", *told)
        cause = Cause(name, task.tenant, task.id, task.entity, source)
        billed |= change(ports, cause, partial(_billed, ports, entry, draws)).version != task.version
    return billed


def _billed(ports: Ports, entry: Entry, draws: Sequence[Draw], task: Task) -> Decision:
    """Bill what is still missing: another process may have billed it since it was looked for."""
    stored = ports.journal.find(entry.tenant, entry.task, entry.document, entry.step) or entry
    return bill(task, stored, Spending(charges=leases.charges_now(ports, stored, draws)))


def send(ports: Ports, events: Sequence[AnyEvent]) -> None:
    """Publish committed events on their routes and note it."""
    ports.bus.publish([(route, event) for event in events for route in routes(event)])
    ports.outbox.mark_sent(events)


def relay(ports: Ports, *, tenant: str | None = None, entity: str | None = None, limit: int = 500) -> int:
    """Publish what was committed and never sent, of one entity or of all; return how many."""
    events = ports.outbox.unsent(limit=limit, tenant=tenant, entity=entity)
    if events:
        send(ports, events)
    return len(events)
