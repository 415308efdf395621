from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from local.wiring import TENANT
from shared.app import ledger, switches
from shared.app.approvals import budget_approval_id, decide_approval
from shared.app.leases import lease_id
from shared.app.parking import next_due, resume_due, sweep
from shared.app.tasks import cancel, dispatch
from shared.core.approval import Person, Vote
from shared.core.draws import DrawAsk
from shared.core.policy import MoreBudget, Policy, TenantPolicy
from shared.errors import Forbidden, Permanent, Throttled, Transient
from shared.ports import Change
from tests.app.faults import Rivalry, Trouble
from tests.app.world import OWNER, SOURCE, World

if TYPE_CHECKING:
    from shared.core.task import Task

SHORT = 20  # micro-USD: less than a call of a model may cost


def throttled(world: World, seconds: float = 30) -> Task:
    """Return a task that waits for its model."""
    task = world.placed("Pass it on. Keep the notice.")
    world.models.faults = [Throttled("slow down", retry_after=seconds)]
    results = world.worked(task, until="classify")
    with pytest.raises(Permanent) as parked:
        world.step(task, "classify", results, run=1)
    assert parked.value.code == "task-parked"
    return world.load(task)


def without_money(world: World) -> Task:
    """Return a task that asks for more money."""
    task = world.placed("Pass it on. Keep the notice.", budget_micro_usd=SHORT)
    results = world.worked(task, until="classify")
    with pytest.raises(Permanent):
        world.step(task, "classify", results)
    return world.load(task)


def resumed(world: World) -> int:
    """Let go on what can."""
    return resume_due(world.ports, source=SOURCE)


def decided(world: World, task: Task, verdict: str) -> None:
    """Decide on the task's budget."""
    asked = world.ports.approvals.find(TENANT, budget_approval_id(task))
    said = Vote.model_validate({"verdict": verdict, "by": OWNER.model_dump(), "digest": asked.digest})
    decide_approval(world.ports, TENANT, asked.id, said, source=SOURCE)


def draw(world: World, task: Task) -> None:
    """Put money aside for a call that does not come back."""
    at = world.clock.now().timestamp()
    asked = DrawAsk("a-call", 0, "classify", "extractive-1", 1, "a" * 64, at, 30.0)
    ledger.draw(world.ports, TENANT, lease_id(task.id), asked)


def crowd(world: World, like: Task, many: int) -> None:
    """Store so many tasks that were parked before this one and wait for something that does not come."""
    early, late = world.clock.now() - timedelta(hours=1), world.clock.now() + timedelta(days=1)
    with world.database.transaction():
        for number in range(many):
            waits = {"id": f"crowd-{number:05}", "parked_at": early, "parked_until": late, "version": 1}
            world.ports.tasks.commit(Change(like.model_copy(update=waits), 0, ()))


def test_a_crowd_that_waits_hides_nobody(world: World) -> None:
    """Behind thousands that wait longer, a task whose time has come goes on within as many looks as they fill."""
    task = throttled(world)
    crowd(world, task, 4500)
    world.clock.wait(30)
    looks = [resumed(world) for _ in range(3)]
    assert (looks, world.load(task).run) == ([0, 0, 1], 2)


def test_looks_go_round(world: World) -> None:
    """Who looks at some at a time begins anew behind the last one, whoever has gone or come meanwhile."""
    task = throttled(world, seconds=90)
    crowd(world, task, 5)
    places = []
    for _ in range(4):
        assert resume_due(world.ports, source=SOURCE, limit=4) == 0
        places.append(world.ports.settings.read("parked").text.rpartition("#")[2])
        world.clock.wait(1)
    assert places == ["crowd-00003", "crowd-00001", task.id, "crowd-00003"]


def test_two_schedulers_look_without_harm(world: World) -> None:
    """Whoever notes too late how far it came leaves the other one's note, and looks all the same."""
    task = throttled(world)
    crowd(world, task, 5)
    setting = world.ports.settings.read("parked")
    other = replace(setting, text="x", version=1)
    tasks: Any = Rivalry(world.ports.tasks, lambda: world.ports.settings.write(other), "parked")
    world.clock.wait(30)
    assert resume_due(replace(world.ports, tasks=tasks), source=SOURCE, limit=6) == 1
    assert world.ports.settings.read("parked").text == "x"


def test_an_engine_waits_for_the_first_of_a_crowd(world: World) -> None:
    """The next moment at which a task may go on is found behind any number of others."""
    task = throttled(world)
    crowd(world, task, 2500)
    assert next_due(world.ports) == task.parked_until


def test_a_throttled_task_goes_on_when_it_was_told_to(world: World) -> None:
    """Not a moment earlier, as its next run, and with its steps in the journal."""
    task = throttled(world)
    assert next_due(world.ports) == task.parked_until
    world.clock.wait(29)
    assert resumed(world) == 0
    world.clock.wait(2)
    assert resumed(world) == 1
    after = world.load(task)
    assert (after.status, after.run, after.parked_for) == ("admitted", 2, None)
    assert resumed(world) == 0


def test_a_time_that_has_come_is_waited_for_no_longer(world: World) -> None:
    """A task that is due and stopped by a switch is no reason to look again at once: nobody would ever rest."""
    throttled(world)
    world.clock.wait(60)
    switches.stop(world.ports, "all", "", by="ann", reason="too dear")
    world.clock.wait(1)
    assert resumed(world) == 0
    assert next_due(world.ports) is None
    switches.start(world.ports, "all", "", by="ann")
    world.clock.wait(1)
    assert resumed(world) == 1


def test_a_pipeline_of_an_earlier_run_stops(world: World) -> None:
    """Whoever still works for the run that was parked pays for nothing more when the next one is at work."""
    task = throttled(world)
    world.clock.wait(31)
    resumed(world)
    resume = next(event for event in world.published(task.id) if event.type == "task.resumed")
    dispatch(world.ports, resume, source=SOURCE)
    with pytest.raises(Permanent) as late:
        world.step(task, "extract", {}, run=1)
    assert late.value.code == "task-parked"
    calls = len(world.models.calls)
    results = {"extract": world.step(task, "extract", {}, run=2)}
    world.step(task, "classify", results, run=2)
    assert len(world.models.calls) == calls + 1


def test_a_call_that_is_out_is_waited_for(world: World) -> None:
    """Its answer may come yet, and would be paid for twice; a call that never comes back is waited out."""
    task = throttled(world, seconds=1)
    draw(world, task)
    world.clock.wait(2)
    assert resumed(world) == 0
    world.clock.wait(60)
    assert resumed(world) == 1


def test_granted_money_lets_the_run_go_on(world: World) -> None:
    """The budget grows by what was asked for, and the lease with it."""
    task = without_money(world)
    assert (task.parked_for, world.lease(task).state) == ("budget", "closed")
    assert resumed(world) == 0
    decided(world, task, "approved")
    assert resumed(world) == 1
    after = world.load(task)
    assert after.budget > SHORT
    assert (world.lease(task).state, world.lease(task).amount) == ("open", after.budget)


def test_refused_money_ends_the_run(world: World) -> None:
    """Nobody wants to pay for the rest: the task is cancelled, says so, and holds nothing."""
    task = without_money(world)
    decided(world, task, "rejected")
    assert resumed(world) == 0
    after = world.load(task)
    assert (after.status, world.lease(task).state) == ("cancelled", "closed")
    assert "refused" in after.reason


def test_cancelling_withdraws_what_a_run_asks_for(world: World) -> None:
    """A cancelled task asks nobody for money any more."""
    task = without_money(world)
    cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    assert world.ports.approvals.find(TENANT, budget_approval_id(task)).status == "withdrawn"
    assert list(world.ports.approvals.pending(TENANT, limit=10)) == []


def test_a_lease_of_a_task_that_lives_is_prolonged(world: World) -> None:
    """A review may wait for people longer than a lease lives."""
    task = world.placed("Ask me first. Then go on.")
    world.clock.wait(7 * 3600)
    assert sweep(world.ports, source=SOURCE) == 0
    assert (world.load(task).status, world.lease(task).state) == ("placed", "open")
    assert world.lease(task).expires_at > world.clock.now().timestamp()


def test_a_pipeline_that_vanished_goes_on_as_the_next_run(world: World) -> None:
    """Express ends within minutes: a task on AWS whose lease outlived its time has nobody who works for it."""
    task = world.placed("Pass it on. Keep the notice.", asks=False)
    assert task.placed_on == "aws"
    world.clock.wait(7 * 3600)
    sweep(world.ports, source=SOURCE)
    assert world.load(task).parked_for == "throttled"
    world.clock.wait(1)
    assert resumed(world) == 1
    assert world.load(task).run == 2


@pytest.mark.parametrize("failing", ["tasks.load", "tasks.commit"])
def test_a_sweeper_that_fails_finds_the_vanished_pipeline_again(world: World, failing: str) -> None:
    """The lease of a run that could not be restarted stays overdue: without it nobody would look at the task again."""
    task = world.placed("Pass it on. Keep the notice.", asks=False)
    world.clock.wait(7 * 3600)
    sweep(Trouble(at=1, error=Transient, only=(failing,)).on(world.ports), source=SOURCE)
    assert (world.load(task).status, world.lease(task).state) == ("placed", "open")
    sweep(world.ports, source=SOURCE)
    world.clock.wait(1)
    assert resumed(world) == 1
    assert world.load(task).run == 2


def test_a_tenant_that_is_gone_holds_nobody_up(world: World) -> None:
    """Leases of a tenant that the policy no longer knows end, and so do the others that nobody needs."""
    gone, other = world.placed("Pass it on. Keep the notice."), world.placed("Pass this too.", key="k2", entity="y")
    cancel(world.ports, TENANT, other.id, "ann", "a mistake", source=SOURCE)
    world.clock.wait(7 * 3600)
    policy = Policy(tenants={})
    world.ports = replace(world.ports, policy=lambda: policy)
    assert sweep(world.ports, source=SOURCE) == 1
    assert world.lease(gone).state == "expired"
    assert cancel(world.ports, TENANT, gone.id, "ann", "gone", source=SOURCE).over


def test_a_refused_key_that_comes_again_holds_no_money(world: World) -> None:
    """A submission that was refused once stays refused, and leases nothing the second time."""
    poor = world.ports.policy()
    tenant = poor.tenants[TENANT].model_copy(update={"daily_budget": 1})
    rich, world.ports = (
        world.ports,
        replace(world.ports, policy=lambda: poor.model_copy(update={"tenants": {TENANT: tenant}})),
    )
    with pytest.raises(Forbidden):
        world.submit("Pass it on. Keep the notice.")
    world.ports = rich
    world.clock.wait(timedelta(days=1).total_seconds())
    with pytest.raises(Forbidden):
        world.submit("Pass it on. Keep the notice.")
    assert world.ports.ledger.account(TENANT).version == 0
    assert list(world.ports.ledger.leases(TENANT, limit=1)) == []


def test_operators_say_who_grants_more_money(world: World) -> None:
    """The approvers, their time and whether the submitter may be one of them are the policy's of that moment."""
    rule = MoreBudget(approvers=("treasurer",), seconds=3600)
    tenants = {TENANT: TenantPolicy(four_eyes=True)}
    policy = world.ports.policy().model_copy(update={"more_budget": rule, "tenants": tenants})
    world.ports = replace(world.ports, policy=partial(Policy.model_copy, policy))
    task = without_money(world)
    asked = world.ports.approvals.find(TENANT, budget_approval_id(task))
    assert (asked.approvers, asked.deadline - asked.requested_at) == (("treasurer",), timedelta(hours=1))
    for who, name in ((OWNER, "cid"), (Person(name="ann", roles=("treasurer",)), "ann")):
        with pytest.raises(Permanent, match=name):
            world.vote(asked, by=who)
    assert world.vote(asked, by=Person(name="tim", roles=("treasurer",))).status == "approved"
