"""The operators' desk, with the stores at hand and through the API: one contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from local.clouds import aws
from local.controls import Controls
from local.desks import AtHand, Made, OverTheApi, Still
from local.wiring import TENANT
from shared.app import ledger
from shared.app import policy as policies
from shared.app.operating import as_is
from shared.app.recent import EVERY
from shared.core.draws import DrawAsk
from shared.core.ledger import UNLIMITED, LeaseAsk
from shared.errors import Conflict, FabricError, Permanent, Throttled, Transient

if TYPE_CHECKING:
    from local.desks import Desk
    from shared.core.policy import Policy
    from shared.ports import Ports, Settings
    from tests.local.stage import Fabric

POLICY = "[tenants.acme]\nmax_runs = 3\n\n[tenants.local]\n"


def over_the_api(roles: str = "[operator]") -> OverTheApi:
    """Return a desk whose requests go through API Gateway's envelope, as people with these roles."""

    def call(
        method: str, path: str, *, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        to = urlsplit(path)
        claims = {"sub": "ann", "roles": roles}
        return aws.call_api(method, to.path, claims=claims, body=body, query=dict(parse_qsl(to.query)), headers=headers)

    return OverTheApi(call)


def _put(settings: Settings, text: str, before: str) -> Policy:
    found = settings.read(policies.NAME)
    if (found.text or f"[tenants.{TENANT}]\n") != before:
        raise Conflict("another one")
    return policies.change(settings, text, instead_of=found.version)


def at_hand(ports: Ports) -> AtHand:
    """Return a desk with the stores at hand."""
    mine = as_is(ports)
    controls = Controls(
        settings=mine.settings,
        ledger=mine.ledger,
        policy=mine.policy,
        now=mine.now,
        text=lambda: policies.written(mine.settings, policies.NAME) or f"[tenants.{TENANT}]\n",
        put=lambda text, before: _put(mine.settings, text, before),
        revision=lambda: mine.settings.read(policies.NAME).version,
    )
    return AtHand(controls, "ann")


@pytest.fixture(params=["at hand", "over the API"])
def desk(request: pytest.FixtureRequest, memory: Fabric) -> Desk:
    """Each desk there is."""
    return at_hand(memory.engine.ports) if request.param == "at hand" else over_the_api()


def test_a_policy_is_read_and_replaced(desk: Desk) -> None:
    """What is put is what is read, and its tenants are there at once."""
    assert desk.text().startswith(f"[tenants.{TENANT}]\n")
    made = desk.put(POLICY)
    assert made == Made(made.version, 2, 1)
    assert desk.text() == POLICY
    assert [(one["tenant"], one["limits"]["max_runs"]) for one in desk.tenants()] == [("acme", 3), ("local", 1000)]


def test_a_policy_is_read_by_its_version(desk: Desk) -> None:
    """What was in force is there as it was written, after it was replaced, too."""
    first = desk.put(POLICY)
    desk.put("[tenants.local]\n")
    assert desk.text_of(first.version) == POLICY


def test_a_policy_is_replaced_unseen(desk: Desk) -> None:
    """Whoever brings a whole policy need not read the old one first, nor between two of them."""
    assert desk.put(POLICY).tenants == 2
    assert desk.put("[tenants.local]\n").tenants == 1


def test_a_broken_policy_is_refused(desk: Desk) -> None:
    """A policy that is not in order is Permanent, and the reason names the place."""
    with pytest.raises(Permanent, match=r"tenants\.acme\.max_runs") as told:
        desk.put("[tenants.acme]\nmax_runs = 0\n")
    assert told.value.code == "bad-policy"


def test_all_tenants_are_there(desk: Desk) -> None:
    """However many tenants there are, each is there once, in order."""
    names = [f"tenant-{number:03}" for number in range(250)]
    desk.put("".join(f"[tenants.{name}]\n" for name in names))
    assert [one["tenant"] for one in desk.tenants()] == names


def test_work_is_stopped_and_started(desk: Desk) -> None:
    """A stop is seen at its tenants; a start says what is still stopped."""
    assert desk.stop("tenant", TENANT, by="ann", reason="a leak") == f"tenant {TENANT}"
    assert desk.stop("all", "", by="ann", reason="a second leak") == "everything"
    assert desk.tenants()[0]["stopped"] == "by ann: a leak"
    assert desk.start("tenant", TENANT) == [Still("everything", "ann", "a second leak")]
    assert desk.start("all", "") == []
    assert desk.tenants()[0]["stopped"] == ""


def test_what_there_is_not_cannot_be_stopped(desk: Desk) -> None:
    """A mistyped name is refused by either desk."""
    with pytest.raises(Permanent, match="'nobody'"):
        desk.stop("tenant", "nobody", by="ann", reason="x")


def test_it_is_quiet_when_no_call_is_out(desk: Desk, memory: Fabric) -> None:
    """A call that is out is seen, and so is its end."""
    ports, now = memory.engine.ports, memory.engine.ports.now().timestamp()
    ledger.open_lease(ports, TENANT, LeaseAsk("l", "t", "document-review", "standard", 500, now, now + 600), UNLIMITED)
    ledger.draw(ports, TENANT, "l", DrawAsk("d", 0, "classify", "extractive-1", 10, "0" * 64, now, 30.0))
    desk.stop("all", "", by="ann", reason="a leak")
    memory.clock.wait(2 * EVERY.total_seconds())
    assert not desk.quiet("all", "")
    assert not desk.quiet("workflow", "document-review")
    ledger.release(ports, TENANT, "l", "d")
    assert desk.quiet("all", "")


@pytest.mark.parametrize("where", ["at hand", "over the API"])
def test_two_operators_do_not_overwrite_each_other(where: str, memory: Fabric) -> None:
    """Who changes what somebody else changed meanwhile is refused, and may read again and go on."""
    ports = memory.engine.ports
    mine: Desk = at_hand(ports) if where == "at hand" else over_the_api()
    theirs: Desk = at_hand(ports) if where == "at hand" else over_the_api()
    mine.text()
    theirs.put(POLICY)
    with pytest.raises(Permanent, match="changed since you read it"):
        mine.put("[tenants.local]\n")
    assert mine.text() == POLICY
    assert mine.put("[tenants.local]\n").tenants == 1


@pytest.mark.usefixtures("memory")
def test_who_is_no_operator_is_told() -> None:
    """Without the role the API refuses, and the desk says why."""
    with pytest.raises(Permanent, match="only people with the role 'operator'"):
        over_the_api("[reviewer]").text()


@pytest.mark.parametrize(
    ("status", "problem", "kind"),
    [
        (404, {"code": "not-found", "detail": "x"}, Permanent),
        (403, {}, Permanent),
        (429, {"code": "throttled", "detail": "x"}, Throttled),
        (503, {"code": "try-later", "detail": "x"}, Transient),
        (500, {"detail": "x"}, Transient),
    ],
)
def test_a_problem_is_the_verdict_it_was(status: int, problem: dict[str, Any], kind: type[FabricError]) -> None:
    """What the API refuses for good is Permanent here, too, and what passes is Transient."""
    with pytest.raises(kind) as told:
        OverTheApi(lambda *_, **__: (status, problem)).text()
    assert (type(told.value), str(told.value)) == (kind, problem.get("detail", f"the API answered {status}"))


def test_what_was_done_is_told(desk: Desk, memory: Fabric) -> None:
    """The trail tells who set the policy, stopped and started, and says when something was done past it."""
    desk.put(POLICY)
    desk.stop("all", "", by="ann", reason="a leak")
    desk.start("all", "")
    found = desk.trail()
    assert [(deed["act"], deed["by"]) for deed in found.deeds] == [("policy", "ann"), ("stop", "ann"), ("start", "ann")]
    assert not found.wrong
    policies.change(as_is(memory.engine.ports).settings, "[tenants.mallory]\n")
    assert desk.trail().wrong == "policy: what is in force was written by nobody who is named here"


def test_a_long_trail_is_read_page_by_page(desk: Desk) -> None:
    """Every deed is told, however many there are."""
    for number in range(103):
        desk.stop("all", "", by="ann", reason=f"{number}")
    assert len(desk.trail().deeds) == 103


@pytest.mark.parametrize("status", [429, 503])
def test_a_desk_hears_when_to_come_back(status: int) -> None:
    """What the API asks to wait is what the verdict says."""
    with pytest.raises(Transient) as told:
        OverTheApi(lambda *_, **__: (status, {"detail": "x", "retry_after": 17.0})).text()
    assert told.value.retry_after == 17.0
