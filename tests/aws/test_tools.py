from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aws.handlers import tool
from shared.errors import Permanent
from shared.tools.registry import names
from tests.aws.stage import NOTHING, PLAIN, TEXT, http_event

if TYPE_CHECKING:
    from tests.aws.stage import Answer, Json, Stage


def post(stage: Stage, name: str, arguments: Any, **changes: Any) -> Answer:
    """Call a tool over HTTP."""
    body = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return stage.call_tools(http_event("POST /tools/{name}", name=name, changes={"body": body} | changes))


def test_every_tool_is_listed_with_its_schema(stage: Stage) -> None:
    """The list of tools is what a model needs for calling them."""
    listed = stage.call_tools(http_event("GET /tools")).body["tools"]
    assert [entry["name"] for entry in listed] == list(names())
    assert all(entry["parameters"]["type"] == "object" and entry["description"] for entry in listed)


def test_a_tool_is_called_over_http(stage: Stage) -> None:
    """A tool that needs no model answers at once and leaves no trace in any task."""
    answer = post(stage, "extract", {"document": stage.document().model_dump(mode="json")})
    assert (answer.status, answer.body["characters"]) == (200, len(TEXT))
    assert stage.written() == NOTHING


def test_a_tool_is_called_by_a_plain_invocation(stage: Stage) -> None:
    """Another function or a state machine names the tenant and gets the bare output."""
    arguments = {"document": stage.document().model_dump(mode="json")}
    output = tool.handler({"tenant": "local", "name": "extract", "arguments": arguments}, None)
    assert output["text"] == stage.document().model_dump(mode="json")


@pytest.mark.parametrize("name", ["classify", "summarise"])
def test_a_tool_that_pays_for_a_model_needs_a_task(stage: Stage, name: str) -> None:
    """Nothing outside a task has a budget, so a model is refused and nothing is spent."""
    text, taxonomy = stage.document(), stage.document(PLAIN)
    references = {"text": text.model_dump(mode="json"), "taxonomy": taxonomy.model_dump(mode="json")}
    answer = post(stage, name, references)
    assert (answer.status, answer.body["code"]) == (403, "needs-task")
    assert stage.written() == NOTHING


@pytest.mark.parametrize(
    ("name", "arguments", "changes", "status", "code"),
    [
        ("format-disk", {}, {}, 404, "not-found"),
        ("_reading", {}, {}, 404, "not-found"),
        ("registry", {}, {}, 404, "not-found"),
        ("extract", {}, {}, 400, "invalid-arguments"),
        ("extract", {"document": "x"}, {}, 400, "invalid-arguments"),
        ("extract", "[]", {}, 400, "broken-json"),
        ("extract", "", {}, 400, "broken-json"),
        ("extract", {}, {"requestContext.authorizer.jwt.claims.tenant": "nobody"}, 403, "unknown-tenant"),
        ("extract", {}, {"requestContext.authorizer": None}, 401, "unauthenticated"),
    ],
)
def test_a_bad_call_is_refused(stage: Stage, name: str, arguments: Any, changes: Json, status: int, code: str) -> None:
    """A stranger, an unknown tool and wrong arguments are told apart by status and code."""
    answer = post(stage, name, arguments, **changes)
    assert (answer.status, answer.body["code"]) == (status, code)


def test_no_tool_reads_out_of_bounds(stage: Stage) -> None:
    """A direct call reads what a task could read, and nothing else."""
    ref = stage.document().model_dump(mode="json") | {"uri": "file:///../etc/passwd"}
    assert post(stage, "extract", {"document": ref}).body["code"] == "out-of-bounds"


@pytest.mark.parametrize(
    "event", [{}, {"name": "extract", "arguments": {}}, {"tenant": "local", "name": 1, "arguments": {}}]
)
def test_a_plain_invocation_that_is_not_in_order_is_refused(stage: Stage, event: Json) -> None:
    """A plain invocation without tenant, name or arguments is Permanent."""
    with pytest.raises(Permanent, match=r"^\[invalid\]"):
        tool.handler(event, None)
    assert stage.written() == NOTHING
