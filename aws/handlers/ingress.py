"""The front door for tasks: submit, look, list, cancel.

Routes are API Gateway's keys in a table. Powertools' resolver would match paths a second time, for 95 ms of every
cold start; the envelope says which route it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from aws.adapters.telemetry import count, note
from aws.verdicts import http
from aws.wire import SOURCE, Json, Request, answer
from aws.wiring import ports
from shared.app import tasks
from shared.app.leases import lease_id
from shared.core.admission import Submission
from shared.errors import Permanent
from shared.events.catalog import checked
from shared.events.strict import load_object

if TYPE_CHECKING:
    from shared.core.task import Task

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_DEFAULT_PAGE = 50


class Cancellation(BaseModel):
    """Why a task is to stop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(default="", max_length=500)


class Page(BaseModel):
    """Which tasks to list: how many, and those after which one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=_DEFAULT_PAGE, ge=1, le=100)
    after: str = Field(default="", max_length=80)


def submit(request: Request) -> Json:
    """POST /tasks: accept the task and say where to look for it."""
    key = _idempotency_key(request)
    submission = checked(Submission, load_object(request.body))
    task = tasks.submit(ports(), request.tenant, request.person, submission, key, source=SOURCE)
    count("TasksSubmitted")
    note("task submitted", tenant=task.tenant, task=task.id)
    body = {"id": task.id, "status": task.status, "links": _links(task)}
    return answer(202, body, {"location": f"/tasks/{task.id}"})


def status(request: Request) -> Json:
    """GET /tasks/{id}: how far the task is."""
    return answer(200, _whole(ports().tasks.load(request.tenant, request.path["id"])))


def listing(request: Request) -> Json:
    """GET /tasks: the tenant's tasks, page by page."""
    page = checked(Page, dict(request.query))
    found = ports().tasks.page(request.tenant, limit=page.limit + 1, after=page.after)
    shown = found[: page.limit]
    more = len(found) > len(shown)
    following = f"/tasks?{urlencode({'limit': page.limit, 'after': shown[-1].id})}" if more else None
    return answer(200, {"tasks": [_brief(task) for task in shown], "next": following})


def cancel(request: Request) -> Json:
    """POST /tasks/{id}/cancel: stop the task; what was reviewed stays reviewed."""
    asked = checked(Cancellation, load_object(request.body) if request.body else {})
    found = request.path["id"]
    task = tasks.cancel(ports(), request.tenant, found, request.person, asked.reason, source=SOURCE)
    note("task cancelled", tenant=task.tenant, task=task.id)
    return answer(200, _whole(task))


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if not _KEY.fullmatch(key):
        what = "missing" if not key else "not 1 to 255 printable characters without blanks"
        advice = "send a new one, such as a UUID, with each new task and the same one with each repetition"
        raise Permanent(f"{what}; {advice}", code="idempotency-key", where="headers.idempotency-key")
    return key


def _links(task: Task) -> dict[str, str]:
    return {"self": f"/tasks/{task.id}", "cancel": f"/tasks/{task.id}/cancel"}


def _brief(task: Task) -> Json:
    return {
        "id": task.id,
        "status": task.status,
        "placed_on": task.placed_on,
        "workflow": task.workflow,
        "entity": task.entity,
        "submitted_by": task.submitted_by,
        "submitted_at": task.submitted_at.isoformat(),
        "documents": len(task.documents),
        "waiting": task.waiting,
        "spent_micro_usd": task.spent,
        "reason": task.reason,
        "parked_for": task.parked_for,
        "parked_until": task.parked_until and task.parked_until.isoformat(),
        "links": _links(task),
    }


def _whole(task: Task) -> Json:
    """Return a task as its client sees it."""
    documents = [
        {"name": ref.name, "uri": ref.uri, "sha256": ref.sha256, "status": done}
        for ref, done in zip(task.documents, task.progress, strict=False)
    ]
    return _brief(task) | _money(task) | {"documents": documents}


def _money(task: Task) -> Json:
    """Return the task's budget, and what the ledger says of it."""
    lease = ports().ledger.lease(task.tenant, lease_id(task.id))
    told = lease and {
        "state": lease.state,
        "leased_micro_usd": lease.amount,
        "settled_micro_usd": lease.settled,
        "held_micro_usd": lease.held,
    }
    return {"budget_micro_usd": task.budget, "priority": task.priority, "ledger": told}


ROUTES = {
    "POST /tasks": submit,
    "GET /tasks": listing,
    "GET /tasks/{id}": status,
    "POST /tasks/{id}/cancel": cancel,
}

handler = http(ROUTES)
