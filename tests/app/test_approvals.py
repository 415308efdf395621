from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from local.wiring import TENANT
from shared.app.approvals import approval_id, tick_approval
from shared.app.commit import change
from shared.app.tasks import cancel
from shared.core import task as tasks
from shared.core.approval import Approval, ApprovalPolicy, Level, Person
from shared.core.task import Progress, Status
from shared.core.workflow import DOCUMENT_REVIEW, WORKFLOWS, Checkpoint
from shared.errors import Forbidden, NotFound, Permanent
from shared.events.catalog import Cause
from tests.app.faults import Rivalry
from tests.app.world import OWNER, REVIEWER, SOURCE, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.task import Task
    from shared.ports import Ports

DEE = Person(name="dee", roles=("reviewer",))


@pytest.fixture
def quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two reviewers be needed, on three levels."""
    levels = tuple(Level(approvers=("reviewer",), wait=100) for _ in range(3))
    policy = ApprovalPolicy(levels=levels, quorum=2)
    flow = replace(DOCUMENT_REVIEW, checkpoint=Checkpoint(DOCUMENT_REVIEW.checkpoint.when, policy))
    monkeypatch.setattr("shared.core.workflow.WORKFLOWS", {**WORKFLOWS, flow.name: flow})


def tick(world: World, approval: Approval) -> Approval:
    """Let the clock look at an approval."""
    return tick_approval(world.ports, TENANT, approval.id, source=SOURCE)


def to_deadline(world: World, approval: Approval, seconds: float = 0) -> None:
    """Turn the clock to so many seconds after the deadline."""
    world.clock.move_to(approval.deadline + timedelta(seconds=seconds))


def test_a_human_is_asked_once(world: World) -> None:
    """Asking twice is asking once: the same approval, the same deadline, one event."""
    task, approval = world.asked()
    world.clock.wait(60)
    assert world.request(task) == approval
    assert world.told(task).count("approval.requested") == 1
    assert world.load(task).progress == (Progress.WAITING,)
    assert approval.reason == "Ask needs an approval."
    assert [one.id for one in world.ports.approvals.pending(TENANT, limit=10)] == [approval.id]


def test_two_who_ask_at_once_ask_once(world: World) -> None:
    """Whoever comes second in a race returns the approval of the first, deadline included."""
    task = world.placed("Ask me first. Then go on.")
    world.worked(task)
    quick = World(world.database)
    world.clock.wait(5)
    world.ports = replace(world.ports, tasks=Rivalry(world.ports.tasks, lambda: quick.request(task), method="commit"))
    assert world.request(task) == quick.approval(task)
    assert world.told(task).count("approval.requested") == 1


def test_nobody_is_asked_about_unfinished_work(world: World) -> None:
    """An approval needs findings to show."""
    task = world.placed("Ask me first. Then go on.")
    world.worked(task, until="policy")
    with pytest.raises(Permanent) as refused:
        world.request(task)
    assert refused.value.code == "not-ready"


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_a_decision_is_recorded_with_the_review(world: World, verdict: str) -> None:
    """Before the decision a conclusion is refused; afterwards it carries the verdict and who decided."""
    task, approval = world.asked()
    with pytest.raises(Permanent) as owed:
        world.record(task)
    assert owed.value.code == "approval-owed"
    assert world.vote(approval, verdict).status == verdict  # type: ignore[arg-type]
    assert world.record(task).status is Status.COMPLETED
    reviewed = next(event.data for event in world.published() if event.type == "document.reviewed")
    assert (reviewed.verdict, reviewed.decided_by) == (verdict, ("bob",))
    assert world.ports.approvals.pending(TENANT, limit=10) == []


def test_a_conclusion_before_anybody_asked_is_refused(world: World) -> None:
    """A document that needs a human is not concluded because nobody got round to asking."""
    task = world.placed("Ask me first. Then go on.")
    world.worked(task)
    with pytest.raises(Permanent) as owed:
        world.record(task)
    assert owed.value.code == "approval-owed"
    assert world.load(task).progress == (Progress.RUNNING,)


def test_the_same_answer_again_is_no_error(world: World) -> None:
    """A person who sends their vote twice is told the same twice, also after the task's end."""
    task, approval = world.asked()
    first = world.vote(approval)
    assert world.vote(approval) == first
    world.record(task)
    assert world.vote(approval) == first
    assert world.told(task).count("approval.decided") == 1


@pytest.mark.parametrize(("verdict", "by"), [("rejected", REVIEWER), ("rejected", DEE)])
def test_another_answer_comes_too_late(world: World, verdict: str, by: Person) -> None:
    """After the decision nobody decides otherwise."""
    task, approval = world.asked()
    world.vote(approval)
    with pytest.raises(Permanent) as refused:
        world.vote(approval, verdict, by)  # type: ignore[arg-type]
    assert refused.value.code == "already-decided"
    assert world.approval(task).status == "approved"


@pytest.mark.parametrize(
    ("by", "code"),
    [(OWNER, "unknown-approver"), (Person(name="eve"), "unknown-approver")],
)
def test_strangers_do_not_decide(world: World, by: Person, code: str) -> None:
    """Only the roles that were asked may vote; the next level's may not yet."""
    task, approval = world.asked()
    with pytest.raises(Forbidden) as refused:
        world.vote(approval, by=by)
    assert refused.value.code == code
    assert world.approval(task) == approval


def test_a_vote_is_about_what_was_shown(world: World) -> None:
    """A digest of other content is refused, and nothing is written."""
    task, approval = world.asked()
    with pytest.raises(Permanent) as refused:
        world.vote(approval, digest="0" * 64)
    assert refused.value.code == "stale-digest"
    assert world.approval(task) == approval


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_vote_at_the_first_deadline_still_counts_after_the_escalation(world: World, seconds: float) -> None:
    """Those asked first may still decide when more people are asked; the escalation is written first."""
    task, approval = world.asked()
    to_deadline(world, approval, seconds)
    decided = world.vote(approval)
    assert (decided.status, decided.level, decided.expired) == ("approved", 1, False)
    assert world.told(task)[-2:] == ["approval.escalated", "approval.decided"]


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
@pytest.mark.parametrize("seconds", [0, 1])
def test_a_vote_at_the_last_deadline_is_late(world: World, verdict: str, seconds: float) -> None:
    """At the last deadline the default holds, whatever is voted in that moment, and that is written down."""
    task, approval = world.asked()
    to_deadline(world, approval)
    last = tick(world, approval)
    to_deadline(world, last, seconds)
    for _ in range(2):
        with pytest.raises(Permanent) as refused:
            world.vote(approval, verdict)  # type: ignore[arg-type]
        assert refused.value.code == "already-decided"
    stored = world.approval(task)
    assert (stored.status, stored.expired, stored.deciders) == ("rejected", True, ())
    assert world.told(task).count("approval.expired") == 1


def test_a_vote_a_moment_before_the_last_deadline_counts(world: World) -> None:
    """The deadline itself is the first moment that is late."""
    _, approval = world.asked()
    to_deadline(world, approval)
    to_deadline(world, tick(world, approval), -0.001)
    assert world.vote(approval).status == "approved"


@pytest.mark.parametrize("first", ["tick", "vote"])
def test_tick_and_vote_at_the_last_deadline_have_one_outcome(world: World, first: str) -> None:
    """Whichever of the two commits first, the approval expired, once."""
    task, approval = world.asked()
    to_deadline(world, approval)
    to_deadline(world, tick(world, approval))
    quick = World(world.database, clock=world.clock)

    def voted() -> None:
        with pytest.raises(Permanent):
            quick.vote(approval)

    if first == "tick":
        world.ports = racing(world, lambda: tick(quick, approval))
        with pytest.raises(Permanent):
            world.vote(approval)
    else:
        world.ports = racing(world, voted)
        assert tick(world, approval).expired
    assert world.approval(task).expired
    assert world.told(task).count("approval.expired") == 1
    assert "approval.decided" not in world.told(task)


def test_a_vote_in_time_beats_a_tick_that_looked_early(world: World) -> None:
    """A tick that was preparing when the vote came decides again, and finds nothing to do."""
    task, approval = world.asked()
    quick = World(world.database)
    to_deadline(world, approval)
    world.ports = racing(world, lambda: quick.vote(approval))
    assert tick(world, approval).status == "approved"
    assert world.told(task).count("approval.decided") == 1
    assert "approval.escalated" not in world.told(task)


def racing(world: World, rival: Callable[[], object]) -> Ports:
    """Return ports where the rival is faster than the first commit."""
    return replace(world.ports, tasks=Rivalry(world.ports.tasks, rival, method="commit"))


def test_ticks_may_come_at_any_time(world: World) -> None:
    """An early tick changes nothing, a late one escalates once, a very late one goes all the way."""
    task, approval = world.asked()
    assert tick(world, approval) == approval
    to_deadline(world, approval)
    escalated = tick(world, approval)
    assert tick(world, approval) == escalated
    assert escalated.approvers == ("reviewer", "owner")
    world.clock.wait(30 * 24 * 3600)
    assert tick(world, approval).expired
    assert tick(world, approval).status == "rejected"
    assert world.told(task)[-2:] == ["approval.escalated", "approval.expired"]
    assert world.record(task).status is Status.COMPLETED
    assert world.published()[-2].data.decided_by == ()


def test_an_expired_approval_concludes_by_the_default(world: World) -> None:
    """Silence is an answer, too: the review ends with the policy's default and nobody's name."""
    task, approval = world.asked()
    world.clock.wait(30 * 24 * 3600)
    tick(world, approval)
    world.record(task)
    reviewed = next(event.data for event in world.published() if event.type == "document.reviewed")
    assert (reviewed.verdict, reviewed.decided_by) == ("rejected", ())


@pytest.mark.usefixtures("quorum")
def test_a_vote_towards_a_quorum_is_kept_without_an_event(world: World) -> None:
    """The first of two votes is stored though nothing is decided; the second decides, and both are named."""
    task, approval = world.asked()
    told = world.told(task)
    assert world.vote(approval).status == "pending"
    assert [vote.by.name for vote in world.approval(task).votes] == ["bob"]
    assert world.told(task) == told
    assert world.vote(approval).votes == world.approval(task).votes
    assert world.vote(approval, by=DEE).status == "approved"
    decided = world.published()[-1].data
    assert decided.by == ("bob", "dee")


@pytest.mark.usefixtures("quorum")
def test_two_votes_at_once_make_the_quorum(world: World) -> None:
    """Neither of two votes that race is lost."""
    task, approval = world.asked()
    quick = World(world.database, clock=world.clock)
    world.ports = racing(world, lambda: quick.vote(approval, by=DEE))
    assert world.vote(approval).status == "approved"
    assert world.told(task).count("approval.decided") == 1


@pytest.mark.usefixtures("quorum")
def test_each_event_has_an_id_of_its_own_when_one_person_asks_through_all_levels(world: World) -> None:
    """A vote repeated after each deadline writes each escalation under its own id."""
    task, approval = world.asked()
    for _ in range(3):
        world.vote(approval)
        to_deadline(world, world.approval(task))
    with pytest.raises(Permanent):
        world.vote(approval, "rejected")
    ids = [event.id for event in world.published(task.id)]
    assert len(set(ids)) == len(ids)
    assert world.told(task)[-3:] == ["approval.escalated", "approval.escalated", "approval.expired"]


@pytest.mark.usefixtures("quorum")
def test_a_changed_mind_is_refused_even_in_the_moment_of_an_escalation(world: World) -> None:
    """A second, other vote is not silently dropped when the same request also escalates."""
    task, approval = world.asked()
    world.vote(approval)
    to_deadline(world, approval)
    with pytest.raises(Permanent) as refused:
        world.vote(approval, "rejected")
    assert refused.value.code == "already-decided"
    assert world.told(task)[-1] == "approval.escalated"
    assert world.approval(task).status == "pending"


def test_nobody_decides_for_a_cancelled_task(world: World) -> None:
    """After the cancellation neither a vote nor the clock changes anything."""
    task, approval = world.asked()
    cancel(world.ports, TENANT, task.id, "ann", "a mistake", source=SOURCE)
    with pytest.raises(Permanent) as refused:
        world.vote(approval)
    assert refused.value.code == "already-decided"
    world.clock.wait(30 * 24 * 3600)
    assert tick(world, approval).status == "withdrawn"
    assert world.told(task)[-1] == "task.cancelled"
    assert world.approval(task) == approval.model_copy(update={"status": "withdrawn"})
    assert not world.ports.approvals.pending(TENANT, limit=10)


def test_an_approval_belongs_to_its_tenant(world: World) -> None:
    """Another tenant's people do not find it."""
    task, _ = world.asked()
    with pytest.raises(NotFound):
        tick_approval(world.ports, "acme", approval_id(task.id, 0), source=SOURCE)


def next_run(world: World, task: Task) -> Task:
    """Park a task and let it go on as its next run."""
    cause = Cause(f"pause-{task.run}", TENANT, task.id, task.entity, SOURCE)
    change(world.ports, cause, lambda now: tasks.park(now, "throttled", "too many calls", world.clock.now()))
    change(world.ports, replace(cause, id=f"on-{task.run}"), lambda now: tasks.resume(now, "again"))
    return change(world.ports, replace(cause, id=f"placed-{task.run}"), tasks.place)


def test_a_decision_is_owed_once_however_many_runs_there_are(world: World) -> None:
    """The next run waits for what the first one asked, and whoever decides reaches the run that waits now."""
    task, approval = world.asked()
    again = next_run(world, task)
    assert world.request(again).id == approval.id
    assert world.vote(approval).run == again.run == 2
    assert world.told(task).count("approval.requested") == 1
    assert world.record(again).status is Status.COMPLETED


def test_people_may_decide_while_the_task_is_parked(world: World) -> None:
    """A decision counts while nobody works for the task; its next run finds it made."""
    task, approval = world.asked()
    cause = Cause("pause", TENANT, task.id, task.entity, SOURCE)
    change(world.ports, cause, lambda now: tasks.park(now, "stopped", "by an operator", world.clock.now()))
    assert world.vote(approval).status == "approved"
    waits = world.load(task)
    assert (waits.status, waits.progress) == (Status.PARKED, (Progress.DECIDED,))
    assert world.record(task).status is Status.COMPLETED


def test_a_decision_of_an_earlier_run_may_be_repeated_after_the_end(world: World) -> None:
    """The same vote again, and the clock's late tick, change nothing, though the task had another run and is over."""
    task, approval = world.asked()
    world.vote(approval)
    world.record(next_run(world, task))
    over, told = world.load(task), world.told(task)
    assert over.over
    assert world.vote(approval).status == "approved"
    assert tick_approval(world.ports, TENANT, approval.id, source=SOURCE).status == "approved"
    assert (world.load(task), world.told(task)) == (over, told)
