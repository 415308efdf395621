"""Who may decide, until when, and what happens when nobody does: every branch of the approval policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.core.approval import (
    Approval,
    ApprovalPolicy,
    Level,
    Person,
    Ruling,
    Vote,
    refusal,
    request,
    stands,
    tick,
    vote,
)
from shared.errors import Forbidden, Permanent
from shared.events.approval import ApprovalDecided, ApprovalEscalated, ApprovalExpired, Verdict

ASKED = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = ASKED + HOUR
LAST = FIRST + 2 * HOUR
LEVELS = (Level(approvers=("reviewer",), wait=3600), Level(approvers=("owner",), wait=7200))

ANN = Person(name="ann", roles=("reviewer",))
BOB = Person(name="bob", roles=("reviewer",))
CID = Person(name="cid", roles=("owner",))
EVE = Person(name="eve", roles=("guest",))


def asked(*, quorum: int = 1, default: Verdict = "rejected", four_eyes: bool = False) -> Approval:
    """Return an approval that was just asked for."""
    policy = ApprovalPolicy(levels=LEVELS, quorum=quorum, default=default, four_eyes=four_eyes)
    return Approval(
        id="a1",
        tenant="acme",
        task="t1",
        entity="package:x",
        run=1,
        document=0,
        name="LICENSE",
        reason="copyleft",
        digest="d1",
        policy=policy,
        requested_by="ann",
        requested_at=ASKED,
        deadline=FIRST,
    )


def says(who: Person, verdict: Verdict = "approved", digest: str = "d1") -> Vote:
    """Return a person's vote."""
    return Vote(verdict=verdict, by=who, digest=digest)


def kinds(ruling: Ruling) -> list[str]:
    """Return the types of a ruling's facts."""
    return [fact.type for fact in ruling.facts]


def test_asking_names_approvers_and_deadline() -> None:
    """A request tells who may decide, until when, and on which digest."""
    (fact,) = request(asked()).facts
    assert (fact.approvers, fact.deadline, fact.digest) == (("reviewer",), FIRST, "d1")  # type: ignore[attr-defined]


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_a_decision_before_the_deadline_counts(verdict: Verdict) -> None:
    """A vote one microsecond before the deadline decides, and the fact says who decided on what."""
    ruling = vote(asked(), says(BOB, verdict), FIRST - timedelta(microseconds=1))
    (fact,) = ruling.facts
    assert isinstance(fact, ApprovalDecided)
    assert (fact.verdict, fact.by, fact.digest, fact.run) == (verdict, ("bob",), "d1", 1)
    assert ruling.approval.status == verdict
    assert not ruling.approval.expired


def test_a_decision_at_the_first_deadline_is_made_at_the_next_level() -> None:
    """A vote exactly at the first deadline comes after the escalation, which is written with it."""
    ruling = vote(asked(), says(CID), FIRST)
    assert kinds(ruling) == ["approval.escalated", "approval.decided"]
    assert ruling.approval.status == "approved"


@pytest.mark.parametrize("late", [timedelta(0), HOUR], ids=["at", "after"])
@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_a_decision_at_or_after_the_last_deadline_is_late(late: timedelta, verdict: Verdict) -> None:
    """At the last deadline the default holds, and a vote that comes then does not stand, whatever it says."""
    said = says(CID, verdict)
    ruling = vote(asked(), said, LAST + late)
    assert kinds(ruling) == ["approval.escalated", "approval.expired"]
    assert not stands(ruling.approval, said)
    with pytest.raises(Permanent, match="expired to rejected") as refused:
        vote(ruling.approval, said, LAST + late)
    assert refused.value.code == "already-decided"


def test_silence_escalates() -> None:
    """At the first deadline the next level is asked too, with a deadline of its own."""
    ruling = tick(asked(), FIRST)
    (fact,) = ruling.facts
    assert isinstance(fact, ApprovalEscalated)
    assert (fact.level, fact.approvers, fact.deadline) == (1, ("reviewer", "owner"), LAST)


@pytest.mark.parametrize("who", [BOB, CID], ids=["level 1", "level 2"])
def test_after_escalation_both_levels_may_decide(who: Person) -> None:
    """Escalation adds people and removes none."""
    escalated = tick(asked(), FIRST).approval
    assert kinds(vote(escalated, says(who), FIRST + HOUR)) == ["approval.decided"]


def test_the_next_level_may_not_decide_early() -> None:
    """Who is asked only after escalation may not decide before it."""
    with pytest.raises(Forbidden, match="cid is not among reviewer") as refused:
        vote(asked(), says(CID), FIRST - HOUR / 2)
    assert refused.value.code == "unknown-approver"


@pytest.mark.parametrize("default", ["approved", "rejected"])
def test_lasting_silence_leaves_the_default(default: Verdict) -> None:
    """At the last deadline the policy's default holds, and the fact says that nobody decided."""
    escalated = tick(asked(default=default), FIRST).approval
    ruling = tick(escalated, LAST)
    (fact,) = ruling.facts
    assert isinstance(fact, ApprovalExpired)
    assert (fact.verdict, ruling.approval.status, ruling.approval.deciders) == (default, default, ())


def test_a_clock_that_slept_catches_up() -> None:
    """One tick after both deadlines escalates and expires, in this order."""
    assert kinds(tick(asked(), LAST + HOUR)) == ["approval.escalated", "approval.expired"]


def test_the_same_answer_again_changes_nothing() -> None:
    """A person who repeats the decision is not told off, and nothing is written."""
    decided = vote(asked(), says(BOB), ASKED).approval
    again = vote(decided, says(BOB), ASKED + HOUR / 2)
    assert again == Ruling(decided)
    assert stands(again.approval, says(BOB))


def test_a_colleague_who_agrees_changes_nothing() -> None:
    """A second person who says what was decided is not told off, and nothing is written."""
    decided = vote(asked(), says(BOB), ASKED).approval
    assert vote(decided, says(ANN), ASKED) == Ruling(decided)


@pytest.mark.parametrize("who", [BOB, ANN], ids=["the same person", "a colleague"])
def test_a_contradicting_answer_is_refused(who: Person) -> None:
    """After the decision the other answer is refused, whoever gives it."""
    decided = vote(asked(), says(BOB), ASKED).approval
    with pytest.raises(Permanent, match="was already approved") as refused:
        vote(decided, says(who, "rejected"), ASKED)
    assert refused.value.code == "already-decided"


def test_a_person_cannot_change_their_vote_while_others_are_awaited() -> None:
    """Under a quorum, who approved may not reject before the second vote."""
    waiting = vote(asked(quorum=2), says(BOB), ASKED).approval
    with pytest.raises(Permanent, match="was already approved"):
        vote(waiting, says(BOB, "rejected"), ASKED)


def test_a_change_of_mind_at_the_deadline_is_no_vote() -> None:
    """A changed vote that arrives with the escalation lets the escalation be written, and does not stand."""
    waiting = vote(asked(quorum=2), says(BOB), ASKED).approval
    changed = says(BOB, "rejected")
    ruling = vote(waiting, changed, FIRST)
    assert kinds(ruling) == ["approval.escalated"]
    assert not stands(ruling.approval, changed)
    assert str(refusal(ruling.approval, changed)) == "approval a1 was already approved"


def test_a_stranger_is_refused() -> None:
    """A person with none of the roles may not decide, and is told which roles may."""
    with pytest.raises(Forbidden, match="eve is not among reviewer"):
        vote(asked(), says(EVE), ASKED)


def test_a_stranger_may_not_repeat_a_decision_either() -> None:
    """After the decision, too, a stranger is told that they may not decide, not what was decided."""
    decided = vote(asked(), says(BOB), ASKED).approval
    with pytest.raises(Forbidden):
        vote(decided, says(EVE), ASKED)


def test_four_eyes_keep_the_requester_out() -> None:
    """Under four eyes who asked may not decide, and anybody else with the role may."""
    policy = asked(four_eyes=True)
    with pytest.raises(Forbidden, match="ann asked for this") as refused:
        vote(policy, says(ANN), ASKED)
    assert refused.value.code == "four-eyes"
    assert vote(policy, says(BOB), ASKED).approval.status == "approved"


def test_a_quorum_needs_two_people() -> None:
    """Under a quorum of two the first approval waits, the same person's second does not count, another's decides."""
    first = vote(asked(quorum=2), says(BOB), ASKED)
    assert (first.approval.status, first.facts) == ("pending", ())
    assert stands(first.approval, says(BOB))
    assert vote(first.approval, says(BOB), ASKED) == Ruling(first.approval)
    second = vote(first.approval, says(ANN), ASKED)
    assert second.approval.status == "approved"
    assert second.approval.deciders == ("bob", "ann")


def test_a_rejection_beats_a_quorum() -> None:
    """One rejection rejects, however many approved before."""
    waiting = vote(asked(quorum=3), says(BOB), ASKED).approval
    ruling = vote(waiting, says(ANN, "rejected"), ASKED)
    assert (ruling.approval.status, ruling.approval.deciders) == ("rejected", ("ann",))


def test_votes_outlast_an_escalation() -> None:
    """An approval given before the escalation counts towards the quorum after it."""
    waiting = vote(asked(quorum=2), says(BOB), ASKED).approval
    ruling = vote(waiting, says(CID), FIRST + HOUR)
    assert kinds(ruling) == ["approval.escalated", "approval.decided"]
    assert ruling.approval.deciders == ("bob", "cid")


@pytest.mark.parametrize("decided", [False, True], ids=["pending", "decided"])
def test_a_vote_on_other_content_is_refused(decided: bool) -> None:  # noqa: FBT001  a parameter of the test
    """A vote that carries another digest is refused, also when it agrees with what was decided."""
    approval = vote(asked(), says(BOB), ASKED).approval if decided else asked()
    with pytest.raises(Permanent, match="content changed") as refused:
        vote(approval, says(BOB, digest="d0"), ASKED)
    assert refused.value.code == "stale-digest"


def test_an_early_tick_changes_nothing() -> None:
    """One microsecond before the deadline nothing is overdue."""
    assert tick(asked(), FIRST - timedelta(microseconds=1)) == Ruling(asked())


def test_a_tick_after_the_decision_changes_nothing() -> None:
    """However late the clock comes, a decision stands."""
    decided = vote(asked(), says(BOB), ASKED).approval
    assert tick(decided, LAST + HOUR) == Ruling(decided)


def test_a_tick_after_the_expiry_changes_nothing() -> None:
    """What expired does not expire again."""
    expired = tick(asked(), LAST).approval
    assert tick(expired, LAST + HOUR) == Ruling(expired)
