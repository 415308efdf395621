"""What the two functions do: unwrap, call the use case, answer with its verdict.

Pub/Sub delivers a push again until it is answered with 2xx, and holds the entity's later messages back
meanwhile. So whatever was kept (applied, duplicate, parked) is 204, and only what may pass by itself is 503.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from gcp import wire, wiring
from shared.app import record as use
from shared.errors import Forbidden, Permanent
from shared.events.catalog import checked
from shared.events.ids import MAX_NUMBER, Entity
from shared.events.ids import Sequence as Number
from shared.events.strict import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Request, Response

    from shared.core.recording import AuditRow, BillingRow, Parked
    from shared.ports import Cursor

_MAX_QUESTION = 64 * 1024
_DEFAULT_PAGE, _MAX_PAGE = 100, 1000
_log = logging.getLogger(__name__)


@wire.with_verdicts
def record(request: Request) -> Response:
    """Write one pushed event into the record."""
    if request.method != "POST":
        raise Permanent("a push is a POST", code="method-not-allowed")
    wiring.gate().admit_push(wire.headers(request))
    message = wire.unwrap(wire.read_body(request))
    verdict = use.record(wiring.ports(), message.data, message.attributes)
    if verdict != "applied":
        _log.info("message %s: %s", message.message_id, verdict)
    return wire.no_content()


@wire.with_verdicts
def query(request: Request) -> Response:
    """Answer a question about the caller's tenant, or take an operator's decision."""
    asked = _ROUTES.get(request.path)
    if asked is None:
        raise Permanent(f"no such path; there are {', '.join(_ROUTES)}", code="no-such-path")
    method, route = asked
    if request.method != method:
        raise Permanent(f"{request.path} takes {method}", code="method-not-allowed")
    return wire.answer(route(request))


def _tenant(request: Request) -> str:
    return wiring.gate().caller(wire.headers(request)).tenant


def _events(request: Request) -> dict[str, Any]:
    """The applied events of a task or an entity, a page at a time."""
    tenant = _tenant(request)
    named = {name: request.args[name] for name in ("task", "entity") if request.args.get(name)}
    if len(named) != 1:
        raise Permanent("name either a task or an entity", where="task")
    page = _page(request)
    if "entity" in named:
        page["after"] = (named["entity"], page["after"][1])
    rows = wiring.ports().records.history(tenant, **named, **page)
    return {"events": [_event(row) for row in rows], "next": _next(rows, page["limit"])}


def _event(row: AuditRow) -> dict[str, Any]:
    return {"sequence": row.sequence, "hash": row.hash, "event": json.loads(row.body)}


def _bill(request: Request) -> dict[str, Any]:
    """What the tenant, or one of its tasks, used: the sum of all, and the usages a page at a time."""
    tenant, task, records = _tenant(request), request.args.get("task") or None, wiring.ports().records
    page = _page(request)
    rows = records.bill(tenant, task=task, **page)
    usage = [asdict(row) for row in rows]
    return {"cost_micro_usd": records.spent(tenant, task=task), "usage": usage, "next": _next(rows, page["limit"])}


def _parked(request: Request) -> dict[str, Any]:
    """What waits for a gap to close or a person to decide, a page at a time."""
    tenant, entity, page = _tenant(request), request.args.get("entity") or None, _page(request)
    rows = wiring.ports().records.parked(tenant, entity=entity, **page)
    parked = [asdict(row) | {"at": row.at.isoformat()} for row in rows]
    return {"parked": parked, "next": _next(rows, page["limit"])}


class _Page(TypedDict):
    after: Cursor
    limit: int


def _page(request: Request) -> _Page:
    """Read which page is asked for: so many rows after one, `number:entity`; of an entity's own, `number` will do."""
    number, _, entity = request.args.get("after", "0:").partition(":")
    after = (entity, wire.whole(number, "after", least=0, most=MAX_NUMBER))
    return _Page(after=after, limit=wire.number(request, "limit", _DEFAULT_PAGE, least=1, most=_MAX_PAGE))


def _next(rows: Sequence[AuditRow | BillingRow | Parked], limit: int) -> str | None:
    """Return what the next page comes after, or None when there was less than a page."""
    return f"{rows[-1].sequence}:{rows[-1].entity}" if len(rows) == limit else None


def _verify(request: Request) -> dict[str, Any]:
    """Whether the entity's audit trail still is what was written."""
    entity = request.args.get("entity")
    if not entity:
        raise Permanent("name the entity", where="entity")
    found = use.verify(wiring.ports(), _tenant(request), entity)
    return asdict(found) | {"intact": found.broken is None}


class _Skip(BaseModel):
    """An operator's decision on a parked number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entity: Entity
    sequence: Number
    reason: str = Field(min_length=1, max_length=1000)


def _skip(request: Request) -> dict[str, Any]:
    """Let an entity go on without the number that holds it back."""
    caller = wiring.gate().caller(wire.headers(request))
    if not caller.operator:
        raise Forbidden(f"{caller.name} is not an operator of this record")
    said = checked(_Skip, load_object(wire.read_body(request, most=_MAX_QUESTION)))
    verdict = use.skip(wiring.ports(), caller.tenant, said.entity, said.sequence, by=caller.name, reason=said.reason)
    return {"verdict": verdict}


_ROUTES: dict[str, tuple[str, Callable[[Request], dict[str, Any]]]] = {
    "/events": ("GET", _events),
    "/bill": ("GET", _bill),
    "/parked": ("GET", _parked),
    "/verify": ("GET", _verify),
    "/skip": ("POST", _skip),
}
