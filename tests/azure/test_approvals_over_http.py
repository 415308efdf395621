"""What approvers see and say over HTTP, and how bad requests are answered."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from azure.fabric import wiring
from shared.errors import Transient
from tests.azure.stage import Stage, principal

if TYPE_CHECKING:
    from azure.functions import HttpResponse

    from shared.core.approval import Approval

BOB = "bob:reviewer"
DIGEST = "a" * 64


def content(response: HttpResponse) -> dict[str, Any]:
    """Return the JSON of a response."""
    found: dict[str, Any] = json.loads(response.get_body())
    return found


def coded(response: HttpResponse) -> tuple[int, str]:
    """Return a problem's status and code, which its content type announces."""
    assert response.mimetype == "application/problem+json"
    found = content(response)
    assert found["status"] == response.status_code
    return response.status_code, found["code"]


@pytest.fixture
def waiting(stage: Stage) -> Approval:
    """The approval that a batch of two documents waits for."""
    stage.place(2)
    stage.settle()
    return stage.approval()


def test_pending_approvals_are_listed(stage: Stage, waiting: Approval) -> None:
    """The list names each pending approval, its document, why it is asked for, and who may decide until when."""
    (shown,) = content(stage.ask("GET", "/api/approvals", who=BOB))["approvals"]
    assert (shown["id"], shown["name"], shown["reason"]) == (waiting.id, "t1-0.txt", "copyleft")
    assert (shown["approvers"], shown["deadline"]) == (["reviewer"], "2026-03-05T12:00:00Z")


def test_the_list_has_pages(stage: Stage) -> None:
    """Pages of one, each starting after the last, name every approval once and then end."""
    stage.script.asks = frozenset({0, 1, 2})
    stage.place(3)
    stage.settle()
    seen: list[int] = []
    after: str | None = ""
    while after is not None:
        page = content(stage.ask("GET", f"/api/approvals?limit=1&after={after}", who=BOB))
        seen += [shown["document"] for shown in page["approvals"]]
        after = page["next"]
    assert sorted(seen) == [0, 1, 2]


def test_a_decided_approval_leaves_the_list(stage: Stage, waiting: Approval) -> None:
    """What was decided is pending no more."""
    assert stage.say("rejected", BOB, waiting) == 200
    assert content(stage.ask("GET", "/api/approvals", who=BOB)) == {"approvals": [], "next": None}


def test_the_digest_is_of_what_is_shown(stage: Stage, waiting: Approval) -> None:
    """An approver is shown the finding and the digest that binds a vote to it."""
    shown = content(stage.ask("GET", f"/api/approvals/{waiting.id}", who=BOB))
    assert shown["digest"] == waiting.digest
    assert shown["shown"] == {
        "sha256": "0" * 64,
        "label": "GPL-3.0",
        "summary": "It is under GPL-3.0.",
        "reason": "copyleft",
    }


def test_looking_decides_nothing(stage: Stage, waiting: Approval) -> None:
    """Neither a GET of the decision's address nor one with a verdict in its query decides."""
    address = f"/api/approvals/{waiting.id}"
    assert stage.ask("GET", f"{address}/decision?verdict=approved&digest={waiting.digest}", who=BOB).status_code == 405
    assert stage.ask("GET", f"{address}?verdict=approved&digest={waiting.digest}", who=BOB).status_code == 200
    assert stage.approval() == waiting


def test_a_vote_is_answered_with_how_the_approval_stands(stage: Stage, waiting: Approval) -> None:
    """The answer to a vote tells the verdict and whose votes were counted."""
    body = {"verdict": "approved", "digest": waiting.digest}
    shown = content(stage.ask("POST", f"/api/approvals/{waiting.id}/decision", body, BOB))
    assert (shown["status"], shown["voted"]) == ("approved", ["bob"])


def test_a_contradiction_is_a_conflict(stage: Stage, waiting: Approval) -> None:
    """The problem says what was decided before."""
    assert stage.say("approved", BOB, waiting) == 200
    body = {"verdict": "rejected", "digest": waiting.digest}
    refused = stage.ask("POST", f"/api/approvals/{waiting.id}/decision", body, BOB)
    assert coded(refused) == (409, "already-decided")
    assert content(refused)["detail"] == f"approval {waiting.id} was already approved"


BAD_BODIES: dict[str, tuple[bytes | str, int, str]] = {
    "empty": ("", 400, "broken-json"),
    "text": ("approve it", 400, "broken-json"),
    "a list": ("[]", 400, "broken-json"),
    "not UTF-8": (b'{"verdict": "\xff"}', 400, "broken-json"),
    "cut off": ('{"verdict": "approved"', 400, "broken-json"),
    "NaN": ('{"verdict": NaN}', 400, "broken-json"),
    "a key twice": ('{"verdict": "rejected", "verdict": "approved"}', 400, "duplicate-key"),
    "too deep": ('{"verdict": ' + "[" * 40 + "]" * 40 + "}", 400, "too-deep"),
    "too large": ('{"comment": "' + "x" * 17_000 + '"}', 413, "oversize"),
    "no verdict": (f'{{"digest": "{DIGEST}"}}', 400, "invalid"),
    "another verdict": (f'{{"verdict": "maybe", "digest": "{DIGEST}"}}', 400, "invalid"),
    "a verdict in a list": (f'{{"verdict": ["approved"], "digest": "{DIGEST}"}}', 400, "invalid"),
    "no digest": ('{"verdict": "approved"}', 400, "invalid"),
    "a short digest": ('{"verdict": "approved", "digest": "abc"}', 400, "invalid"),
    "a long comment": (
        json.dumps({"verdict": "approved", "digest": DIGEST, "comment": "x" * 2001}),
        400,
        "invalid",
    ),
    "a name of its own": (
        json.dumps({"verdict": "approved", "digest": DIGEST, "by": {"name": "boss", "roles": ["owner"]}}),
        400,
        "invalid",
    ),
    "a tenant of its own": (json.dumps({"verdict": "approved", "digest": DIGEST, "tenant": "other"}), 400, "invalid"),
    "other content": (json.dumps({"verdict": "approved", "digest": DIGEST}), 409, "stale-digest"),
}


@pytest.mark.parametrize("bad", BAD_BODIES)
def test_a_bad_decision_is_explained_and_decides_nothing(stage: Stage, waiting: Approval, bad: str) -> None:
    """A malformed or stale decision is answered with its own status and code, and the approval stays as it was."""
    body, status, code = BAD_BODIES[bad]
    assert coded(stage.ask("POST", f"/api/approvals/{waiting.id}/decision", body, BOB)) == (status, code)
    assert stage.approval() == waiting


BAD_PAGES = ("limit=0", "limit=101", "limit=-1", "limit=ten", "limit=", "after=%00", "after=" + "x" * 101)


@pytest.mark.parametrize("query", BAD_PAGES)
def test_a_bad_page_is_explained(stage: Stage, query: str) -> None:
    """A page that cannot be is refused with the parameter's name."""
    refused = stage.ask("GET", f"/api/approvals?{query}", who=BOB)
    assert coded(refused) == (400, "invalid")
    assert content(refused)["where"] == query.partition("=")[0]


@pytest.mark.parametrize("approval", ["nobody-asked", "..%2F..%2Fetc", "%F0%9F%92%A5"])
def test_an_unknown_approval_is_not_found(stage: Stage, approval: str) -> None:
    """An approval that does not exist cannot be seen or decided."""
    assert coded(stage.ask("GET", f"/api/approvals/{approval}", who=BOB)) == (404, "not-found")
    body = {"verdict": "approved", "digest": DIGEST}
    assert coded(stage.ask("POST", f"/api/approvals/{approval}/decision", body, BOB)) == (404, "not-found")


def encoded(claims: object) -> str:
    """Return a principal header with these claims."""
    return base64.b64encode(json.dumps({"auth_typ": "aad", "claims": claims}).encode()).decode()


BAD_PRINCIPALS = {
    "none": None,
    "empty": "",
    "not base64": "bob, really",
    "not JSON": base64.b64encode(b"bob").decode(),
    "no claims": base64.b64encode(b"{}").decode(),
    "claims of another shape": encoded("bob"),
    "claims without values": encoded([{"typ": "name"}]),
    "no tenant": encoded([{"typ": "sub", "val": "bob"}]),
    "nobody": encoded([{"typ": "tenant", "val": "local"}]),
    "nothing but a name": encoded([{"typ": "tenant", "val": "local"}, {"typ": "name", "val": "bob"}]),
    "an empty id": encoded([{"typ": "tenant", "val": "local"}, {"typ": "sub", "val": ""}]),
    "an endless id": encoded([{"typ": "tenant", "val": "local"}, {"typ": "sub", "val": "b" * 129}]),
    "an application that says so": encoded(
        [{"typ": "tenant", "val": "local"}, {"typ": "oid", "val": "robot"}, {"typ": "idtyp", "val": "app"}]
    ),
    "an application that is its own subject": encoded(
        [{"typ": "tenant", "val": "local"}, {"typ": "oid", "val": "robot"}, {"typ": "sub", "val": "robot"}]
    ),
}


@pytest.mark.parametrize("bad", BAD_PRINCIPALS)
def test_who_cannot_be_told_is_asked_to_sign_in(stage: Stage, bad: str) -> None:
    """Without a principal that names a tenant and a person every address answers 401."""
    header = BAD_PRINCIPALS[bad]
    headers = {} if header is None else {"X-MS-CLIENT-PRINCIPAL": header}
    for method, path in (
        ("GET", "approvals"),
        ("GET", "approvals/a"),
        ("POST", "approvals/a/decision"),
        ("POST", "reviews"),
    ):
        assert coded(stage.host.invoke_http(method, f"/api/{path}", headers)) == (401, "unauthenticated")


def test_an_unknown_tenant_is_refused(stage: Stage, waiting: Approval) -> None:
    """A person of a tenant nobody has set up is refused."""
    headers = {"X-MS-CLIENT-PRINCIPAL": principal("bob", ["reviewer"], tenant="stranger")}
    assert coded(stage.host.invoke_http("GET", "/api/approvals", headers)) == (403, "unknown-tenant")
    assert coded(stage.host.invoke_http("GET", f"/api/approvals/{waiting.id}", headers)) == (403, "unknown-tenant")


PLACES: dict[str, tuple[dict[str, str], int]] = {
    "nothing is set": ({}, 401),
    "Linux Consumption": ({"CONTAINER_NAME": "0123"}, 401),
    "a dedicated plan": ({"WEBSITE_INSTANCE_ID": "0123"}, 401),
    "authentication is off": ({"CONTAINER_NAME": "0123", "WEBSITE_AUTH_ENABLED": "False"}, 401),
    "another kind of authentication": ({"AGENTFABRIC_AUTH": "oidc"}, 401),
    "authentication is on": ({"CONTAINER_NAME": "0123", "WEBSITE_AUTH_ENABLED": "True"}, 200),
    "authentication is on, in small letters": ({"WEBSITE_AUTH_ENABLED": "true"}, 200),
    "nobody has to authenticate": ({"AGENTFABRIC_AUTH": "none"}, 200),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_identity_header_needs_somebody_who_vouches_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A header counts where App Service authentication is on, which alone may set it, or where none was asked for."""
    settings, status = PLACES[place]
    for name in ("AGENTFABRIC_AUTH", "CONTAINER_NAME", "WEBSITE_INSTANCE_ID", "WEBSITE_AUTH_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert stage.ask("GET", "/api/approvals", who=BOB).status_code == status


def test_a_busy_store_says_when_to_come_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passing failure is 503 with Retry-After in whole seconds, rounded up."""

    def busy() -> None:
        raise Transient("the table is throttled", retry_after=2.2)

    monkeypatch.setattr(wiring, "ports", busy)
    refused = stage.ask("GET", "/api/approvals", who=BOB)
    assert coded(refused) == (503, "try-later")
    assert refused.headers["Retry-After"] == "3"


def test_an_unexpected_failure_keeps_its_text_to_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is 500 without its message, and the log has its place but not its message, which may quote a document."""
    text = "the secret text of a document"

    def broken() -> None:
        raise ValueError(text)

    monkeypatch.setattr(wiring, "ports", broken)
    refused = stage.ask("GET", "/api/approvals", who=BOB)
    assert coded(refused) == (500, "internal")
    assert "secret" not in refused.get_body().decode() + caplog.text
    assert "unexpected ValueError at" in caplog.text
    assert "in broken" in caplog.text
