"""The operators' door: the policy, the tenants' accounts, the switches that stop work. For the role `operator` alone.

What is decided here concerns every tenant, so no tenant is asked for and none can ask.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aws.adapters.telemetry import count, note
from aws.verdicts import http
from aws.wire import SOURCE, Json, Request, answer, operator_request
from aws.wiring import ports
from shared.app import operating, settling, switches, trail
from shared.core.switches import Scope
from shared.errors import Permanent
from shared.events.catalog import checked
from shared.events.ids import MicroUsd, TaskId, Tenant, Tokens
from shared.events.strict import load_object

if TYPE_CHECKING:
    from shared.core.ledger import Draw
    from shared.core.switches import Switch
    from shared.ports import Ports

_REVISION = re.compile(r'"?([0-9]{1,15})"?')
_DEFAULT_PAGE = 50


class Page(BaseModel):
    """Which tenants to list: one by its name, or so many of those after one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=_DEFAULT_PAGE, ge=1, le=100)
    after: str = Field(default="", max_length=80)
    name: str = Field(default="", max_length=80)


class Deeds(BaseModel):
    """Which deeds to list: so many of those after one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=_DEFAULT_PAGE, ge=1, le=100)
    after: int = Field(default=0, ge=0)


class Part(BaseModel):
    """A part of the work: a tenant's, a workflow's, or all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: Scope
    name: str = Field(default="", max_length=64)

    @model_validator(mode="after")
    def _named_unless_all(self) -> Self:
        if (self.scope == "all") == bool(self.name):
            raise ValueError("a tenant or a workflow has a name, all has none")
        return self


class Stop(Part):
    """What to stop, and why; whoever is stopped reads it."""

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


class Version(BaseModel):
    """Which policy to show: the one in force, or what was in force under a version, or under its prices' version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(default="", max_length=80)


def show_policy(request: Request) -> Json:
    """GET /operator/policy: what is written, and the ETag by which it is changed; or what had a version."""
    asked = checked(Version, dict(request.query)).version
    if asked:
        return answer(200, {"text": operating.policy_of(_mine(), asked), "version": asked})
    found = operating.policy(_mine())
    body = {"text": found.text, "revision": found.revision, "version": found.version}
    return answer(200, body, {"etag": _tag(found.revision)})


def put_policy(request: Request) -> Json:
    """PUT /operator/policy: the body is the whole policy; a broken one, or one made from an older, changes nothing."""
    before = _revision(request)
    policy = operating.put_policy(_mine(), _text(request.body), before, by=request.person)
    count("PolicyChanged")
    note("policy changed", operator=request.person, version=policy.version)
    counted = {"tenants": len(policy.tenants), "candidates": len(policy.candidates)}
    body = {"revision": before + 1, "version": policy.version, **counted}
    return answer(200, body, {"etag": _tag(before + 1)})


def list_tenants(request: Request) -> Json:
    """GET /operator/tenants: limits, and what is used of them, page by page or of one tenant."""
    page, mine = checked(Page, dict(request.query)), _mine()
    if page.name:
        return answer(200, {"tenants": [operating.tenant(mine, page.name)], "next": None})
    found = operating.tenants(mine, limit=page.limit + 1, after=page.after)
    shown = found[: page.limit]
    query = urlencode({"limit": page.limit, "after": shown[-1]["tenant"]}) if len(found) > len(shown) else ""
    return answer(200, {"tenants": shown, "next": f"/operator/tenants?{query}" if query else None})


def list_switches(_request: Request) -> Json:
    """GET /operator/switches: what is stopped."""
    return answer(200, {"switches": _shown(switches.switched(_mine()))})


def stop(request: Request) -> Json:
    """PUT /operator/switches: stop new calls of models; stopping again changes who did it and why."""
    asked = checked(Stop, load_object(request.body))
    made = operating.stop(_mine(), asked.scope, asked.name, by=request.person, reason=asked.reason)
    count("WorkStopped")
    note("work stopped", operator=request.person, scope=made.stops)
    return answer(200, {"stopped": made.stops, "switch": made.model_dump(mode="json")})


def start(request: Request) -> Json:
    """DELETE /operator/switches: let work go on, and say what is still stopped."""
    asked, mine = checked(Part, dict(request.query)), _mine()
    switches.start(mine, asked.scope, asked.name, by=request.person)
    count("WorkStarted")
    note("work started", operator=request.person, scope=f"{asked.scope} {asked.name}".rstrip())
    return answer(200, {"switches": _shown(switches.switched(mine))})


def is_quiet(request: Request) -> Json:
    """GET /operator/quiet: whether no such call can be out any more."""
    asked = checked(Part, dict(request.query))
    return answer(200, {"quiet": operating.quiet(_mine(), asked.scope, asked.name)})


def read_trail(request: Request) -> Json:
    """GET /operator/trail: who changed what of this, page by page; on its last page, whether the whole of it holds."""
    page, mine = checked(Deeds, dict(request.query)), _mine()
    found = trail.deeds(mine.settings, after=page.after, limit=page.limit)
    body: Json = {"deeds": [deed.model_dump(mode="json") for deed in found]}
    if len(found) == page.limit:
        query = urlencode({"limit": page.limit, "after": found[-1].number})
        return answer(200, body | {"next": f"/operator/trail?{query}"})
    held = trail.check(mine.settings, *operating.CHANGED)
    return answer(200, body | {"next": None, "checked": {"intact": held.intact, **asdict(held)}})


class OfTask(BaseModel):
    """A task of a tenant's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tenant: Tenant
    task: TaskId


class Cost(OfTask):
    """What a call of unknown outcome has cost, and how the operator knows."""

    draw: str = Field(min_length=1, max_length=80)
    cost_micro_usd: MicroUsd
    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


def list_calls(request: Request) -> Json:
    """GET /operator/calls: the calls of a task that are charged at their worst case, as nobody knows their end."""
    asked = checked(OfTask, dict(request.query))
    return answer(200, {"calls": [_call(one) for one in settling.unknown(_mine(), asked.tenant, asked.task)]})


def settle(request: Request) -> Json:
    """PUT /operator/calls: say what such a call has cost; saying the same again changes nothing."""
    asked = checked(Cost, load_object(request.body))
    said = settling.Said(
        asked.draw, asked.cost_micro_usd, asked.tokens_in, asked.tokens_out, request.person, asked.reason
    )
    done = settling.settle(_mine(), asked.tenant, asked.task, said, source=SOURCE)
    count("CallSettled")
    note("call settled", operator=request.person, scope=f"call {done.id}")
    return answer(200, _call(done) | {"cost_micro_usd": done.actual})


def _call(drawn: Draw) -> Json:
    who = {"draw": drawn.id, "document": drawn.document, "step": drawn.step, "deployment": drawn.deployment}
    return who | {"state": drawn.state, "worst_micro_usd": drawn.worst}


def _mine() -> Ports:
    return operating.as_is(ports())


def _shown(found: tuple[Switch, ...]) -> list[Json]:
    return [{"stops": one.stops, **one.model_dump(mode="json")} for one in found]


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Permanent(f"not UTF-8: {error.reason}", code="bad-policy", where="body") from error


def _revision(request: Request) -> int:
    found = _REVISION.fullmatch(request.headers.get("if-match", ""))
    if found is None:
        what = "send the ETag of the policy that yours is made from, as GET answers it"
        raise Permanent(what, code="if-match", where="headers.if-match")
    return int(found[1])


def _tag(revision: int) -> str:
    return f'"{revision}"'


ROUTES = {
    "GET /operator/policy": show_policy,
    "PUT /operator/policy": put_policy,
    "GET /operator/tenants": list_tenants,
    "GET /operator/switches": list_switches,
    "PUT /operator/switches": stop,
    "DELETE /operator/switches": start,
    "GET /operator/quiet": is_quiet,
    "GET /operator/calls": list_calls,
    "PUT /operator/calls": settle,
    "GET /operator/trail": read_trail,
}

handler = http(ROUTES, operator_request)
