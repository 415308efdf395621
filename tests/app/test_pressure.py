from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from local.wiring import TENANT
from shared.app import pressure
from shared.app.admission import grant, held_back, yields
from shared.app.learned import Learned
from shared.core.granting import Ask
from shared.core.health import Outcome
from shared.core.policy import Policy, TenantPolicy
from shared.core.routing import Candidate, Route, routes
from shared.core.schedule import Load
from shared.core.task import Status
from shared.errors import Throttled
from shared.ports import Change

if TYPE_CHECKING:
    from datetime import datetime

    from shared.events.task import Priority
    from tests.app.world import World


@pytest.fixture
def deployment(world: World) -> Route:
    """The only deployment there is, far away."""
    candidate = Candidate(name="far", provider="openai", model="m", tokens_in=1, tokens_out=1)
    policy = Policy(tenants={TENANT: TenantPolicy()}, candidates={"far": candidate})
    world.ports = replace(world.ports, policy=lambda: policy, learned=Learned())
    return routes([candidate])[0]


def ended(world: World, deployment: Route, end: Outcome) -> None:
    """Learn from a call."""
    world.ports.learned.leave(deployment, end, world.clock.now().timestamp())


def parked(world: World, priority: Priority, since: datetime, seconds: float = 900.0) -> None:
    """Have a task wait for the providers for so long."""
    task = world.submit(priority=priority, key=f"{priority}-{since}")
    waiting = task.model_copy(
        update={
            "status": Status.PARKED,
            "parked_for": "throttled",
            "parked_at": since,
            "parked_until": since + timedelta(seconds=seconds),
            "version": task.version + 1,
        }
    )
    world.ports.tasks.commit(Change(waiting, task.version, ()))


def granted(world: World, priority: Priority) -> str:
    """Ask for a run's money, and return the reason or the code of the refusal."""
    try:
        return grant(world.ports, TENANT, Ask(f"l-{priority}", "t", "document-review", priority, 1)).reason
    except Throttled as refusal:
        return refusal.code


@pytest.mark.usefixtures("deployment")
def test_what_waits_is_looked_up_once_a_second(world: World) -> None:
    """Who lets work in may never have called a model itself; a flood of submissions costs the store one look."""
    assert pressure.load_of(world.ports) == Load(waiting={}, oldest={})
    parked(world, "background", world.clock.now())
    assert pressure.load_of(world.ports).waiting == {}
    world.clock.wait(1)
    assert pressure.load_of(world.ports).waiting == {"background": 1}


def test_work_is_shed_while_no_provider_takes_calls(world: World, deployment: Route) -> None:
    """A provider that is away for a minute turns new work away until its return is no longer than that may wait."""
    ended(world, deployment, Outcome("throttled", retry_after=60.0))
    with pytest.raises(Throttled, match="no provider takes calls") as refused:
        pressure.check(world.ports, "interactive")
    assert refused.value.retry_after == pytest.approx(50.0)
    world.clock.wait(refused.value.retry_after)
    pressure.check(world.ports, "interactive")


def test_a_long_queue_sheds_the_lowest_class_first(world: World, deployment: Route) -> None:
    """While old background work waits behind a slow provider, more of it is turned away and urgent work is not."""
    ended(world, deployment, Outcome("throttled", retry_after=1.0))
    parked(world, "background", world.clock.now())
    world.clock.wait(301)
    assert pressure.load_of(world.ports).oldest == {"background": 301.0}
    assert granted(world, "background") == "pressure"
    assert world.ports.refusals.too_fast == {TENANT: 1}
    assert granted(world, "standard") == "within its rates and budgets"
    assert world.ports.ledger.lease(TENANT, "l-background") is None


@pytest.mark.usefixtures("deployment")
def test_the_refusal_says_whose_age_it_is_for(world: World) -> None:
    """A class whose oldest has waited too long is refused with that, and not with a rate that nobody measured."""
    parked(world, "standard", world.clock.now())
    world.clock.wait(90)
    with pytest.raises(Throttled, match="the oldest standard task has waited 90 s for a provider") as refused:
        pressure.check(world.ports, "background")
    assert refused.value.retry_after == 30


@pytest.mark.usefixtures("deployment")
def test_who_is_due_is_no_reason_to_refuse(world: World) -> None:
    """A task whose time has come waits for whoever resumes it: however long that takes, no provider is behind."""
    parked(world, "standard", world.clock.now(), seconds=50)
    world.clock.wait(3600)
    assert pressure.load_of(world.ports) == Load(waiting={"standard": 1}, oldest={})
    pressure.check(world.ports, "standard")


def test_the_tenants_own_limit_is_told_first(world: World, deployment: Route) -> None:
    """Who is too fast hears that, and not of the queue."""
    world.submit()
    ended(world, deployment, Outcome("throttled", retry_after=60.0))
    policy = world.ports.policy().model_copy(update={"tenants": {TENANT: TenantPolicy(max_runs=1)}})
    world.ports = replace(world.ports, policy=lambda: policy)
    assert granted(world, "standard") == "runs"


def test_background_runs_give_way_to_interactive_work_of_any_process(world: World) -> None:
    """Who never asked a provider sees what is parked for one; a task gives way once, and not for ever."""
    task = world.submit(priority="background", key="bulk")
    assert yields(world.ports, task) is None
    parked(world, "interactive", world.clock.now())
    world.clock.wait(2)
    world.ports = replace(world.ports, learned=Learned())
    assert yields(world.ports, task) == "interactive work waits for models, in 1 tasks"
    gone = task.model_copy(update={"status": Status.PARKED, "parked_for": "preempted", "parked_at": world.clock.now()})
    assert held_back(world.ports, gone) is not None
    world.clock.wait(world.ports.policy().classes.background.most_wait)
    assert held_back(world.ports, gone) is None
    assert yields(world.ports, task.model_copy(update={"run": 2})) is None
    assert yields(world.ports, task.model_copy(update={"priority": "standard"})) is None
