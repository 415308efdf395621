"""The approval policy through the real orchestrators and HTTP functions, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.app.approvals import decide_approval, tick_approval
from shared.core import workflow as workflows
from shared.core.approval import ApprovalPolicy, Level, Person, Vote
from shared.core.task import Status
from shared.errors import Permanent
from tests.azure.stage import NOON, SOURCE, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.approval import Approval
    from shared.ports import Approvals

DAYS_3 = timedelta(days=3)


@pytest.fixture
def waiting(stage: Stage) -> Approval:
    """The approval that a batch of two documents waits for."""
    return asked(stage)


def asked(stage: Stage) -> Approval:
    """Place a batch of two documents and return the approval it waits for."""
    stage.place(2)
    stage.settle()
    return stage.approval()


def use(monkeypatch: pytest.MonkeyPatch, policy: ApprovalPolicy) -> None:
    """Let the flagship workflow ask under another policy."""
    flow = workflows.DOCUMENT_REVIEW
    point = workflows.Checkpoint(flow.checkpoint.when, policy)
    changed = workflows.Workflow(flow.name, flow.steps, point)
    monkeypatch.setattr(workflows, "WORKFLOWS", {flow.name: changed})


def verdict(stage: Stage) -> tuple[str, tuple[str, ...]]:
    """Return the recorded verdict on document 0, and whose it is."""
    (found,) = [event.data for event in stage.events("document.reviewed") if event.data.document == 0]
    return found.verdict, found.decided_by


LEVEL = Level(approvers=("reviewer",), wait=3600)


def test_before_the_deadline_the_first_level_decides(stage: Stage, waiting: Approval) -> None:
    """A vote one second before the deadline is recorded, and no escalation is."""
    stage.wait(days=3, seconds=-1)
    assert stage.say("approved", "bob:reviewer", waiting) == 200
    stage.settle()
    assert verdict(stage) == ("approved", ("bob",))
    assert stage.events("approval.escalated") == []


def test_at_the_deadline_a_vote_and_the_timer_meet(stage: Stage, waiting: Approval) -> None:
    """A vote at the very deadline, before the timer was served, escalates and decides, each written once."""
    stage.clock.at = NOON + DAYS_3
    assert stage.say("approved", "cid:owner", waiting) == 200
    stage.settle()
    assert verdict(stage) == ("approved", ("cid",))
    assert len(stage.events("approval.escalated")) == 1


def test_after_the_last_deadline_a_vote_is_late(stage: Stage, waiting: Approval) -> None:
    """A vote after the last deadline is refused, also one that would agree with the default."""
    stage.wait(days=8)
    assert stage.say("approved", "cid:owner", waiting) == 409
    assert stage.say("rejected", "cid:owner", waiting) == 409
    assert verdict(stage) == ("rejected", ())


def test_a_late_vote_that_comes_before_the_timer_is_refused_and_expires_it(stage: Stage, waiting: Approval) -> None:
    """A vote at the last deadline, before the timer was served, is refused and writes the expiry, which is heard."""
    stage.wait(days=3)
    stage.clock.at = NOON + timedelta(days=7)
    assert stage.say("rejected", "cid:owner", waiting) == 409
    assert len(stage.events("approval.expired")) == 1
    stage.settle()
    assert verdict(stage) == ("rejected", ())
    assert stage.task().status is Status.COMPLETED


@pytest.mark.parametrize("who", ["bob:reviewer", "cid:owner"])
def test_after_escalation_both_levels_decide(stage: Stage, waiting: Approval, who: str) -> None:
    """After the escalation the owner may decide, and the reviewer still may."""
    stage.wait(days=4)
    assert stage.say("approved", who, waiting) == 200
    stage.settle()
    assert verdict(stage) == ("approved", (who.partition(":")[0],))


def test_the_owner_may_not_decide_before_escalation(stage: Stage, waiting: Approval) -> None:
    """Before the escalation the owner is refused, and the document goes on waiting."""
    assert stage.say("approved", "cid:owner", waiting) == 403
    assert stage.task().waiting == 1


@pytest.mark.parametrize("default", ["approved", "rejected"])
def test_silence_leaves_the_default(stage: Stage, monkeypatch: pytest.MonkeyPatch, default: str) -> None:
    """When all stay silent the policy's default is recorded as nobody's decision."""
    use(monkeypatch, ApprovalPolicy.model_validate({"levels": [LEVEL], "default": default}))
    asked(stage)
    stage.wait(hours=1)
    assert verdict(stage) == (default, ())
    assert stage.task().status is Status.COMPLETED


def test_the_same_answer_twice_is_one_decision(stage: Stage, waiting: Approval) -> None:
    """A repeated answer is accepted and written once."""
    assert [stage.say("approved", "bob:reviewer", waiting) for _ in range(2)] == [200, 200]
    stage.settle()
    assert stage.say("approved", "bob:reviewer", waiting) == 200
    assert len(stage.events("approval.decided")) == 1


def test_a_contradicting_answer_is_told_the_decision(stage: Stage, waiting: Approval) -> None:
    """The other answer after the decision is refused, and the first one is recorded."""
    assert stage.say("approved", "bob:reviewer", waiting) == 200
    assert stage.say("rejected", "ann:reviewer", waiting) == 409
    stage.settle()
    assert verdict(stage) == ("approved", ("bob",))


def test_a_stranger_decides_nothing(stage: Stage, waiting: Approval) -> None:
    """A vote of somebody without the role, or of nobody, is refused, and the document goes on waiting."""
    assert stage.say("approved", "eve:guest", waiting) == 403
    assert stage.say("approved", "eve", waiting) == 403
    assert stage.say("approved", "", waiting) == 401
    stage.settle()
    assert stage.task().waiting == 1


def test_four_eyes_keep_the_submitter_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under four eyes the person who submitted the task may not approve it."""
    use(monkeypatch, ApprovalPolicy(levels=(LEVEL,), four_eyes=True))
    approval = asked(stage)
    assert stage.say("approved", "ann:reviewer", approval) == 403
    assert stage.say("approved", "bob:reviewer", approval) == 200


def test_a_quorum_waits_for_the_second_person(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a quorum of two the document waits on after the first approval and goes on after the second."""
    use(monkeypatch, ApprovalPolicy(levels=(LEVEL,), quorum=2))
    approval = asked(stage)
    assert stage.say("approved", "bob:reviewer", approval) == 200
    stage.settle()
    assert stage.task().waiting == 1
    assert stage.say("approved", "ann:reviewer", approval) == 200
    stage.settle()
    assert verdict(stage) == ("approved", ("bob", "ann"))


def test_a_rejection_beats_the_quorum(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a quorum of two one rejection ends the waiting."""
    use(monkeypatch, ApprovalPolicy(levels=(LEVEL,), quorum=2))
    approval = asked(stage)
    assert stage.say("approved", "bob:reviewer", approval) == 200
    assert stage.say("rejected", "ann:reviewer", approval) == 200
    stage.settle()
    assert verdict(stage) == ("rejected", ("ann",))


def test_a_vote_on_other_content_is_refused(stage: Stage, waiting: Approval) -> None:
    """A vote with the digest of something else is refused, and the document goes on waiting."""
    assert stage.say("approved", "bob:reviewer", waiting, digest="0" * 64) == 409
    assert stage.task().waiting == 1


def test_an_early_look_changes_nothing(stage: Stage, waiting: Approval) -> None:
    """The daily looks at an approval that is not due write nothing."""
    stage.wait(days=2, hours=23)
    assert stage.approval() == waiting
    assert stage.events("approval.escalated", "approval.expired") == []


def test_a_look_after_the_decision_changes_nothing(stage: Stage, waiting: Approval) -> None:
    """A look at an approval long after it was decided returns the decision and writes nothing."""
    assert stage.say("approved", "bob:reviewer", waiting) == 200
    stage.wait(days=30)
    version = stage.task().version
    assert tick_approval(stage.ports, waiting.tenant, waiting.id, source=SOURCE).status == "approved"
    assert stage.task().version == version


def test_a_cancelled_task_takes_no_vote(stage: Stage, waiting: Approval) -> None:
    """After the task was cancelled a vote is refused, and no deadline passes any more."""
    stage.cancel()
    assert stage.say("approved", "bob:reviewer", waiting) == 409
    stage.wait(days=8)
    assert stage.events("approval.decided", "approval.escalated", "approval.expired") == []
    with pytest.raises(Permanent, match="cancelled"):
        tick_approval(stage.ports, waiting.tenant, waiting.id, source=SOURCE)


class Late:
    """The approvals as somebody sees them who read one just before somebody else decided it."""

    def __init__(self, approvals: Approvals, seen: Approval) -> None:
        self.approvals = approvals
        self.seen = [seen]

    def find(self, tenant: str, approval: str) -> Approval:
        """Return what was seen first, then what is stored."""
        return self.seen.pop() if self.seen else self.approvals.find(tenant, approval)

    def pending(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Approval]:
        """Return what is pending."""
        return self.approvals.pending(tenant, limit=limit, after=after)


def test_a_tick_that_lost_the_race_to_a_vote_rewrites_nothing(stage: Stage, waiting: Approval) -> None:
    """A tick that read the approval before it was decided finds the decision, and commits nothing."""
    said = Vote(verdict="approved", by=Person(name="bob", roles=("reviewer",)), digest=waiting.digest)
    decide_approval(stage.ports, waiting.tenant, waiting.id, said, source=SOURCE)
    version = stage.task().version
    ports = replace(stage.ports, approvals=Late(stage.ports.approvals, waiting))
    assert tick_approval(ports, waiting.tenant, waiting.id, source=SOURCE).status == "approved"
    assert stage.task().version == version
