"""Tools called directly, over HTTP or by a plain invocation, answered at once."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from aws.adapters.telemetry import count, note
from aws.verdicts import http, pipeline
from aws.wire import Json, Request, answer, is_http
from aws.wiring import ports
from shared.app.tools import call_tool
from shared.events.catalog import checked
from shared.events.ids import Tenant
from shared.events.strict import load_object
from shared.tools.registry import schemas


class Call(BaseModel):
    """A plain invocation; whoever may invoke the function is trusted to say who pays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: Tenant
    name: str = Field(max_length=64)
    arguments: dict[str, Any]


def invoke(event: Json) -> Json:
    """Call a tool for another function or a state machine."""
    asked = checked(Call, event)
    return _called(asked.tenant, asked.name, asked.arguments)


def post(request: Request) -> Json:
    """POST /tools/{name}: the body is the tool's arguments, the answer its output."""
    return answer(200, _called(request.tenant, request.path["name"], load_object(request.body)))


def listing(_request: Request) -> Json:
    """GET /tools: every tool, as a model needs to know it to call it."""
    return answer(200, {"tools": schemas()})


def _called(tenant: str, name: str, arguments: Json) -> Json:
    output = call_tool(ports(), tenant, name, arguments)
    count("ToolsCalled")
    note("tool called", tenant=tenant, tool=name)
    return output


ROUTES = {"GET /tools": listing, "POST /tools/{name}": post}

_over_http = http(ROUTES)
_plainly = pipeline(invoke)


def handler(event: Json, context: object = None) -> Json:
    """Serve both kinds of callers."""
    return _over_http(event, context) if is_http(event) else _plainly(event, context)
