from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never

import pytest

from local.wiring import using
from shared.core.task import Status
from shared.errors import Transient
from tests.aws.stage import NOTHING, http_event

if TYPE_CHECKING:
    from tests.aws.stage import Json, Stage


def test_a_submission_is_accepted_with_an_id(stage: Stage) -> None:
    """A submission in order is answered 202 with the task's id and where to look for it."""
    answer = stage.submit()
    task = answer.body["id"]
    assert (answer.status, answer.headers["location"]) == (202, f"/tasks/{task}")
    assert answer.body == {
        "id": task,
        "status": "admitted",
        "links": {"self": f"/tasks/{task}", "cancel": f"/tasks/{task}/cancel"},
    }


def test_the_caller_pays_and_signs(stage: Stage) -> None:
    """Tenant and person are those of the verified token."""
    task = stage.submitted()
    assert (task.tenant, task.submitted_by) == ("local", "ann")


def test_the_same_key_is_the_same_task(stage: Stage) -> None:
    """A repetition with its key is answered with the task that is there, and nothing more is written."""
    first = stage.submit()
    written = stage.written()
    again = stage.submit()
    assert (again.status, again.body) == (first.status, first.body)
    assert stage.written() == written


def test_another_key_is_another_task(stage: Stage) -> None:
    """The same submission under another key is another task."""
    assert stage.submit(key="key-1").body["id"] != stage.submit(key="key-2").body["id"]


def test_a_body_in_base64_is_read(stage: Stage) -> None:
    """API Gateway may hand a body over in base64."""
    body = base64.b64encode(json.dumps(stage.submission()).encode()).decode()
    event = http_event("POST /tasks", changes={"body": body, "isBase64Encoded": True})
    assert stage.call(event).status == 202


def test_an_api_with_only_a_default_route_is_served(stage: Stage) -> None:
    """Where API Gateway does not match paths, the handlers do."""
    event = http_event("POST /tasks", changes={"body": json.dumps(stage.submission()), "routeKey": "$default"})
    task = stage.call(event).body["id"]
    event = http_event("GET /tasks/{id}", id=task, changes={"routeKey": "$default", "pathParameters": None})
    assert stage.call(event).body["id"] == task


def test_a_status_says_how_far_each_document_is(stage: Stage) -> None:
    """A task's status has its documents, its money and its links."""
    task = stage.submitted()
    answer = stage.call(http_event("GET /tasks/{id}", id=task.id))
    assert answer.status == 200
    assert [document["status"] for document in answer.body["documents"]] == ["queued"]
    assert answer.body["budget_micro_usd"] == task.budget
    assert answer.body["links"]["self"] == f"/tasks/{task.id}"


@pytest.mark.parametrize("limit", ["2", "5", "6"])
def test_tasks_are_listed_page_by_page(stage: Stage, limit: str) -> None:
    """Following `next` from page to page shows every task once, in the order of ids."""
    made = sorted(stage.submitted(key=f"key-{n}", entity=f"package-{n}").id for n in range(5))
    seen: list[str] = []
    query: Json | None = {"limit": limit}
    while query is not None:
        page = stage.call(http_event("GET /tasks", changes={"queryStringParameters": query})).body
        assert page["tasks"]
        seen += [task["id"] for task in page["tasks"]]
        following = page["next"]
        query = dict(pair.split("=") for pair in following.split("?")[1].split("&")) if following else None
    assert seen == made


def test_a_listed_task_says_where_it_is_placed(stage: Stage) -> None:
    """The list, like a task's status, says which cloud a task is on, and nothing before it is placed."""
    task = stage.submitted()
    for placed in (None, "aws"):
        (listed,) = stage.call(http_event("GET /tasks")).body["tasks"]
        whole = stage.call(http_event("GET /tasks/{id}", id=task.id)).body
        assert (listed["placed_on"], whole["placed_on"]) == (placed, placed)
        stage.placed(task)


def test_a_task_is_cancelled(stage: Stage) -> None:
    """A cancelled task says why, and cancelling it again changes nothing."""
    task = stage.submitted()
    event = http_event("POST /tasks/{id}/cancel", id=task.id, changes={"body": '{"reason": "a mistake"}'})
    answer = stage.call(event)
    assert (answer.status, answer.body["status"], answer.body["reason"]) == (200, Status.CANCELLED, "a mistake")
    written = stage.written()
    assert stage.call(event).status == 200
    assert stage.written() == written


def test_a_tenant_sees_its_own_tasks_alone(stage: Stage) -> None:
    """Another tenant's task is not found, not listed and not cancelled."""
    task = stage.submitted()
    other = {"requestContext.authorizer.jwt.claims.tenant": "other", "body": "{}"}
    for route in ("GET /tasks/{id}", "POST /tasks/{id}/cancel"):
        assert stage.call(http_event(route, id=task.id, changes=other)).status == 404
    assert stage.call(http_event("GET /tasks", changes=other)).body == {"tasks": [], "next": None}
    assert stage.ports.tasks.load("local", task.id).status is Status.ADMITTED


CLAIMS = "requestContext.authorizer.jwt.claims"
SHA = "a" * 64


def _ref(uri: str, **changes: Any) -> Json:
    return {"uri": uri, "sha256": SHA, "size": 5} | changes


# name: (changes to the submission, changes to the envelope, status, code, where it is wrong)
MALFORMED: dict[str, tuple[Json, Json, int, str, str]] = {
    "empty": ({}, {"body": ""}, 400, "broken-json", ""),
    "no body at all": ({}, {"body": None}, 400, "broken-json", ""),
    "no JSON": ({}, {"body": "entity: package-a"}, 400, "broken-json", ""),
    "half of it": ({}, {"body": '{"entity": "package-'}, 400, "broken-json", ""),
    "an array": ({}, {"body": "[]"}, 400, "broken-json", ""),
    "NaN": ({}, {"body": '{"budget_micro_usd": NaN}'}, 400, "broken-json", ""),
    "a number without end": ({}, {"body": f'{{"budget_micro_usd": {"9" * 5000}}}'}, 400, "broken-json", ""),
    "duplicate key": ({}, {"body": '{"entity": "a", "entity": "b"}'}, 400, "duplicate-key", ""),
    "deep": ({}, {"body": '{"entity": ' + "[" * 500 + "]" * 500 + "}"}, 400, "too-deep", ""),
    "oversize": ({}, {"body": '{"entity": "' + "x" * 256 * 1024 + '"}'}, 413, "oversize", "body"),
    "oversize in base64": ({}, {"body": "eA==" * 100_000, "isBase64Encoded": True}, 413, "oversize", "body"),
    "oversize in bytes": ({}, {"body": "ü" * 200 * 1024}, 413, "oversize", "body"),
    "binary": (
        {},
        {"body": base64.b64encode(b"\x89PNG\r\n\xff").decode(), "isBase64Encoded": True},
        400,
        "broken-json",
        "",
    ),
    "invalid base64": ({}, {"body": "e30=!", "isBase64Encoded": True}, 400, "broken-base64", "body"),
    "wrong types": ({"documents": "all of them"}, {}, 400, "invalid", "documents"),
    "no documents": ({"documents": []}, {}, 400, "invalid", "documents"),
    "no taxonomy": ({"taxonomy": None}, {}, 400, "invalid", "taxonomy"),
    "unknown field": ({"tenant": "victim"}, {}, 400, "invalid", "tenant"),
    "control characters": ({"entity": "a\x1fb"}, {}, 400, "invalid", "entity"),
    "half a character": ({}, {"body": '{"entity": "\\ud800"}'}, 400, "invalid", "entity"),
    "bad uri": ({"documents": [_ref("passwd")]}, {}, 400, "invalid", "documents.0.uri"),
    "bad hash": ({"documents": [_ref("blob:x", sha256="A" * 64)]}, {}, 400, "invalid", "documents.0.sha256"),
    "negative size": ({"documents": [_ref("blob:x", size=-1)]}, {}, 400, "invalid", "documents.0.size"),
    "negative budget": ({"budget_micro_usd": -1}, {}, 400, "invalid", "budget_micro_usd"),
    "path traversal": ({"taxonomy": _ref("file:///../etc/passwd")}, {}, 400, "out-of-bounds", "uri"),
    "hidden traversal": ({"taxonomy": _ref("file:///tmp/%2e%2e/etc/passwd")}, {}, 400, "out-of-bounds", "uri"),
    "another kind of reference": ({"taxonomy": _ref("https://x.example/a")}, {}, 400, "unknown-scheme", "uri"),
    "missing taxonomy": ({"taxonomy": _ref("blob:" + SHA)}, {}, 400, "document-missing", "uri"),
    "large taxonomy": ({"taxonomy": _ref("blob:x", size=50_000_000)}, {}, 413, "oversize", "taxonomy"),
    "too many documents": ({"documents": [_ref("blob:x")] * 41}, {}, 400, "too-many", "documents"),
    "unknown tenant": ({}, {f"{CLAIMS}.tenant": "nobody"}, 403, "unknown-tenant", ""),
    "no authorizer": ({}, {"requestContext.authorizer": None}, 401, "unauthenticated", "sub"),
    "no tenant claim": ({}, {f"{CLAIMS}.tenant": None}, 401, "unauthenticated", "tenant"),
    "no subject claim": ({}, {f"{CLAIMS}.sub": None}, 401, "unauthenticated", "sub"),
    "a tenant that is a key": ({}, {f"{CLAIMS}.tenant": "local#tasks"}, 401, "unauthenticated", "tenant"),
    "missing key": ({}, {"headers.idempotency-key": None}, 400, "idempotency-key", "headers.idempotency-key"),
    "a key with blanks": ({}, {"headers.idempotency-key": "a b"}, 400, "idempotency-key", "headers.idempotency-key"),
    "an endless key": ({}, {"headers.idempotency-key": "k" * 256}, 400, "idempotency-key", "headers.idempotency-key"),
    "another path": ({}, {"routeKey": "PUT /tasks", "requestContext.http.method": "PUT"}, 404, "not-found", ""),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_submission_is_refused_and_leaves_nothing(stage: Stage, name: str) -> None:
    """Each has its status and its code, says where it is wrong, and writes no row anywhere."""
    changes, fields, status, code, where = MALFORMED[name]
    body = json.dumps(stage.submission() | changes if None not in changes.values() else stage.submission(**changes))
    answer = stage.call(http_event("POST /tasks", changes={"body": body, **fields}))
    assert (answer.status, answer.body["code"], answer.body["where"]) == (status, code, where)
    assert answer.body["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert stage.written() == NOTHING


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"workflow": "mine-bitcoin"}, "unknown-workflow"), ({"budget_micro_usd": 10**12}, "budget-too-large")],
)
def test_what_the_tenant_may_not_have_is_refused_on_record(stage: Stage, changes: Json, code: str) -> None:
    """A refusal by policy is answered 403, is kept with its reason, and reaches nobody but the record."""
    for _ in range(2):
        answer = stage.submit(stage.submission(**changes))
        assert (answer.status, answer.body["code"]) == (403, code)
    (task,) = stage.ports.tasks.page("local", limit=10)
    assert [event.type for event in stage.said(task)] == ["task.submitted", "task.rejected"]
    assert stage.written() == NOTHING | {"tasks": 1, "sequences": 1, "inbox": 1, "messages": 2}


def test_a_key_used_for_something_else_is_refused(stage: Stage) -> None:
    """A key that belongs to another submission is answered 422, and the first task stands."""
    first = stage.submit()
    answer = stage.submit(stage.submission(entity="package-b"))
    assert (answer.status, answer.body["code"]) == (422, "key-reused")
    assert [task.id for task in stage.ports.tasks.page("local", limit=10)] == [first.body["id"]]


def test_a_task_that_is_over_cannot_be_cancelled(stage: Stage) -> None:
    """Cancelling what is over for another reason is a conflict."""
    stage.submit(stage.submission(workflow="mine-bitcoin"))
    (task,) = stage.ports.tasks.page("local", limit=1)
    answer = stage.call(http_event("POST /tasks/{id}/cancel", id=task.id))
    assert (answer.status, answer.body["code"]) == (409, "already-over")


@pytest.mark.parametrize(
    ("route", "changes", "status", "code"),
    [
        ("GET /tasks/{id}", {}, 404, "not-found"),
        ("POST /tasks/{id}/cancel", {}, 404, "not-found"),
        ("POST /tasks/{id}/cancel", {"body": '{"because": 1}'}, 400, "invalid"),
        ("GET /tasks", {"queryStringParameters": {"limit": "0"}}, 400, "invalid"),
        ("GET /tasks", {"queryStringParameters": {"limit": "many"}}, 400, "invalid"),
        ("GET /tasks", {"queryStringParameters": {"tenant": "other"}}, 400, "invalid"),
    ],
)
def test_other_bad_requests_are_refused(stage: Stage, route: str, changes: Json, status: int, code: str) -> None:
    """What does not exist is not found, and what is not in order is the request's fault."""
    path = {"id": "none"} if "{id}" in route else {}
    answer = stage.call(http_event(route, changes=changes, **path))
    assert (answer.status, answer.body["code"]) == (status, code)
    assert stage.written() == NOTHING


class Down:
    """A store that fails whatever is asked of it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> Never:
            raise self._error

        return fail


def test_a_passing_failure_says_when_to_come_back(stage: Stage) -> None:
    """Throttling is answered 503 with whole seconds to wait, rounded up."""
    down: Any = Down(Transient("throttled", retry_after=2.2))
    with using(replace(stage.ports, tasks=down)):
        answer = stage.submit()
    assert (answer.status, answer.headers["retry-after"], answer.body["code"]) == (503, "3", "try-later")


def test_an_unforeseen_failure_keeps_its_secrets(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw is answered 500 and noted by its type; its message appears nowhere."""
    down: Any = Down(RuntimeError("the text of a document"))
    with using(replace(stage.ports, tasks=down)):
        answer = stage.submit()
    told = capfd.readouterr()
    assert (answer.status, answer.body["code"]) == (500, "internal")
    assert "RuntimeError" in told.err
    assert "the text of a document" not in told.err + told.out + json.dumps(answer.body)
