from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from local.wiring import TENANT
from shared.app.leases import lease_id
from shared.app.tasks import cancel, dispatch, submit
from shared.core.policy import Policy, TenantPolicy
from shared.core.pricing import worst_case
from shared.core.routes import Route
from shared.core.task import Progress, Status, Task
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Forbidden, NotFound, Permanent
from tests.app.faults import CrashError, Trouble
from tests.app.world import SOURCE, World

if TYPE_CHECKING:
    from shared.ports import Change, Ports, Tasks

WORST = worst_case(Policy(), DOCUMENT_REVIEW.steps)


def fixed(tenants: dict[str, TenantPolicy]) -> Callable[[], Policy]:
    """Return a policy of these tenants that stays as it is."""
    policy = Policy(tenants=tenants)
    return lambda: policy


def allow(world: World, **policy: Any) -> None:
    """Change what the tenant may do."""
    world.ports = replace(world.ports, policy=fixed({TENANT: TenantPolicy(**policy)}))


def test_a_submission_becomes_an_admitted_task(world: World) -> None:
    """Submitting stores the task with its worst case as budget, and says so to the dispatcher and the record."""
    task = world.submit("Pass one.", "Pass two.")
    assert (task.status, task.budget, task.version) == (Status.ADMITTED, 2 * WORST, 1)
    assert world.load(task) == task
    assert world.told(task) == ["task.submitted", "task.admitted"]
    assert [message.attributes["type"] for message in world.messages(Route.WORK)] == ["task.admitted"]
    assert world.unsent() == []


def test_the_same_key_is_the_same_task(world: World) -> None:
    """A client that repeats itself gets its task, as far as it is now, and nothing is said twice."""
    first = world.placed()
    again = world.submit()
    assert again == first
    assert again.status is Status.PLACED
    assert world.told(first) == ["task.submitted", "task.admitted", "task.placed"]


def test_keys_belong_to_their_tenant(world: World) -> None:
    """Two tenants that draw the same key get a task each."""
    world.ports = replace(world.ports, policy=fixed({TENANT: TenantPolicy(), "acme": TenantPolicy()}))
    mine = world.submit()
    theirs = submit(world.ports, "acme", "eve", world.submission(), "k1", source=SOURCE)
    assert mine.id != theirs.id
    with pytest.raises(NotFound):
        world.ports.tasks.load("acme", mine.id)


@pytest.mark.parametrize(
    "other",
    [
        {"texts": ("Pass something else.",)},
        {"texts": ("Pass it on. Keep the notice.",) * 2},
        {"entity": "package:y"},
        {"asks": False},
        {"budget_micro_usd": WORST + 1},
    ],
    ids=["document", "documents", "entity", "taxonomy", "budget"],
)
def test_a_key_that_was_used_for_something_else_is_refused(world: World, other: dict[str, Any]) -> None:
    """Whatever differs from the first submission under a key, the client is told instead of given another's task."""
    task = world.submit()
    with pytest.raises(Permanent) as refused:
        world.submit(*other.pop("texts", ()), **other)
    assert refused.value.code == "key-reused"
    assert world.load(task) == task
    assert len(world.told(task)) == 2


def test_the_budget_may_be_named_when_repeating(world: World) -> None:
    """Naming the budget that the task has anyway asks for the same task."""
    task = world.submit()
    assert world.submit(budget_micro_usd=WORST) == task


def test_a_stranger_leaves_no_trace(world: World) -> None:
    """A tenant nobody set up is refused before anything is written."""
    with pytest.raises(Forbidden) as refused:
        submit(world.ports, "evil", "eve", world.submission(), "k1", source=SOURCE)
    assert refused.value.code == "unknown-tenant"
    assert world.rows("tasks") == world.rows("outbox") == world.rows("messages") == 0


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"budget_micro_usd": 2_000_000}, "budget-too-large"), ({"workflow": "other"}, "unknown-workflow")],
)
def test_a_refusal_is_recorded_once_and_repeated_alike(world: World, wrong: dict[str, Any], code: str) -> None:
    """What the tenant may not do is noted in the record, and refused with the same code however often it is asked."""
    codes = []
    for _ in range(3):
        with pytest.raises(Forbidden) as refused:
            world.submit(**wrong)
        codes.append(refused.value.code)
    assert codes == [code] * 3
    assert [event.type for event in world.published()] == ["task.submitted", "task.rejected"]
    assert world.published()[-1].data.code == code
    assert world.messages(Route.WORK) == []


def test_nothing_is_done_for_a_refused_task(world: World) -> None:
    """A refused task takes part in nothing: no step starts, nothing is placed, concluded or given up."""
    with pytest.raises(Forbidden):
        world.submit("Pass one.", "Pass two.", budget_micro_usd=2_000_000)
    (task,) = world.ports.tasks.page(TENANT, limit=2)
    assert task.progress == (Progress.CANCELLED,) * 2
    with pytest.raises(Permanent) as refused:
        world.step(task, "extract", {})
    assert refused.value.code == "task-over"
    assert world.give_up(task, 1) == world.record(task) == task
    with pytest.raises(Permanent) as over:
        cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    assert over.value.code == "already-over"


def test_a_refusal_stays_one_when_the_policy_is_loosened(world: World) -> None:
    """A key whose task was refused stays refused; a new key is a new chance."""
    with pytest.raises(Forbidden):
        world.submit(budget_micro_usd=2_000_000)
    allow(world, max_budget=3_000_000)
    with pytest.raises(Forbidden) as refused:
        world.submit(budget_micro_usd=2_000_000)
    assert refused.value.code == "rejected"
    assert world.submit(budget_micro_usd=2_000_000, key="k2").status is Status.ADMITTED


def test_an_admitted_task_stays_one_when_the_policy_is_tightened(world: World) -> None:
    """Repeating an accepted submission answers with its task, which runs, and not with a refusal."""
    task = world.submit(budget_micro_usd=500_000)
    allow(world, max_budget=1000)
    assert world.submit(budget_micro_usd=500_000) == task
    assert world.told(task) == ["task.submitted", "task.admitted"]


def test_a_task_and_its_lease_are_one(world: World) -> None:
    """A crash at any moment of a submission leaves both or none, and repeating it takes from the rates once."""
    allow(world, request_burst=1, requests_per_minute=1)
    for moment in ("before", "after"):
        whole, key = world.ports, f"k-{moment}"
        world.ports = Trouble(1, moment, only=("tasks.commit",)).on(whole)
        with pytest.raises(CrashError):
            world.submit(key=key)
        assert len(whole.ledger.leases(TENANT, limit=10)) == len(whole.tasks.page(TENANT, limit=10))
        world.ports = whole
        task = world.submit(key=key)
        lease = whole.ledger.lease(TENANT, lease_id(task.id))
        assert lease is not None
        assert (lease.amount, lease.state) == (WORST, "open")
        world.clock.wait(60)
    assert world.ports.ledger.account(TENANT).runs == 2


def test_money_that_somebody_else_took_meanwhile_is_not_given_twice(world: World) -> None:
    """A submission that loses a race is decided again on what is left, and one that repeats a winner is that one."""
    allow(world, daily_budget=WORST)
    whole = world.ports
    first: list[Task] = []

    def overtake() -> None:
        world.ports = whole
        first.append(world.submit(key="k1"))

    world.ports = overtaken(whole, overtake)
    with pytest.raises(Forbidden) as refused:
        world.submit(key="k2")
    assert refused.value.code == "quota-used-up"
    allow(world, daily_budget=3 * WORST)
    whole = world.ports
    world.ports = overtaken(whole, lambda: first.append(submit_as(world, whole, "k3")))
    assert world.submit(key="k3") == first[-1]
    assert world.ports.ledger.account(TENANT).runs == 2


def submit_as(world: World, ports: Ports, key: str) -> Task:
    """Submit on these ports."""
    return submit(ports, TENANT, "ann", world.submission(), key, source=SOURCE)


def overtaken(ports: Ports, overtake: Callable[[], None]) -> Ports:
    """Return ports behind which somebody else is faster, once."""
    return replace(ports, tasks=Overtaken(ports.tasks, [overtake]))


@dataclass
class Overtaken:
    """Tasks that somebody else changes just before the first commit."""

    tasks: Tasks
    before: list[Callable[[], None]]

    def __getattr__(self, method: str) -> Any:
        return getattr(self.tasks, method)

    def commit(self, change: Change) -> None:
        """Commit, too late."""
        if self.before:
            self.before.pop()()
        self.tasks.commit(change)


def test_a_refused_key_is_not_free_for_something_else(world: World) -> None:
    """Another submission under a refused one's key is told that the key is taken."""
    with pytest.raises(Forbidden):
        world.submit(budget_micro_usd=2_000_000)
    with pytest.raises(Permanent) as refused:
        world.submit("Pass something else.")
    assert refused.value.code == "key-reused"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"name = ", "bad-taxonomy"), (b"\xff\xfe", "not-text"), (b'name = "t"\nthreshold = 2\n', "bad-taxonomy")],
)
def test_a_broken_taxonomy_is_refused_before_anything_is_written(world: World, content: bytes, code: str) -> None:
    """A taxonomy nobody can read is the client's mistake, told at once."""
    submission = world.submission().model_copy(update={"taxonomy": world.ports.documents.write(content, "text/plain")})
    with pytest.raises(Permanent) as refused:
        submit(world.ports, TENANT, "ann", submission, "k1", source=SOURCE)
    assert (refused.value.code, refused.value.where) == (code, "taxonomy")
    assert world.rows("tasks") == 0


def test_an_oversize_taxonomy_is_not_even_read(world: World) -> None:
    """A taxonomy above the limit is refused by the size its reference names."""
    submission = world.submission()
    large = submission.taxonomy.model_copy(update={"size": 300_000, "sha256": "0" * 64})
    with pytest.raises(Permanent) as refused:
        submit(world.ports, TENANT, "ann", submission.model_copy(update={"taxonomy": large}), "k1", source=SOURCE)
    assert refused.value.code == "oversize"


@pytest.mark.parametrize(("asks", "cloud", "route"), [(True, "azure", Route.REVIEWS), (False, "aws", Route.PIPELINE)])
def test_an_admitted_task_is_placed_once(world: World, cloud: str, route: Route, *, asks: bool) -> None:
    """The dispatcher places a task where its taxonomy allows, and a repeated message changes nothing."""
    task = world.placed(asks=asks)
    assert (task.placed_on, task.status) == (cloud, Status.PLACED)
    (admitted,) = [event for event in world.published() if event.type == "task.admitted"]
    assert dispatch(world.ports, admitted, source=SOURCE) == task
    assert [message.attributes["type"] for message in world.messages(route)] == ["task.placed"]


def test_the_dispatcher_minds_admissions_only(world: World) -> None:
    """Another event is none of its business."""
    world.submit()
    submitted = world.published()[0]
    assert dispatch(world.ports, submitted, source=SOURCE) is None


def test_a_task_cancelled_before_its_placement_is_not_placed(world: World) -> None:
    """A placement that comes after the cancellation changes nothing."""
    task = world.submit()
    cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    late = dispatch(world.ports, world.published()[1], source=SOURCE)
    assert late is not None
    assert late.status is Status.CANCELLED
    assert world.told(task) == ["task.submitted", "task.admitted", "task.cancelled"]


def test_cancelling_twice_is_cancelling_once(world: World) -> None:
    """Two people who stop a task stop it once, and the first one's reason stays."""
    task: Task = world.placed()
    cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    again = cancel(world.ports, TENANT, task.id, "bob", "another", source=SOURCE)
    assert (again.status, again.reason) == (Status.CANCELLED, "a mistake")
    assert world.told(task).count("task.cancelled") == 1


def test_a_task_of_another_tenant_cannot_be_stopped(world: World) -> None:
    """Nobody learns whether another tenant's task exists."""
    task = world.submit()
    with pytest.raises(NotFound):
        cancel(world.ports, "acme", task.id, "eve", "because", source=SOURCE)
