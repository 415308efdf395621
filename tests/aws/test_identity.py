"""What the functions believe of a token behind the API's authorizer: whatever that lets through, these look again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aws import wiring
from aws.handlers import home, ingress, operator, tool
from local.wiring import TENANT, using
from tests.aws.formation import read
from tests.aws.stage import http_event

if TYPE_CHECKING:
    from tests.aws.stage import Json, Stage

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://identity.example.com", "agentfabric"
GOOD = {"iss": ISSUER, "aud": AUDIENCE, "iat": str(NOW - 60), "exp": str(NOW + 60), "sub": "ann", "tenant": TENANT}
DOORS = {
    "GET /tasks": ingress.handler,
    "GET /tools": tool.handler,
    "GET /operator/policy": operator.handler,
    "POST /fabric/{operation}": home.handler,
}


@pytest.fixture
def deployed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions as they are deployed: with a trusted issuer, and a clock."""
    del stage
    monkeypatch.delenv("AGENTFABRIC_AUTH", raising=False)
    monkeypatch.setenv("TRUSTED_ISSUER", ISSUER)
    monkeypatch.setenv("TRUSTED_AUDIENCES", f"other, {AUDIENCE}")
    monkeypatch.setattr(wiring, "clock", lambda: float(NOW))


def ask(route: str, claims: Json) -> tuple[int, str]:
    """Ask with these claims; return the status and the problem's code."""
    event = http_event(route, operation="settings.read", changes={"body": '{"name": "policy"}'})
    event["requestContext"]["authorizer"] = {"jwt": {"claims": claims | {"roles": "[operator fabric]"}}}
    told = DOORS[route](event, None)
    return told["statusCode"], json.loads(told["body"]).get("code", "")


BAD: dict[str, dict[str, Any]] = {
    "nobody checked it": dict.fromkeys(GOOD, ""),
    "no expiry": {"exp": ""},
    "no beginning": {"iat": ""},
    "no subject": {"sub": " "},
    "no issuer": {"iss": ""},
    "no audience": {"aud": ""},
    "another issuer": {"iss": "https://identity.example.com.evil.example"},
    "another audience": {"aud": "agentfabric-home"},
    "other audiences": {"aud": "[a agentfabrics]"},
    "expired": {"exp": str(NOW - 61)},
    "from the future": {"iat": str(NOW + 61)},
    "expires never": {"exp": "nan"},
    "an expiry that is none": {"exp": "soon"},
}


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("route", DOORS)
def test_a_token_that_does_not_hold_opens_nothing(route: str, bad: str) -> None:
    """A token that an authorizer should have stopped is stopped behind it, at every door."""
    assert ask(route, GOOD | BAD[bad]) == (401, "unauthenticated")


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("route", DOORS)
@pytest.mark.parametrize("more", [{}, {"aud": f"[x {AUDIENCE}]"}, {"exp": str(NOW - 59)}, {"iat": f"{NOW + 59}.0"}])
def test_a_token_that_holds_comes_in(route: str, more: Json) -> None:
    """A token of the trusted issuer, for one of its audiences, holds within a minute's difference of clocks."""
    assert ask(route, GOOD | more)[0] == 200


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("route", DOORS)
def test_an_api_without_authorizer_opens_nothing(route: str) -> None:
    """A route whose authorizer was left out tells us no claims, and nobody comes in."""
    event = http_event(route, operation="settings.read")
    event["requestContext"].pop("authorizer")
    assert DOORS[route](event, None)["statusCode"] == 401


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("name", ["TRUSTED_ISSUER", "TRUSTED_AUDIENCES"])
def test_without_a_word_nobody_is_trusted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A deployment that does not say whom it trusts trusts nobody."""
    monkeypatch.delenv(name)
    assert ask("GET /tasks", GOOD) == (500, "not-configured")


@pytest.mark.usefixtures("deployed")
def test_the_body_says_nothing_about_who_pays() -> None:
    """A tenant in the body of a submission is an unknown field, never the one who pays."""
    event = http_event(
        "POST /tasks", changes={"body": '{"tenant": "acme", "entity": "a"}', "headers.idempotency-key": "k"}
    )
    event["requestContext"]["authorizer"] = {"jwt": {"claims": GOOD}}
    told = json.loads(ingress.handler(event, None)["body"])
    assert (told["status"], told["code"]) == (400, "invalid")


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("tenant", ["", "a#b", "a\0b", "A", "a/b", "a b", "_settings", "a" * 64, "é"])
def test_no_tenant_can_break_a_key(tenant: str) -> None:
    """A tenant's name with a separator, a NUL or anything but plain letters is no tenant's."""
    assert ask("GET /tasks", GOOD | {"tenant": tenant})[0] == 401


def test_the_template_trusts_what_its_authorizers_trust() -> None:
    """Every function behind the API is told the issuer and audience of the authorizer at its routes."""
    found = read()["Resources"]
    behind = {}
    for name, resource in found.items():
        events = resource["Properties"].get("Events", {}) if resource["Type"].endswith("Serverless::Function") else {}
        guards = {
            one["Properties"].get("Auth", {}).get("Authorizer", "Jwt")
            for one in events.values()
            if one["Type"] == "HttpApi"
        }
        if guards:
            (behind[name],) = guards
    assert set(behind) == {"IngressFunction", "ToolFunction", "OperatorFunction", "HomeFunction"}
    for name, guard in behind.items():
        told = found[name]["Properties"]["Environment"]["Variables"]
        assert (told["TRUSTED_ISSUER"], told["TRUSTED_AUDIENCES"][1]) == (f"{guard}Issuer", f"{guard}Audience")
    authorizers = found["Api"]["Properties"]["Auth"]
    assert authorizers["DefaultAuthorizer"] == "Jwt"
    for guard, one in authorizers["Authorizers"].items():
        assert one["JwtConfiguration"] == {"issuer": f"{guard}Issuer", "audience": f"{guard}Audience"}


def test_a_laptop_believes_what_it_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process's user may read all files anyway, recorded claims come in; that has to be said."""
    with using(stage.ports):
        assert wiring.trust() is None
        monkeypatch.delenv("AGENTFABRIC_AUTH")
        monkeypatch.setenv("TRUSTED_ISSUER", ISSUER)
        monkeypatch.setenv("TRUSTED_AUDIENCES", AUDIENCE)
        assert wiring.trust() is not None
        monkeypatch.setenv("AGENTFABRIC_AUTH", "none")
