"""What must hold when all has come to rest, seen from outside: what clients heard, what the provider charged, the rows.

Reads the stores through their ports and believes no report of the fabric about itself. Returns sentences.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from local.faults.kinds import Kind
from local.faults.ledger_rules import everything, problems, unbooked, unended
from local.faults.provider import TENANTS
from shared.app.leases import lease_id
from shared.app.record import QUARANTINE, verify
from shared.core.cost_tree import cost_tree
from shared.core.draws import charge
from shared.core.routes import Route
from shared.core.task import OVER, SETTLED, Progress, Status, Task, evolve
from shared.core.workflow import workflow
from shared.errors import Permanent
from shared.events.catalog import parse

if TYPE_CHECKING:
    from local.faults.ledger_rules import Seen
    from local.faults.world import World
    from shared.core.ledger import Draw
    from shared.core.recording import AuditRow, BillingRow
    from shared.events.catalog import AnyEvent

_PAGE = 5000
_MOST_FAILED = 0.10  # of the tasks: their retries were used up
_MOST_EXPIRED = 0.10  # of the leases: whoever worked for them was gone
_READ_AGAIN = 20  # of so many tasks, one is told again from its events
_FOR_WANT_OF_MONEY = {"quota-used-up", "rejected"}  # the second: asked again with the key of a refusal
_ENDS = {f"task.{end}" for end in OVER}
_ONCE = frozenset({"task.submitted", "task.admitted"})
_OF_A_DOCUMENT = frozenset({"document.reviewed", "document.failed"})
EXPECTED: dict[str, frozenset[Status]] = {
    "plain": frozenset({Status.COMPLETED}),
    "asks": frozenset({Status.COMPLETED}),
    "batch": frozenset({Status.COMPLETED}),
    "short": frozenset({Status.COMPLETED}),
    "empty": frozenset({Status.FAILED}),
    "dear": frozenset({Status.REJECTED}),
}


class Books(NamedTuple):
    """All that is stored of a tenant."""

    tenant: str
    tasks: list[Task]
    audit: dict[str, list[AuditRow]]  # by task
    entities: dict[str, list[AuditRow]]
    bill: dict[str, list[BillingRow]]  # by task
    ledger: Seen


def findings(world: World, *, rests: bool) -> list[str]:
    """Return what is wrong in the end, a sentence each."""
    wrong = [] if rests else [f"no rest: {_restless(world)}"]
    wrong += [f"nobody foresaw {defect}" for defect in world.defects]
    wrong += [f"published before it was committed: {event}" for event in world.transport.early]
    wrong += [f"more than the limit: {posting}" for posting in world.watch.over]
    wrong += [f"a model was asked with no money set aside: {call}" for call in world.provider.unpaid]
    wrong += [f"one key has two answers: {key}" for key in world.clients.unlike]
    wrong += [f"{world.clients.left} of {world.plan.tasks} tasks never came"] if world.clients.left else []
    wrong += _garbage(world)
    recorded: set[str] = set()
    drawn: set[str] = set()
    for tenant in TENANTS:
        books = _read(world, tenant)
        drawn |= {one.id for draws in books.ledger.draws.values() for one in draws}
        recorded |= {row.event_id for rows in books.entities.values() for row in rows}
        wrong += [f"{tenant}: {found}" for found in _of_a_tenant(world, books)]
    wrong += [f"the provider charged for {call}, which nobody drew" for call in world.provider.charged.keys() - drawn]
    if lost := world.transport.known - recorded:
        wrong.append(f"{len(lost)} events were published and are not in the record, one of them {min(lost)}")
    return wrong


def _restless(world: World) -> str:
    transport, outbox = world.transport, world.store.outbox.unsent(limit=1000)
    waiting = {route.value: len(queue) for route, queue in transport.ready.items() if queue}
    parked = Counter(task.parked_for for task in world.store.tasks.parked(limit=1000))
    return f"{waiting} ready, {len(transport.later)} later, {len(outbox)} unsent, {dict(parked)} parked"


def _read(world: World, tenant: str) -> Books:
    store = world.store
    tasks: list[Task] = []
    while page := store.tasks.page(tenant, limit=_PAGE, after=tasks[-1].id if tasks else ""):
        tasks += page
    audit: dict[str, list[AuditRow]] = defaultdict(list)
    entities: dict[str, list[AuditRow]] = defaultdict(list)
    for row in store.records.history(tenant, limit=10**7):
        audit[row.task].append(row)
        entities[row.entity].append(row)
    bill: dict[str, list[BillingRow]] = defaultdict(list)
    for line in store.records.bill(tenant, limit=10**7):
        bill[line.task].append(line)
    return Books(tenant, tasks, audit, entities, bill, everything(store.ledger, tenant))


def _garbage(world: World) -> Iterator[str]:
    """Yield what became of messages that nobody can read, if they are not where a person can look."""
    whole = sum(1 for row in world.store.records.parked(QUARANTINE, limit=10**6) if row.cause == "poison")
    if whole < world.transport.strangers:
        yield f"{whole} of {world.transport.strangers} strangers' messages are in quarantine"
    count = world.database.connection.execute("SELECT COUNT(*) FROM dead_letters").fetchone()[0]
    put = sum(number for route, number in world.transport.garbage.items() if route is not Route.RECORDS)
    if count < put:
        yield f"{count} of {put} unreadable messages were buried"


def _of_a_tenant(world: World, books: Books) -> Iterator[str]:
    yield from _of_the_orders(world, books)
    alone = not {Kind.ZOMBIE, Kind.RIVALS} & world.plan.kinds
    for task in books.tasks:
        yield from (f"{task.id[:8]} {found}" for found in _of_a_task(books, task, alone=alone))
    for number, task in enumerate(books.tasks):
        if number % _READ_AGAIN == 0:
            yield from (f"{task.id[:8]} {found}" for found in _told_again(books, task))
    for entity, rows in books.entities.items():
        yield from (f"{entity} {found}" for found in _of_an_entity(world, books.tenant, entity, rows))
    if parked := world.store.records.parked(books.tenant, limit=10):
        yield f"the record holds back {[(row.entity, row.sequence, row.cause) for row in parked]}"
    over = {task.id for task in books.tasks if task.over}
    asked = world.store.approvals.pending(books.tenant, limit=10**6)
    yield from (f"{one.task[:8]} is over, and somebody is still asked about it" for one in asked if one.task in over)
    yield from _of_failures(books)
    yield from _of_the_money(world, books)


def _of_failures(books: Books) -> Iterator[str]:
    """Yield that more tasks failed for want of attempts than a storm explains."""
    failed = [task for task in books.tasks if task.status is Status.FAILED and "no text" not in task.reason]
    if len(failed) > max(2, len(books.tasks) * _MOST_FAILED):
        yield f"{len(failed)} of {len(books.tasks)} tasks failed, one with: {failed[0].reason}"


def _of_the_orders(world: World, books: Books) -> Iterator[str]:
    """Yield what clients were promised and did not get."""
    known = {task.id: task for task in books.tasks}
    for (tenant, key), order in world.clients.orders.items():
        if tenant != books.tenant:
            continue
        told, refused = world.clients.answers.get((tenant, key)), world.clients.refused.get((tenant, key))
        if told is None and refused is None:
            yield f"{key} never got an answer"
        elif told is not None and told not in known:
            yield f"{key} was told of task {told[:8]}, which there is not"
        elif told is not None:
            yield from (
                f"{key} ({order.sort}) {found}" for found in _of_an_end(known[told], order.sort, order.cancelled)
            )
        elif order.sort != "dear" and not (refused in _FOR_WANT_OF_MONEY and world.scarce):
            yield f"{key} ({order.sort}) was refused: {refused}"


def _of_an_end(task: Task, sort: str, cancelled: bool) -> Iterator[str]:  # noqa: FBT001  a fact of the order
    """Yield how a task ended otherwise than its order said; one whose retries were used up has failed and says so."""
    if task.status in EXPECTED[sort] or (cancelled and task.status is Status.CANCELLED):
        return
    if task.status is not Status.FAILED:
        yield f"ended as {task.status}: {task.reason}"


def _of_a_task(books: Books, task: Task, *, alone: bool) -> Iterator[str]:
    if not task.over:
        yield f"is {task.status}, parked for {task.parked_for}"
    counts = Counter(row.type for row in books.audit[task.id])
    ends = sum(counts[kind] for kind in _ENDS)
    if ends != 1 or not counts[f"task.{task.status}"]:
        yield f"is {task.status} and its record has {ends} ends"
    yield from (
        f"has {counts[kind]} {kind}"
        for kind in _ONCE
        if counts[kind] > 1 or (kind == "task.submitted" and not counts[kind])
    )
    if counts["task.placed"] > task.run or counts["task.resumed"] != task.run - 1:
        yield f"is at run {task.run}, placed {counts['task.placed']} and resumed {counts['task.resumed']} times"
    settled = sum(counts[kind] for kind in _OF_A_DOCUMENT)
    if settled != sum(done in {Progress.REVIEWED, Progress.FAILED} for done in task.progress):
        yield f"has {settled} documents recorded, {task.progress}"
    if task.over and not all(done in SETTLED for done in task.progress):
        yield f"is over, its documents are {task.progress}"
    steps = len(workflow(task.workflow).steps) * task.progress.count(Progress.REVIEWED)
    completed = counts["step.completed"]
    if (
        task.status is Status.COMPLETED
        and Progress.FAILED not in task.progress
        and (completed < steps or (alone and completed > steps))
    ):
        yield f"has {completed} steps completed, {steps} are due"
    yield from _of_its_bill(books, task, counts)


def _of_its_bill(books: Books, task: Task, counts: Counter[str]) -> Iterator[str]:
    bill = books.bill[task.id]
    lines = sorted(row.line for row in bill if row.outcome not in {"saved", "corrected", "closed"})
    if lines != list(range(1, task.lines + 1)) or len(lines) != counts["usage.metered"]:
        yield f"has lines {lines} on its bill, it counted {task.lines}"
    ends = [row.line for row in bill if row.outcome == "closed"]
    if len(ends) != (task.over and task.status is not Status.REJECTED) or max(ends, default=0) > task.lines:
        yield f"is told of {ends} as all its lines, it counted {task.lines}"
    billed = sum(row.cost_micro_usd for row in bill)
    if billed != task.spent:
        yield f"was billed {billed}, it spent {task.spent}"


def _told_again(books: Books, task: Task) -> Iterator[str]:
    """Tell the task from its events alone, and its costs as `explain` does."""
    try:
        told = (parse(row.body) for row in books.audit[task.id])
        yield from _differences(task, [event for event in told if event.entity == task.entity])
    except (Permanent, KeyError) as broken:
        yield f"has events that tell no story: {broken}"


def _differences(task: Task, events: list[AnyEvent]) -> Iterator[str]:
    fresh = (Progress.CANCELLED if task.status is Status.REJECTED else Progress.QUEUED,) * len(task.documents)
    new = task.model_copy(update={"status": Status.NEW, "progress": fresh})
    again = evolve(new, *(event.data for event in events))
    if (again.status, again.progress) != (task.status, task.progress):
        yield f"is {task.status} {task.progress}; its events tell {again.status} {again.progress}"
    if (total := cost_tree(task.id, events).total) != task.spent:
        yield f"is explained with {total}, it spent {task.spent}"


def _of_an_entity(world: World, tenant: str, entity: str, rows: list[AuditRow]) -> Iterator[str]:
    numbers = [row.sequence for row in rows]
    last = world.store.tasks.last_sequence(tenant, entity)
    if numbers != list(range(1, last + 1)):
        missing = sorted(set(range(1, last + 1)) - set(numbers))[:5]
        yield f"has {len(numbers)} of {last} events recorded, not {missing}"
    if len({row.event_id for row in rows}) != len(rows):
        yield "has an event recorded twice"
    if (broken := _unchained(rows)) is not None or (broken := verify(world.store, tenant, entity).broken) is not None:
        yield f"has a broken trail at {broken}"


def _unchained(rows: list[AuditRow]) -> int | None:
    """Return the first number whose hash does not cover the row before it, reckoned here and not by who wrote it."""
    chain = ""
    for row in rows:
        time = row.time.astimezone(UTC).isoformat()
        link = [chain, row.tenant, row.entity, row.sequence, row.event_id, row.type, row.task, time, row.body]
        chain = sha256(json.dumps(link).encode()).hexdigest()
        if chain != row.hash:
            return row.sequence
    return None


def _of_the_money(world: World, books: Books) -> Iterator[str]:
    """Yield where lease, bill, books and the provider's own books differ."""
    ledger = books.ledger
    yield from (*problems(ledger, world.policy.tenants[books.tenant].money), *unended(ledger), *unbooked(ledger))
    leases = {lease.id: lease for lease in ledger.leases}
    expired = sum(lease.state == "expired" for lease in leases.values())
    if expired > max(2, _MOST_EXPIRED * len(leases)):
        yield f"{expired} of {len(leases)} leases were ended by their time"
    for task in books.tasks:
        lease = leases.pop(lease_id(task.id), None)
        charged = lease.settled + lease.held if lease else 0
        if charged != task.spent:
            yield f"{task.id[:8]} ({task.status}) is charged {charged}, it was billed {task.spent}"
    yield from (f"lease {lease.id[:8]} is nobody's: {lease}" for lease in leases.values() if lease.settled)
    for draws in ledger.draws.values():
        yield from _of_the_calls(world, draws)


def _of_the_calls(world: World, draws: list[Draw]) -> Iterator[str]:
    """Yield where a run's draws are not what the provider served and charged."""
    answered = Counter((drawn.document, drawn.step) for drawn in draws if drawn.answer)
    if max(answered.values(), default=0) > 1 and not {Kind.ZOMBIE, Kind.RIVALS} & world.plan.kinds:
        yield f"one question was answered twice: {answered}"
    for drawn in draws:
        paid = world.provider.charged.get(drawn.id, [])
        if len(paid) > 1:
            yield f"the provider served {drawn.id[:8]} {len(paid)} times under one name"
        if sum(paid) > charge(drawn):
            yield f"the provider charged {sum(paid)} for {drawn.id[:8]}, which is {drawn.state} at {charge(drawn)}"
        if drawn.state == "settled" and sum(paid) != drawn.actual:
            yield f"draw {drawn.id[:8]} is settled at {drawn.actual}, the provider charged {sum(paid)}"
