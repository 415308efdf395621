"""The operators' door: who comes in, and what is seen and changed there."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from aws.adapters import settings as dynamo_settings
from aws.handlers import operator
from aws.wire import MAX_BODY
from local.wiring import TENANT
from shared.app import ledger, operating
from shared.app.recent import EVERY
from shared.core.draws import DrawAsk
from shared.core.ledger import UNLIMITED, LeaseAsk
from shared.ports import Setting
from tests.aws.stage import http_event
from tests.lost import lose_a_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.aws.cloud import Cloud
    from tests.aws.stage import Json, Stage

POLICY = "# ours\n[tenants.acme]\ndaily_budget = 7\n[tenants.local]\n"
ROLE = {"roles": "[operator]"}


def ask(
    route: str,
    *,
    query: Mapping[str, str] | None = None,
    body: str = "",
    match: str | None = None,
    claims: Mapping[str, str] | None = None,
) -> tuple[int, Json, Mapping[str, str]]:
    """Ask as an operator, or as whoever the claims say; return status, answer and headers."""
    event = http_event(route, changes={"body": body, "queryStringParameters": dict(query or {})})
    event["requestContext"]["authorizer"]["jwt"]["claims"] = {"sub": "olga", **(ROLE if claims is None else claims)}
    event["headers"] |= {"if-match": match} if match is not None else {}
    told = operator.handler(event, None)
    return told["statusCode"], json.loads(told["body"]), told["headers"]


def stop(scope: str, name: str = "", reason: str = "a leak") -> tuple[int, Json]:
    """Stop work and return status and answer."""
    body = json.dumps({"scope": scope, "name": name, "reason": reason})
    return ask("PUT /operator/switches", body=body)[:2]


def lease(stage: Stage, tenant: str) -> None:
    """Lease some money for a run."""
    now = stage.clock.now().timestamp()
    asked = LeaseAsk("l", "t", "document-review", "standard", 500, now, now + 600)
    ledger.open_lease(stage.ports, tenant, asked, UNLIMITED)


def quiet(scope: str, name: str = "") -> bool:
    """Ask whether all is quiet."""
    status, answer, _ = ask("GET /operator/quiet", query={"scope": scope, "name": name})
    assert status == 200
    return bool(answer["quiet"])


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("route", operator.ROUTES)
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"tenant": TENANT},
        {"roles": ""},
        {"roles": "[reviewer operators]"},
        {"scope": "operator"},
        {"scp": "operator"},
        {"operator": "true"},
    ],
)
def test_nobody_else_comes_in(route: str, claims: Mapping[str, str]) -> None:
    """Without the role a caller is forbidden everything here; a scope, which any application may ask for, is none."""
    status, problem, _ = ask(route, claims=claims)
    assert (status, problem["code"]) == (403, "forbidden")


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    "claims", [{"roles": "operator"}, {"roles": "[reviewer operator]"}, {"cognito:groups": "[operator]"}]
)
def test_an_operator_is_who_the_token_says(claims: Mapping[str, str]) -> None:
    """A role or a group lets in, as text or as an array's text, and no tenant has to be named."""
    assert ask("GET /operator/switches", claims=claims)[0] == 200


@pytest.mark.usefixtures("stage")
def test_an_operator_has_a_name() -> None:
    """A token that does not say who it is for is nobody's."""
    assert ask("GET /operator/switches", claims={"sub": "", **ROLE})[0] == 401


def test_the_policy_is_seen_changed_and_in_force(stage: Stage) -> None:
    """A written policy is answered as it was written, comments and all, with the tag of that writing."""
    status, before, headers = ask("GET /operator/policy")
    assert (status, before["revision"], headers["etag"]) == (200, 0, '"0"')
    assert before["text"].startswith(f"[tenants.{TENANT}]\n")
    status, made, headers = ask("PUT /operator/policy", body=POLICY, match=headers["etag"])
    assert (status, made["revision"], made["tenants"], headers["etag"]) == (200, 1, 2, '"1"')
    assert stage.ports.settings.read("policy").text == POLICY
    shown = ask("GET /operator/policy")
    assert (shown[1]["text"], shown[2]["etag"]) == (POLICY, '"1"')


def test_what_was_in_force_is_shown_by_its_version(cloud: Cloud) -> None:
    """The seed and each policy are answered as they were written, by the version that bills and events name."""
    seed = cloud.ports.policy()
    made = [ask("PUT /operator/policy", body=POLICY, match='"0"')[1]]
    made += [ask("PUT /operator/policy", body=f"# again\n{POLICY}", match='"1"')[1]]
    shown = [ask("GET /operator/policy", query={"version": one["version"]})[1]["text"] for one in made]
    assert shown == [POLICY, f"# again\n{POLICY}"]
    assert ask("GET /operator/policy", query={"version": seed.version})[1]["text"] == seed.text
    assert ask("GET /operator/policy", query={"version": "0" * 12})[0] == 404


def test_the_seed_can_be_put_back_as_it_is_shown(cloud: Cloud) -> None:
    """While nobody wrote a policy, what is shown is one that says what the deployment's tenants may do."""
    del cloud
    seed = ask("GET /operator/policy")[1]["text"]
    assert seed == "[tenants.local]\nmax_budget = 1000000\n"
    assert ask("PUT /operator/policy", body=seed, match='"0"')[0] == 200


@pytest.mark.parametrize("match", ['"0"', '"2"', '"99"'])
def test_a_stale_policy_changes_nothing(stage: Stage, match: str) -> None:
    """Whoever changed an older policy, or one there never was, is told to read again, and not merely to try again."""
    assert ask("PUT /operator/policy", body=POLICY, match='"0"')[0] == 200
    status, problem, headers = ask("PUT /operator/policy", body=POLICY + "[tenants.new]\n", match=match)
    assert (status, problem["code"], "retry-after" in headers) == (409, "conflict", False)
    assert stage.ports.settings.read("policy") == Setting("policy", POLICY, 1)


@pytest.mark.parametrize("match", [None, "", "*", '"x"', '"-1"', 'W/"0"'])
def test_a_policy_without_its_tag_changes_nothing(stage: Stage, match: str | None) -> None:
    """Nobody overwrites what they have not read."""
    status, problem, _ = ask("PUT /operator/policy", body=POLICY, match=match)
    assert (status, problem["where"]) == (400, "headers.if-match")
    assert stage.ports.settings.read("policy").version == 0


@pytest.mark.parametrize(
    "text", ["", "  \n", "[tenants", "[tenants.acme]\ntypo = 1\n", "[tenants.acme]\n[tenants.local]\nmax_runs = 0\n"]
)
def test_a_broken_policy_changes_nothing(stage: Stage, text: str) -> None:
    """A policy is taken whole or not at all: one tenant's mistake refuses it."""
    status, problem, _ = ask("PUT /operator/policy", body=text, match='"0"')
    assert (status, problem["code"]) == (400, "bad-policy")
    assert stage.ports.settings.read("policy").version == 0


@pytest.mark.usefixtures("stage")
def test_a_policy_that_is_no_text_is_refused() -> None:
    """Bytes that are not UTF-8 are no policy."""
    event = http_event("PUT /operator/policy", changes={"headers.if-match": '"0"', "isBase64Encoded": True})
    event["requestContext"]["authorizer"]["jwt"]["claims"] |= ROLE
    told = operator.handler(event | {"body": base64.b64encode(b"\xff[tenants.a]").decode()}, None)
    assert (told["statusCode"], json.loads(told["body"])["code"]) == (400, "bad-policy")


def test_the_largest_policy_fits_into_an_item(cloud: Cloud) -> None:
    """What the door lets in the table can keep; what is larger is refused at the door."""
    room = MAX_BODY - len(POLICY) - 1
    large = f"{POLICY}#{'x' * room}"
    assert len(large) == MAX_BODY < dynamo_settings._MOST_BYTES
    assert ask("PUT /operator/policy", body=large, match='"0"')[0] == 200
    assert ask("PUT /operator/policy", body=large + "x", match='"1"')[0] == 413
    assert cloud.ports.settings.read("policy").version == 1


def test_tenants_are_shown_with_what_they_used(stage: Stage) -> None:
    """Limits, what is spent and held today and this month, open runs and what is left of the rates."""
    lease(stage, TENANT)
    (told,) = ask("GET /operator/tenants")[1]["tenants"]
    assert (told["tenant"], told["open_runs"], told["held_today"], told["held_this_month"]) == (TENANT, 1, 500, 500)
    assert (told["spent_today"], told["stopped"]) == (0, "")
    assert told["requests_left"] == told["limits"]["request_burst"]
    assert stop("tenant", TENANT)[0] == 200
    (told,) = ask("GET /operator/tenants")[1]["tenants"]
    assert told["stopped"] == "by olga: a leak"


@pytest.mark.usefixtures("stage")
def test_tenants_are_listed_page_by_page() -> None:
    """A page says where the next one begins; all pages together are all tenants, each once."""
    names = [f"tenant-{number}" for number in range(5)]
    assert ask("PUT /operator/policy", body="".join(f"[tenants.{name}]\n" for name in names), match="0")[0] == 200
    seen, query, pages = [], {"limit": "2"}, 0
    while True:
        answer = ask("GET /operator/tenants", query=query)[1]
        pages += 1
        seen += [one["tenant"] for one in answer["tenants"]]
        if answer["next"] is None:
            break
        query = dict(parse_qsl(urlsplit(answer["next"]).query))
    assert (seen, pages) == (names, 3)


@pytest.mark.usefixtures("stage")
def test_one_tenant_is_looked_up() -> None:
    """By its name a tenant is shown alone, as the policy says that was written last; others are not found."""
    assert ask("GET /operator/tenants", query={"name": "acme"})[0] == 404
    assert ask("PUT /operator/policy", body=POLICY, match="0")[0] == 200
    (told,) = ask("GET /operator/tenants", query={"name": "acme"})[1]["tenants"]
    assert (told["tenant"], told["limits"]["daily_budget"]) == ("acme", 7)
    assert ask("GET /operator/tenants", query={"name": "nobody"})[0] == 404


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"typo": "1"}])
def test_a_page_that_makes_no_sense_is_refused(query: Mapping[str, str]) -> None:
    """What cannot be listed is the asker's mistake."""
    assert ask("GET /operator/tenants", query=query)[0] == 400


@pytest.mark.parametrize(("scope", "name"), [("all", ""), ("tenant", TENANT), ("workflow", "document-review")])
def test_work_is_stopped_and_started(stage: Stage, scope: str, name: str) -> None:
    """A stop says what, who and why; submissions are then asked to wait, until a start."""
    status, answer = stop(scope, name)
    assert (status, answer["switch"]["by"], answer["switch"]["reason"]) == (200, "olga", "a leak")
    (shown,) = ask("GET /operator/switches")[1]["switches"]
    assert (shown["scope"], shown["name"], shown["stops"]) == (scope, name, answer["stopped"])
    refused = stage.submit()
    assert (refused.status, refused.body["code"]) == (429, "stopped")
    status, answer, _ = ask("DELETE /operator/switches", query={"scope": scope, "name": name})
    assert (status, answer) == (200, {"switches": []})
    stage.clock.wait(EVERY.total_seconds())
    assert stage.submit().status == 202


@pytest.mark.usefixtures("stage")
def test_a_start_tells_what_is_still_stopped() -> None:
    """Whoever starts one thing sees that another is still stopped; starting what runs changes nothing."""
    stop("all")
    stop("tenant", TENANT)
    answer = ask("DELETE /operator/switches", query={"scope": "tenant", "name": TENANT})[1]
    assert [one["stops"] for one in answer["switches"]] == ["everything"]
    again = ask("DELETE /operator/switches", query={"scope": "tenant", "name": TENANT})
    assert (again[0], again[1]) == (200, answer)


def test_a_start_goes_by_what_is_stopped_now(stage: Stage) -> None:
    """A switch that another process threw a moment ago is seen, not what this process last looked at."""
    assert ask("GET /operator/switches")[1] == {"switches": []}
    assert stage.ports.settings.read("switches").version == 0
    elsewhere = operating.as_is(stage.ports)
    operating.stop(elsewhere, "all", "", by="otto", reason="a leak")
    assert ask("DELETE /operator/switches", query={"scope": "all"})[1] == {"switches": []}
    assert elsewhere.settings.read("switches").text == "[]"


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(("scope", "name"), [("tenant", "nobody"), ("workflow", "document-reviews")])
def test_what_there_is_not_cannot_be_stopped(scope: str, name: str) -> None:
    """A mistyped name is told: its owner would think it is stopped."""
    assert stop(scope, name)[0] == 404
    assert ask("GET /operator/switches")[1] == {"switches": []}


def test_a_tenant_that_was_taken_out_can_be_stopped(stage: Stage) -> None:
    """A tenant that the policy no longer names may still have runs."""
    lease(stage, "gone")
    assert stop("tenant", "gone")[0] == 200


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    "body",
    [
        '{"scope": "all", "name": "x", "reason": "y"}',
        '{"scope": "tenant", "reason": "y"}',
        '{"scope": "planet", "name": "x", "reason": "y"}',
        '{"scope": "all", "reason": ""}',
        '{"scope": "all", "reason": "   "}',
        '{"scope": "all"}',
        '{"scope": "all", "reason": "y", "by": "somebody else"}',
        "[]",
        "",
    ],
)
def test_a_stop_that_makes_no_sense_is_refused(body: str) -> None:
    """What is to be stopped, and why, has to be said, and nobody stops in another's name."""
    assert ask("PUT /operator/switches", body=body)[0] == 400
    assert ask("GET /operator/switches")[1] == {"switches": []}


def test_it_is_quiet_when_no_call_is_out(stage: Stage) -> None:
    """After a stop it is not quiet until every process goes by it, and not while a call is out."""
    lease(stage, TENANT)
    assert stop("all")[0] == 200
    assert not quiet("all")
    stage.clock.wait(2 * EVERY.total_seconds())
    assert quiet("all")
    now = stage.clock.now().timestamp()
    ledger.draw(stage.ports, TENANT, "l", DrawAsk("d", 0, "classify", "extractive-1", 10, "0" * 64, now, 30.0))
    for scope, name in (("all", ""), ("tenant", TENANT), ("workflow", "document-review")):
        assert not quiet(scope, name)
    ledger.release(stage.ports, TENANT, "l", "d")
    assert quiet("all")


@pytest.mark.usefixtures("stage")
def test_every_route_is_in_the_readme(root: Any) -> None:
    """The operators' section names each route."""
    text = (root / "aws/README.md").read_text(encoding="utf-8")
    assert [route for route in operator.ROUTES if route.partition(" ")[2] not in text] == []


def test_a_call_of_unknown_end_is_listed_and_settled(stage: Stage) -> None:
    """What nobody knew the end of is listed with its worst case, settled with the truth, and then listed no more."""
    task = stage.submitted()
    lose_a_call(stage.ports, task)
    asked = {"tenant": TENANT, "task": task.id}
    status, listed, _ = ask("GET /operator/calls", query=asked)
    (call,) = listed["calls"]
    assert (status, call["draw"], call["state"], call["worst_micro_usd"]) == (200, "a-call", "unknown", 9)
    body = json.dumps(asked | {"draw": "a-call", "cost_micro_usd": 4, "tokens_in": 3, "reason": "the invoice"})
    status, made, _ = ask("PUT /operator/calls", body=body)
    assert (status, made["state"], made["cost_micro_usd"]) == (200, "settled", 4)
    assert ask("GET /operator/calls", query=asked)[1] == {"calls": []}
    assert stage.ports.tasks.load(TENANT, task.id).spent == 4
    said = [event for event in stage.said(task) if event.type.startswith("usage.")]
    assert [event.type for event in said] == ["usage.metered", "usage.corrected"]
    assert (said[0].data.cost_micro_usd, said[1].data.cost_micro_usd, said[1].data.by) == (9, 4, "olga")
    other = json.dumps(json.loads(body) | {"cost_micro_usd": 5})
    assert ask("PUT /operator/calls", body=other)[0] == 409


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("change", [{"cost_micro_usd": -1}, {"cost_micro_usd": True}, {"reason": " "}, {"by": "eve"}])
def test_a_settlement_is_checked(change: Json) -> None:
    """A cost is a count, a reason is not blank, and who says so is the token's to say."""
    said = {"tenant": TENANT, "task": "t", "draw": "d", "cost_micro_usd": 4, "reason": "the invoice"} | change
    assert ask("PUT /operator/calls", body=json.dumps(said))[0] == 400
