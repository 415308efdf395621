"""Approval links over HTTP: looking decides nothing, a link decides once, and only what it was made for."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from azure.fabric.wire import MAX_DECISION
from local.wiring import TENANT
from tests.azure.stage import principal

if TYPE_CHECKING:
    from azure.functions import HttpResponse

    from shared.core.approval import Approval
    from tests.azure.stage import Stage

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
BOB, EVE = "bob:reviewer", "eve:guest"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def waiting(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Approval:
    """The approval that a batch of two documents waits for, where links are on."""
    monkeypatch.setenv("APPROVAL_LINK_KEYS", OLD)
    stage.place(2)
    stage.settle()
    return stage.approval()


def asked(stage: Stage, approval: Approval, who: str = BOB, body: object = None) -> HttpResponse:
    """Ask for a link."""
    return stage.ask("POST", f"/api/approvals/{approval.id}/link", body, who)


def path(stage: Stage, approval: Approval, who: str = BOB) -> str:
    """Return the path of a person's link."""
    return str(json.loads(asked(stage, approval, who).get_body())["path"])


def post(stage: Stage, link: str, who: str | None = None, kind: str = FORM, **said: str) -> HttpResponse:
    """Post a page's form, signed in as somebody or as nobody."""
    name, _, roles = (who or "").partition(":")
    headers = {"Content-Type": kind} | ({"X-MS-CLIENT-PRINCIPAL": principal(name, [roles])} if who else {})
    return stage.host.invoke_http("POST", link, headers, urlencode(said))


def text(response: HttpResponse) -> str:
    """Return a page."""
    assert response.mimetype == "text/html"
    return response.get_body().decode()


def test_a_link_decides(stage: Stage, waiting: Approval) -> None:
    """The holder of a link sees what is to be decided, posts, and the review goes on; the event says who."""
    link = path(stage, waiting)
    shown = text(stage.ask("GET", link))
    assert all(word in shown for word in ("copyleft", waiting.digest, "GPL-3.0", "bob", 'value="approved"'))
    assert post(stage, link, verdict="approved", comment="seen").status_code == 200
    stage.settle()
    (decided,) = stage.events("approval.decided")
    assert (decided.data.by, decided.data.comment, decided.data.digest) == (("bob",), "seen", waiting.digest)
    assert decided.data.policy == stage.ports.policy().version
    assert len(stage.events("document.reviewed")) == 2


def test_looking_decides_nothing(stage: Stage, waiting: Approval) -> None:
    """However often a link is opened, by a person, a scanner or a preview, nothing is decided by that."""
    link = path(stage, waiting)
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        for query in ("", "?verdict=approved", "?verdict=approved&comment=x"):
            stage.ask(method, link + query, urlencode({"verdict": "approved"}).encode())
    assert (stage.approval().status, stage.approval().votes) == ("pending", ())
    assert stage.events("approval.decided") == []


def test_a_page_loads_nothing_and_is_kept_nowhere(stage: Stage, waiting: Approval) -> None:
    """A page runs nothing, is framed and cached by nobody, and tells its address to no one."""
    headers = stage.ask("GET", path(stage, waiting)).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")


def test_what_a_document_says_is_text_on_a_page(stage: Stage, waiting: Approval) -> None:
    """Whatever is shown is escaped: a document, a name or a person cannot put a word of HTML on the page."""
    mark = "<script>alert(1)</script>\"'"
    link = json.loads(
        asked(
            stage, waiting, "mailer:notifier", {"person": {"name": "bob", "roles": ["reviewer"], "shown": mark}}
        ).get_body()
    )["path"]
    shown = text(stage.ask("GET", link))
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;" in shown


def test_a_thousand_replays_have_one_effect(stage: Stage, waiting: Approval) -> None:
    """A request that is sent a thousand times is one vote and one event, and each time the same answer."""
    link = path(stage, waiting)
    answers = {post(stage, link, verdict="approved").get_body() for _ in range(1000)}
    stage.settle()
    assert len(answers) == 1
    assert len(stage.events("approval.decided")) == 1
    assert len(stage.ports.approvals.find(TENANT, waiting.id).votes) == 1


def test_a_link_is_used_once(stage: Stage, waiting: Approval) -> None:
    """A used link shows no content any more and decides nothing else; nor does another one of the same person."""
    link = path(stage, waiting)
    stage.clock.at += timedelta(seconds=1)
    second = path(stage, waiting)
    assert post(stage, link, verdict="approved").status_code == 200
    for one in (link, second):
        again = stage.ask("GET", one)
        assert (again.status_code, waiting.digest in text(again)) == (410, False)
    assert post(stage, link, verdict="rejected").status_code == 410
    assert post(stage, second, verdict="rejected").status_code == 409
    assert stage.ports.approvals.find(TENANT, waiting.id).status == "approved"


def test_an_expired_link_decides_nothing(stage: Stage, waiting: Approval) -> None:
    """A link that expired is gone, for looking and for deciding."""
    link = path(stage, waiting)
    stage.clock.at += timedelta(hours=24)
    assert stage.ask("GET", link).status_code == post(stage, link, verdict="approved").status_code == 410
    assert stage.approval().status == "pending"


def test_an_escalated_approval_needs_a_new_link(
    stage: Stage, waiting: Approval, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link is of the level it was made at: after an escalation it decides nothing, even if it had not expired."""
    monkeypatch.setattr("shared.core.links.GOOD_FOR", timedelta(days=30))
    link = path(stage, waiting)
    raised = waiting.model_copy(update={"level": 1})
    monkeypatch.setattr(type(stage.ports.approvals), "find", lambda *_: raised)
    assert stage.ask("GET", link).status_code == post(stage, link, verdict="approved").status_code == 410


def test_content_that_changed_is_not_decided(stage: Stage, waiting: Approval, monkeypatch: pytest.MonkeyPatch) -> None:
    """When something else is there than the link was made for, nothing is shown and nothing is decided."""
    link = path(stage, waiting)
    monkeypatch.setattr("azure.fabric.handlers.approvals.digest", lambda _: "b" * 64)
    assert stage.ask("GET", link).status_code == 410
    other = waiting.model_copy(update={"digest": "b" * 64})
    monkeypatch.setattr(type(stage.ports.approvals), "find", lambda *_: other)
    assert post(stage, link, verdict="approved").status_code == 409


def test_keys_are_rotated(stage: Stage, waiting: Approval, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a new key in front, links of the old one still open; when the old one is taken away they do not."""
    link = path(stage, waiting)
    for keys, status in ((f"{NEW},{OLD}", 200), (NEW, 403), ("", 404)):
        monkeypatch.setenv("APPROVAL_LINK_KEYS", keys)
        assert stage.ask("GET", link).status_code == status


@pytest.mark.parametrize("link", ["x", "x.y", "a" * 5000, "..%2f..%2fetc", "e30.e30"])
def test_a_forged_link_opens_nothing(stage: Stage, waiting: Approval, link: str) -> None:
    """What nobody sealed is refused, whoever asks and whatever is posted."""
    assert waiting.status == "pending"
    for response in (stage.ask("GET", f"/api/links/{link}"), post(stage, f"/api/links/{link}", verdict="approved")):
        assert response.status_code == 403


def test_who_may_not_decide_gets_no_link(stage: Stage, waiting: Approval) -> None:
    """A stranger gets no link, nor does somebody who is not signed in."""
    assert asked(stage, waiting, EVE).status_code == 403
    assert stage.ask("POST", f"/api/approvals/{waiting.id}/link").status_code == 401


def test_only_a_notifier_asks_for_others(stage: Stage, waiting: Approval) -> None:
    """A person cannot get somebody else's link and vote twice; the application that sends links can."""
    other = {"person": {"name": "cid", "roles": ["reviewer"]}}
    assert asked(stage, waiting, BOB, other).status_code == 403
    made = json.loads(asked(stage, waiting, "mailer:notifier", other).get_body())
    assert post(stage, made["path"], verdict="rejected").status_code == 200
    assert stage.ports.approvals.find(TENANT, waiting.id).deciders == ("cid",)


def test_somebody_elses_link_is_of_no_use(stage: Stage, waiting: Approval) -> None:
    """Whoever is signed in as somebody else than the link's person neither sees nor decides."""
    link = path(stage, waiting)
    assert stage.ask("GET", link, who="eve:reviewer").status_code == 403
    assert post(stage, link, "eve:reviewer", verdict="approved").status_code == 403
    assert post(stage, link, BOB, verdict="approved").status_code == 200


@pytest.mark.parametrize(
    "body",
    ["", "verdict=maybe", "verdict=approved&verdict=rejected", "verdict=approved&x=1", "verdict", "verdict=%ff", "é"],
)
def test_only_the_form_is_taken(stage: Stage, waiting: Approval, body: str) -> None:
    """A body that is not exactly the page's form is refused, and so is any other kind of body."""
    link = path(stage, waiting)
    told = stage.host.invoke_http("POST", link, {"Content-Type": FORM}, body)
    assert told.status_code == 400
    assert post(stage, link, kind="application/json", verdict="approved").status_code == 400
    assert stage.approval().status == "pending"


def test_a_large_form_is_refused(stage: Stage, waiting: Approval) -> None:
    """More than a decision needs is not read."""
    assert post(stage, path(stage, waiting), verdict="approved", comment="x" * MAX_DECISION).status_code == 413


def test_a_surprise_is_not_shown(stage: Stage, waiting: Approval, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is a page that says nothing of it."""
    link = path(stage, waiting)

    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("azure.fabric.handlers.links.bound", broken)
    response = stage.ask("GET", link)
    assert (response.status_code, "secret" in text(response)) == (500, False)
