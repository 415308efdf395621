"""What strangers may send, at every door of every cloud: bounded before it is parsed, plain, and said once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from http import HTTPStatus

import pytest

from aws.wire import MAX_BODY, MAX_PEER_BODY
from azure.fabric.wire import MAX_DECISION
from gcp.wire import MAX_BODY as MAX_PUSH
from local.clouds import aws, gcp
from local.review import claims
from local.wiring import TENANT, using
from providers.http import Response, content
from shared.app import policy
from shared.core.completion import NoAnswer
from shared.core.phrasing import said
from shared.core.taxonomy import parse_taxonomy
from shared.errors import Permanent
from shared.events.limits import CLAIM_CHECK
from tests.aws.stage import http_event
from tests.local.stage import PERSON, Fabric, fabric

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
BROKEN = {
    "a key twice": b'{"entity": "a", "entity": "b"}',
    "a key twice inside": b'{"a": [{"b": 1, "b": 2}]}',
    "an escaped key twice": b'{"entity": 1, "\\u0065ntity": 2}',
    "no number": b'{"a": NaN}',
    "no end": b'{"a": Infinity}',
    "too large a number": b'{"a": 1e999}',
    "too deep": b'{"a":' * 33 + b"1" + b"}" * 33,
    "far too deep": b'{"a":' + b"[" * 10_000,
    "no JSON": b'{"a": ',
    "no text": b"\xff\xfe",
    "no object": b"[1]",
}
Door = Callable[[Fabric, bytes], str]


def over_http(function: str, route: str, most: int) -> tuple[Door, int]:
    """Return a door of API Gateway: what it answers, as a problem's code."""

    def door(_: Fabric, body: bytes) -> str:
        told = {"sub": PERSON, "tenant": TENANT, "roles": "[operator fabric]"}
        event = http_event(route, id="t", name="classify", operation="tasks.load")
        event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        event["requestContext"]["authorizer"]["jwt"]["claims"] |= told
        event["headers"] |= {"idempotency-key": "one", "if-match": '"0"'}
        answer = aws.invoke(function, event)
        assert answer["statusCode"] >= HTTPStatus.BAD_REQUEST
        return str(json.loads(answer["body"])["code"])

    return door, most


def decision(made: Fabric, body: bytes) -> str:
    """An approver's vote, on Azure."""
    status, told = made.engine.azure.call(
        "POST", "/api/approvals/one/decision", person=PERSON, roles=["reviewer"], body=body.decode("latin-1")
    )
    assert status >= HTTPStatus.BAD_REQUEST
    return str(told["code"])


def review(made: Fabric, body: bytes) -> str:
    """An event for a review, over HTTP."""
    status, told = made.engine.azure.call(
        "POST", "/api/reviews", person=PERSON, roles=["fabric"], body=body.decode("latin-1")
    )
    assert status >= HTTPStatus.BAD_REQUEST
    return str(told["code"])


def push(_: Fabric, body: bytes) -> str:
    """A push of Pub/Sub: the envelope itself."""
    response = gcp._request("record", "POST", "/", {}, body)
    assert response.status_code >= HTTPStatus.BAD_REQUEST
    return str(json.loads(response.get_data())["code"])


def skip(_: Fabric, body: bytes) -> str:
    """An operator's decision on a parked number."""
    response = gcp._request("query", "POST", "/skip", {}, body, {"X-Agentfabric-Tenant": TENANT})
    assert response.status_code >= HTTPStatus.BAD_REQUEST
    return str(json.loads(response.get_data())["code"])


def provider(_: Fabric, body: bytes) -> str:
    """A provider's response."""
    with pytest.raises(NoAnswer) as refused:
        content(Response(200, {"content-type": "application/json"}, body))
    return refused.value.code


DOORS: dict[str, tuple[Door, int]] = {
    "submission": over_http("ingress", "POST /tasks", MAX_BODY),
    "cancellation": over_http("ingress", "POST /tasks/{id}/cancel", MAX_BODY),
    "tool": over_http("tool", "POST /tools/{name}", MAX_BODY),
    "policy": over_http("operator", "PUT /operator/policy", MAX_BODY),
    "switch": over_http("operator", "PUT /operator/switches", MAX_BODY),
    "home": over_http("home", "POST /fabric/{operation}", MAX_PEER_BODY),
    "decision": (decision, MAX_DECISION),
    "review": (review, CLAIM_CHECK),
    "push": (push, MAX_PUSH),
    "skip": (skip, 64 * 1024),
}
REFUSED = {
    "broken-json",
    "too-deep",
    "duplicate-key",
    "bad-policy",
    "not-understood",
    "broken-envelope",
    "truncated-json",
}


@pytest.fixture
def made() -> Iterator[Fabric]:
    """A fabric in memory, whose clouds' handlers work on it."""
    with fabric() as one, using(one.engine.ports):
        yield one


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("door", [*DOORS, "provider"])
def test_what_is_no_plain_object_is_refused(made: Fabric, door: str, broken: str) -> None:
    """No door takes a key twice, a number that is none, bottomless nesting, or what is no JSON object at all."""
    through = DOORS[door][0] if door in DOORS else provider
    assert through(made, BROKEN[broken]) in REFUSED


@pytest.mark.parametrize("door", DOORS)
def test_what_is_too_large_is_refused_unread(made: Fabric, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body beyond the door's bound is refused by its size, and nobody parses it."""
    through, most = DOORS[door]
    monkeypatch.setattr(json.JSONDecoder, "decode", _unparsed(json.JSONDecoder.decode, most))
    assert through(made, b'{"a": "' + b"x" * most + b'"}') == "oversize"


def _unparsed(decode: Callable[..., object], most: int) -> Callable[..., object]:
    def guarded(self: json.JSONDecoder, text: str, *rest: object) -> object:
        assert len(text) < most, "it was parsed"
        return decode(self, text, *rest)

    return guarded


@pytest.mark.parametrize("broken", BROKEN)
def test_a_models_answer_is_read_as_strictly(broken: str) -> None:
    """What a model says is no answer unless it is one plain object, with or without a fence around it."""
    text = BROKEN[broken].decode("latin-1")
    for told in (text, f"```json\n{text}\n```"):
        answer, fault = said(told)
        assert (answer, bool(fault)) == ({}, True)


@pytest.mark.parametrize(
    "text", ["a = 1\na = 2", "a = nan", "a." * 33 + "a = 1", "a = " + "[" * 33, "a = 1\n" * 99_999]
)
def test_what_people_write_is_read_as_strictly(made: Fabric, text: str) -> None:
    """A policy and a taxonomy in TOML are refused for the same reasons, and nothing is put in force."""
    with pytest.raises(Permanent):
        policy.change(made.engine.ports.settings, text)
    assert made.engine.ports.settings.read(policy.NAME).version == 0
    with pytest.raises(Permanent) as refused:
        parse_taxonomy(text)
    assert refused.value.code == "bad-taxonomy"


def test_the_doors_are_open(made: Fabric) -> None:
    """What is in order gets further: the doors above refuse what is broken, and not everything."""
    status, told = aws.call_api("POST", "/tasks", claims=claims(PERSON), body="{}", headers={"idempotency-key": "one"})
    assert (status, told["where"]) == (400, "entity")
    assert decision(made, json.dumps({"verdict": "approved", "digest": "a" * 64}).encode()) == "not-found"
