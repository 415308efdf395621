"""Azure's recorded and documented envelopes, read into the fabric's words."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from azure.fabric import wire
from local.functions_host.bindings import QueueInput, queue_message
from shared.core.approval import Person
from shared.errors import Forbidden, NotFound, Permanent, Transient
from shared.events.catalog import parse


@pytest.fixture
def samples(root: Path) -> Path:
    """The folder of Azure's envelopes."""
    return root / "tests" / "samples" / "azure"


def load(path: Path) -> dict[str, Any]:
    """Return a sample."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_the_queues_message_is_the_canonical_event(samples: Path) -> None:
    """The recorded message, decoded as the Functions host decodes it, is the event that all clouds are given."""
    text = base64.b64decode(load(samples / "queue_message.json")["MessageText"])
    message = queue_message(QueueInput(text, "m1"))
    assert wire.event_of(message.get_body()) == parse((samples.parent / "event.json").read_bytes())


BOB = "00000000-0000-0000-0000-0000000000b0"


def called(content: dict[str, Any]) -> wire.Caller:
    """Return who a client principal says is calling."""
    header = base64.b64encode(json.dumps(content).encode()).decode()
    return wire.caller_of({wire.PRINCIPAL: header}, vouched=True)


def test_the_principal_names_tenant_person_and_roles(samples: Path) -> None:
    """The documented header yields the directory as tenant, the object's id, the mapped name to show, every role."""
    caller = called(load(samples / "client_principal.json"))
    assert caller.tenant == "9188040d-6c67-4c5b-b112-36a304b66dad"
    assert caller.person == Person(name=BOB, roles=("reviewer", "owner"), shown="bob@example.com")


SUBJECT = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
OBJECT = "http://schemas.microsoft.com/identity/claims/objectidentifier"


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"oid": "b0", "sub": "pairwise"}, "b0"),
        ({OBJECT: "b0", SUBJECT: "pairwise"}, "b0"),
        ({"sub": "pairwise"}, "pairwise"),
        ({SUBJECT: "pairwise"}, "pairwise"),
    ],
)
def test_a_person_is_their_id(claims: dict[str, str], name: str) -> None:
    """A person is their object's id, else the subject, in the long form as in the short, whatever they are called."""
    said = [{"typ": kind, "val": value} for kind, value in {**claims, "tid": "acme", "name": "Bob"}.items()]
    assert called({"claims": said}).person == Person(name=name, shown="Bob")


def test_a_renamed_person_is_the_same(samples: Path) -> None:
    """Somebody who got another name and address is still the person they were."""
    principal = load(samples / "client_principal.json")
    before = called(principal).person
    for claim in principal["claims"]:
        if claim["typ"] == "name" or claim["typ"].endswith("emailaddress"):
            claim["val"] = "robert@example.com"
    after = called(principal).person
    assert (after.name, after.shown) == (before.name, "robert@example.com")


def test_a_decision_is_its_senders(samples: Path) -> None:
    """The request yields a vote by the person in its identity header, on the digest in its body."""
    sample = load(samples / "http_decision.json")
    request = func.HttpRequest(
        sample["method"],
        sample["url"],
        headers=sample["headers"],
        route_params=sample["params"],
        body=json.dumps(sample["body"]).encode(),
    )
    caller = wire.caller_of(request.headers, vouched=True)
    vote = wire.vote_of(request, caller.person)
    assert (vote.verdict, vote.digest, vote.by.name) == ("approved", "a" * 64, BOB)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Permanent("x"), 400),
        (Permanent("x", code="unauthenticated"), 401),
        (Forbidden("x"), 403),
        (Forbidden("x", code="four-eyes"), 403),
        (NotFound("x"), 404),
        (Permanent("x", code="already-decided"), 409),
        (Permanent("x", code="stale-digest"), 409),
        (Permanent("x", code="task-over"), 409),
        (Permanent("x", code="oversize"), 413),
        (Transient("x"), 503),
    ],
)
def test_a_verdict_has_one_status(error: Exception, status: int) -> None:
    """Each verdict has the same status wherever it comes up, in the header as in the body."""
    response = wire.problem(error)
    assert response.status_code == status
    assert json.loads(response.get_body())["status"] == status
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize("value", [{"a": 1}, '{"a": 1}'])
def test_an_input_may_come_as_text(value: object) -> None:
    """An input is the same whether a client delivered an object or its text."""
    assert wire.decoded(value) == {"a": 1}
