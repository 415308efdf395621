"""The home store for the other clouds: its ports as operations over HTTPS, one table of them.

An operation is a request model and one call of a port. Nothing is decided here, and no tenant is taken from a token:
who may come in at all is a function of this fabric, which speaks for every tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from aws.adapters.pipelines import StillRunning
from aws.adapters.telemetry import count
from aws.asked import (
    Asked,
    Decided,
    Due,
    Execution,
    Noted,
    OfApproval,
    OfDocument,
    OfDraw,
    OfDraws,
    OfEntity,
    OfLease,
    OfSetting,
    OfStep,
    OfTask,
    OfTenant,
    Paged,
    Posted,
    Published,
    Sent,
    Unsent,
    Waiting,
)
from aws.verdicts import http
from aws.wire import Json, Request, answer, peer_request
from aws.wiring import ports
from shared.app.findings import findings
from shared.core.approval import Approval
from shared.core.ledger import Draw, Lease
from shared.core.ledger_rows import encode
from shared.core.task import PARKED, Progress, Status, Task
from shared.core.workflow import pipeline_input
from shared.errors import Permanent
from shared.events.catalog import AnyEvent, checked
from shared.events.strict import load_object
from shared.ports import Change, Ports

NOT_UNDERSTOOD = "not-understood"  # the two clouds run different versions: a fault of neither task nor document
MOST_ANSWERED = 1024 * 1024  # bytes of a list's items; Lambda answers with 6 MB, in which they are escaped once more
_ITSELF = frozenset({"oversize", "too-deep"})  # what is wrong with the content, whoever understands it


def _post(mine: Ports, asked: Posted) -> Json:
    mine.ledger.post(asked.posting())
    return {}


def _rows(name: str, found: Sequence[Lease | Draw]) -> Json:
    """Return as many rows as one answer holds, from the first on: at least one."""
    shown: list[str] = []
    room = MOST_ANSWERED
    for text in map(encode, found):
        room -= len(text.encode())
        if shown and room < 0:
            break
        shown.append(text)
    return {name: shown}


def _text(row: Lease | Draw | None) -> str | None:
    return None if row is None else encode(row)


def _commit(mine: Ports, asked: Decided) -> Json:
    posting = None if asked.posting is None else asked.posting.posting()
    mine.tasks.commit(
        Change(asked.task, asked.expected, asked.events, asked.claim, asked.entry, asked.approvals, posting)
    )
    return {}


def _note(mine: Ports, asked: Noted) -> Json:
    mine.tasks.note(asked.events)
    return {}


def _publish(mine: Ports, asked: Published) -> Json:
    mine.bus.publish([(message.route, message.event) for message in asked.messages])
    return {}


def _mark_sent(mine: Ports, asked: Sent) -> Json:
    mine.outbox.mark_sent(asked.events)
    return {}


def _find_entry(mine: Ports, asked: OfStep) -> Json:
    entry = mine.journal.find(asked.tenant, asked.task, asked.document, asked.step)
    return {"entry": entry and entry.model_dump(mode="json")}


def _run(mine: Ports, asked: Execution) -> Json:
    """Run a pipeline to its end, or as long as anybody may wait here; then `look` tells how it ended."""
    try:
        return {"output": mine.pipelines.run(asked.workflow, asked.name, asked.given.model_dump(mode="json"))}
    except StillRunning:
        count("PipelinesLong")
        return {"output": None}


def _look(mine: Ports, asked: OfDocument) -> Json:
    """Return the output that a document's pipeline will end with, as soon as its journal and its task have it."""
    task = mine.tasks.load(asked.tenant, asked.task)
    progress = task.at(asked.document)
    if progress is Progress.FAILED:
        raise Permanent("the document failed; its record says why", code="pipeline-failed")
    if task.status is Status.PARKED:
        raise Permanent(f"the task is parked: {task.reason}", code=PARKED)
    if progress is Progress.CANCELLED:
        raise Permanent("the task is over", code="task-over")
    try:
        found = findings(mine, task, asked.document)
    except Permanent as missing:
        if missing.code != "not-ready":
            raise
        return {"output": None}
    if not found.asks and progress is not Progress.REVIEWED:  # the pipeline still has to record it
        return {"output": None}
    return {"output": pipeline_input(task.tenant, task.id, asked.document, task.run) | {"results": found.steps}}


def _listed(name: str, found: Sequence[Task | Approval | AnyEvent]) -> Json:
    """Return as many as one answer holds, from the first on, and whether there were more."""
    shown: list[Json] = []
    room = MOST_ANSWERED
    for one in found:
        room -= len(one.model_dump_json().encode())
        if shown and room < 0:
            break
        shown.append(one.model_dump(mode="json"))
    return {name: shown, "more": len(shown) < len(found)}


class Operation(NamedTuple):
    """What is asked, and what is done with it."""

    asks: type[Asked]
    does: Callable[[Ports, Any], Json]


OPERATIONS: Mapping[str, Operation] = {
    "tasks.load": Operation(
        OfTask, lambda mine, of: {"task": mine.tasks.load(of.tenant, of.task).model_dump(mode="json")}
    ),
    "tasks.last_sequence": Operation(
        OfEntity, lambda mine, of: {"last": mine.tasks.last_sequence(of.tenant, of.entity)}
    ),
    "tasks.page": Operation(
        Paged, lambda mine, of: _listed("tasks", mine.tasks.page(of.tenant, limit=of.limit, after=of.after))
    ),
    "tasks.parked": Operation(
        Waiting, lambda mine, of: _listed("tasks", mine.tasks.parked(limit=of.limit, after=of.after))
    ),
    "tasks.commit": Operation(Decided, _commit),
    "tasks.note": Operation(Noted, _note),
    "outbox.unsent": Operation(
        Unsent,
        lambda mine, of: _listed("events", mine.outbox.unsent(limit=of.limit, tenant=of.tenant, entity=of.entity)),
    ),
    "outbox.mark_sent": Operation(Sent, _mark_sent),
    "journal.find": Operation(OfStep, _find_entry),
    "approvals.find": Operation(
        OfApproval,
        lambda mine, of: {"approval": mine.approvals.find(of.tenant, of.approval).model_dump(mode="json")},
    ),
    "approvals.pending": Operation(
        Paged, lambda mine, of: _listed("approvals", mine.approvals.pending(of.tenant, limit=of.limit, after=of.after))
    ),
    "ledger.account": Operation(OfTenant, lambda mine, of: {"account": encode(mine.ledger.account(of.tenant))}),
    "ledger.lease": Operation(OfLease, lambda mine, of: {"lease": _text(mine.ledger.lease(of.tenant, of.lease))}),
    "ledger.draw": Operation(OfDraw, lambda mine, of: {"draw": _text(mine.ledger.draw(of.tenant, of.lease, of.draw))}),
    "ledger.post": Operation(Posted, _post),
    "ledger.leases": Operation(
        Paged, lambda mine, of: _rows("leases", mine.ledger.leases(of.tenant, limit=of.limit, after=of.after))
    ),
    "ledger.draws": Operation(
        OfDraws,
        lambda mine, of: _rows("draws", mine.ledger.draws(of.tenant, of.lease, limit=of.limit, after=of.after)),
    ),
    "ledger.overdue": Operation(Due, lambda mine, of: _rows("leases", mine.ledger.overdue(of.at, limit=of.limit))),
    "settings.read": Operation(OfSetting, lambda mine, of: asdict(mine.settings.read(of.name))),
    "bus.publish": Operation(Published, _publish),
    "pipelines.run": Operation(Execution, _run),
    "pipelines.look": Operation(OfDocument, _look),
}


def serve(request: Request) -> Json:
    """POST /fabric/{operation}: do what a port of the home store does."""
    name = request.path["operation"]
    operation = OPERATIONS.get(name)
    if operation is None:
        raise Permanent(f"no operation {name[:80]!r}; known: {', '.join(OPERATIONS)}", code=NOT_UNDERSTOOD)
    return answer(200, operation.does(ports(), _read(operation.asks, request.body)))


def _read(model: type[Asked], body: bytes) -> Asked:
    try:
        return checked(model, load_object(body), code=NOT_UNDERSTOOD)
    except Permanent as fault:
        if fault.code in _ITSELF or fault.code == NOT_UNDERSTOOD:
            raise
        raise Permanent(f"[{fault.code}] {fault}", code=NOT_UNDERSTOOD) from fault


ROUTES = {"POST /fabric/{operation}": serve}

handler = http(ROUTES, peer_request)
