from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.sqlite.ledger import SqliteLedger
from local.sqlite.settings import SqliteSettings
from local.wiring import TENANT
from shared.app import ledger
from shared.app.switches import check, quiet, start, stop, switched
from shared.core.draws import DrawAsk, Outcome
from shared.core.ledger import UNLIMITED, LeaseAsk
from shared.core.policy import Policy, TenantPolicy
from shared.core.switches import Scope, Switch, switches_in, text_of
from shared.errors import Permanent, Throttled, Transient
from shared.ports import Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.ledger import Posting
    from tests.app.world import World

FLOW = "document-review"


def is_stopped(world: World, tenant: str = TENANT, workflow: str = FLOW) -> bool:
    """Tell whether a paid call would be refused."""
    try:
        check(world.ports, tenant, workflow)
    except Throttled:
        return True
    return False


def calling(world: World, tenant: str = TENANT, workflow: str = FLOW) -> None:
    """Have a call out."""
    now = world.clock.now().timestamp()
    ask = LeaseAsk(f"lease-{tenant}", "task", workflow, "standard", 100, now, now + 60)
    ledger.open_lease(world.ports, tenant, ask, UNLIMITED)
    ledger.draw(world.ports, tenant, ask.id, DrawAsk("draw", 0, "classify", "embedded", 10, "0" * 64, now, 30.0))


@pytest.mark.parametrize(
    ("scope", "name", "theirs", "other"),
    [("all", "", True, True), ("tenant", TENANT, False, True), ("workflow", FLOW, True, False)],
)
def test_a_switch_stops_what_it_names(world: World, scope: Scope, name: str, *, theirs: bool, other: bool) -> None:
    """A switch for a tenant, for a workflow or for all stops that and nothing else, until it is taken away."""
    assert not is_stopped(world)
    stop(world.ports, scope, name, by="ann", reason="a leak")
    assert is_stopped(world)
    assert is_stopped(world, tenant="acme") is theirs
    assert is_stopped(world, workflow="other") is other
    start(world.ports, scope, name, by="ann")
    assert not is_stopped(world)


def test_the_refusal_says_who_and_why(world: World) -> None:
    """Whoever is stopped reads by whom and why."""
    stop(world.ports, "tenant", TENANT, by="ann", reason="a leak")
    with pytest.raises(Throttled, match="tenant local is stopped by ann: a leak") as refused:
        check(world.ports, TENANT, FLOW)
    assert refused.value.code == "stopped"


def test_a_stop_reaches_the_others_within_half_a_second(world: World) -> None:
    """Another process's switch is seen by the next call after half a second at most."""
    assert not is_stopped(world)
    elsewhere = replace(world.ports, settings=SqliteSettings(world.database))
    stop(elsewhere, "all", "", by="ann", reason="a leak")
    world.clock.wait(0.49)
    assert not is_stopped(world)
    world.clock.wait(0.01)
    assert is_stopped(world)


def test_stopping_twice_is_stopping_once(world: World) -> None:
    """The second stop says who did it last; the first start ends both."""
    stop(world.ports, "all", "", by="ann", reason="a leak")
    stop(world.ports, "all", "", by="bob", reason="still")
    (one,) = switched(world.ports)
    assert (one.by, one.reason, one.stops) == ("bob", "still", "everything")
    start(world.ports, "all", "", by="ann")
    start(world.ports, "all", "", by="ann")
    assert switched(world.ports) == ()


def test_switches_stay_apart(world: World) -> None:
    """Starting a tenant does not start what was stopped for everybody."""
    stop(world.ports, "all", "", by="ann", reason="a leak")
    stop(world.ports, "tenant", TENANT, by="ann", reason="a leak")
    start(world.ports, "tenant", TENANT, by="ann")
    assert is_stopped(world)


def test_switches_that_cannot_be_read_stop_everything(world: World) -> None:
    """When nobody knows what may go on, nothing is paid for."""
    SqliteSettings(world.database).write(Setting("switches", "nonsense", 1))
    with pytest.raises(Transient):
        check(world.ports, TENANT, FLOW)


def test_switches_survive_their_text(world: World) -> None:
    """What is written down is what is read back."""
    made = stop(world.ports, "workflow", FLOW, by="ann", reason="a leak; ünïcode")
    assert switches_in(text_of([made])) == (made,)
    assert switches_in("") == ()


def test_quiet_is_when_no_call_is_out(world: World) -> None:
    """A stop is complete when the last call that was out has ended."""
    switch: tuple[Scope, str] = ("tenant", TENANT)
    assert quiet(world.ports, *switch)
    calling(world)
    assert not quiet(world.ports, *switch)
    ledger.settle(world.ports, TENANT, f"lease-{TENANT}", "draw", Outcome(7))
    assert quiet(world.ports, *switch)


def test_quiet_is_about_what_was_stopped(world: World) -> None:
    """Another workflow's calls, or another tenant's, do not keep a switch from being complete."""
    world.ports = replace(world.ports, policy=lambda: Policy(tenants={TENANT: TenantPolicy()}))
    calling(world, workflow="other")
    assert quiet(world.ports, "workflow", FLOW)
    assert not quiet(world.ports, "workflow", "other")
    assert quiet(world.ports, "tenant", "acme")


def test_everything_is_quiet_when_strangers_are_too(world: World) -> None:
    """A tenant that was taken out of the policy may still have a call out, and that counts."""
    world.ports = replace(world.ports, policy=lambda: Policy(tenants={TENANT: TenantPolicy()}))
    calling(world, tenant="gone")
    assert not quiet(world.ports, "all", "")
    ledger.unknown(world.ports, "gone", "lease-gone", "draw")
    assert quiet(world.ports, "all", "")


def test_a_switch_is_written_down_whole() -> None:
    """A switch without a reason is none."""
    with pytest.raises(ValueError, match="reason"):
        Switch.model_validate({"scope": "all", "reason": "", "by": "ann", "since": "2026-11-21T12:00:00Z"})


class Slow(SqliteLedger):
    """A ledger at which something happens once the first draw is stored."""

    def __init__(self, world: World, meanwhile: Callable[[], object]) -> None:
        super().__init__(world.database)
        self._meanwhile = [meanwhile]

    def post(self, posting: Posting) -> None:
        """Post, and let it happen."""
        super().post(posting)
        if posting.draw is not None and self._meanwhile:
            self._meanwhile.pop()()


def test_a_process_that_stalls_before_its_call_does_not_make_it(world: World) -> None:
    """A stop that came between the first look and the call is seen: the draw is taken back, and nothing is called."""
    task = world.placed()
    elsewhere = replace(world.ports, settings=SqliteSettings(world.database))

    def meanwhile() -> None:
        stop(elsewhere, "all", "", by="ann", reason="a leak")
        world.clock.wait(60)

    world.ports = replace(world.ports, ledger=Slow(world, meanwhile))
    with pytest.raises(Permanent, match="everything is stopped by ann"):
        world.worked(task)
    assert world.models.calls == []
    assert world.load(task).parked_for == "stopped"
    lease = world.lease(task)
    assert (lease.held, lease.settled) == (0, 0)
    assert [drawn.state for drawn in world.ports.ledger.draws(TENANT, lease.id, limit=9)] == ["released"]
    assert quiet(world.ports, "all", "")
