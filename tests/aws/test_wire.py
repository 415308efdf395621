from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aws import wire
from shared.errors import Conflict, Duplicate, FabricError, Forbidden, NotFound, Permanent, Transient
from shared.events.catalog import parse
from shared.problems import code_of
from tests.aws.stage import http_event, sample

if TYPE_CHECKING:
    from pathlib import Path


def test_the_samples_carry_the_canonical_event(root: Path) -> None:
    """A Kinesis record and a hand-over message of the canonical event both yield that event."""
    event = parse((root / "tests/samples/event.json").read_bytes())
    (record,) = sample("kinesis.json")["Records"]
    (message,) = sample("sqs.json")["Records"]
    assert parse(wire.kinesis_body(record)) == event
    assert parse(wire.sqs_body(message)) == event


def test_a_request_is_read_from_its_envelope() -> None:
    """Route, caller, path, query, headers and body all come from where API Gateway puts them."""
    event = http_event("GET /tasks/{id}", id="task-1", changes={"queryStringParameters": {"a": "b"}, "body": "ü"})
    request = wire.request(event, ["GET /tasks/{id}"])
    assert (request.tenant, request.person, request.path, request.query) == (
        "local",
        "ann",
        {"id": "task-1"},
        {"a": "b"},
    )
    assert (request.headers["host"], request.body) == ("api-id.execute-api.eu-central-1.amazonaws.com", "ü".encode())


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("GET /tasks/{id}", "/tasks/a%20b", {"id": "a b"}),
        ("GET /tasks/{id}", "/tasks/", None),
        ("GET /tasks/{id}", "/tasks/a/b", None),
        ("GET /tasks", "/tasks/", {}),
        ("GET /tasks", "/tools", None),
        ("POST /tasks", "/tasks", None),
        ("GET /tasks/{id}/cancel", "/tasks/a/cancel", {"id": "a"}),
    ],
)
def test_paths_are_matched_segment_by_segment(template: str, path: str, expected: dict[str, str] | None) -> None:
    """A parameter stands for exactly one segment that is not empty."""
    assert wire.matched(template, "GET", path) == expected


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Transient("x", retry_after=0.1), 503, "try-later"),
        (Conflict("x"), 409, "conflict"),
        (Duplicate("x"), 409, "duplicate"),
        (Forbidden("x", code="anything"), 403, "anything"),
        (NotFound("x"), 404, "not-found"),
        (Permanent("x", code="oversize"), 413, "oversize"),
        (Permanent("x", code="key-reused"), 422, "key-reused"),
        (Permanent("x", code="already-over"), 409, "already-over"),
        (Permanent("x", code="anything"), 400, "anything"),
        (Permanent("x", code="unauthenticated"), 401, "unauthenticated"),
    ],
)
def test_a_verdict_has_its_status(error: FabricError, status: int, code: str) -> None:
    """One table says what a verdict means in HTTP."""
    answer = wire.problem(error)
    assert (answer["statusCode"], code_of(error)) == (status, code)
    assert ("retry-after" in answer["headers"]) is isinstance(error, Transient)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (Conflict("lost"), Transient, "lost"),
        (Transient("busy"), Transient, "busy"),
        (NotFound("gone"), Permanent, "[not-found] gone"),
        (Permanent("bad", where="a.b"), Permanent, "[invalid] a.b: bad"),
    ],
)
def test_a_verdict_has_one_of_two_names(error: FabricError, kind: type[FabricError], message: str) -> None:
    """Step Functions sees Transient or Permanent, never a subclass, and reads the code from the message."""
    named = wire.named(error)
    assert (type(named), str(named)) == (kind, message)
