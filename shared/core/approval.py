"""Approvals: who may decide, until when, what happens when nobody does.

`decide` answers both requests that reach an approval, a person's vote and the clock's tick, from the
stored state and the store's time alone; whoever commits first wins, the other is told the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.errors import Forbidden, Permanent
from shared.events.approval import (
    About,
    ApprovalDecided,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalRequested,
    Verdict,
)
from shared.events.envelope import Fact

if TYPE_CHECKING:
    from shared.core.task import Task

Status = Literal["pending", "approved", "rejected", "withdrawn"]
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Level(BaseModel):
    """Roles that may decide, and how many seconds they have before the next level is asked too."""

    model_config = _FROZEN

    approvers: Annotated[tuple[str, ...], Field(min_length=1)]
    wait: int = Field(gt=0)


class ApprovalPolicy(BaseModel):
    """Levels in order of escalation, people needed to approve, and the verdict when all stay silent."""

    model_config = _FROZEN

    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    quorum: int = Field(default=1, ge=1)
    default: Verdict = "rejected"
    four_eyes: bool = False


class Person(BaseModel):
    """Who speaks: `name` is the identity provider's id for them, and theirs alone; `shown` is for people to read."""

    model_config = _FROZEN

    name: str = Field(min_length=1, max_length=128)
    roles: tuple[str, ...] = ()
    shown: str = Field(default="", max_length=128)


class Vote(BaseModel):
    """A person's request to decide; `digest` is of what they were shown.

    `link` names the link by which it came, `policy` the version of the policy that was in force.
    """

    model_config = _FROZEN

    verdict: Verdict
    by: Person
    digest: str
    comment: str = Field(default="", max_length=2000)
    link: str = ""
    policy: str = ""


class Approval(BaseModel):
    """One decision a human owes, about exactly the content whose digest it carries.

    `amount` is how many micro-USD more a run asks for, when it is about the budget.
    """

    model_config = _FROZEN

    id: str
    tenant: str
    task: str
    entity: str
    run: int
    document: int
    name: str
    reason: str
    digest: str
    policy: ApprovalPolicy
    requested_by: str
    requested_at: AwareDatetime
    deadline: AwareDatetime
    level: int = 0
    status: Status = "pending"
    votes: tuple[Vote, ...] = ()
    expired: bool = False
    about: About = "document"
    amount: int = 0

    @property
    def approvers(self) -> tuple[str, ...]:
        """Roles that may decide now: escalation adds people, it does not remove those asked first."""
        levels = self.policy.levels[: self.level + 1]
        return tuple(dict.fromkeys(role for level in levels for role in level.approvers))

    @property
    def verdict(self) -> Verdict:
        """What was decided; Permanent while it is owed."""
        if self.status == "pending" or self.status == "withdrawn":  # noqa: PLR1714  `in` tells mypy nothing
            raise Permanent(f"document {self.document} waits for approval {self.id}", code="approval-owed")
        return self.status

    @property
    def deciders(self) -> tuple[str, ...]:
        """The people whose votes made the verdict."""
        return tuple(vote.by.name for vote in self.votes if vote.verdict == self.status)


def budget_shown(approval: Approval, task: Task) -> dict[str, Any]:
    """Return what an approver of more money is shown and decides on; the approval is bound to its digest."""
    return {"task": task.id, "budget": task.budget, "asked": approval.amount, "reason": approval.reason}


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a request: the approval as it now stands, and the facts to write (none: nothing changed)."""

    approval: Approval
    facts: tuple[Fact, ...] = ()


def request(approval: Approval) -> Ruling:
    """Return the facts of a newly asked approval."""
    return Ruling(
        approval,
        (
            ApprovalRequested(
                approval=approval.id,
                document=approval.document,
                reason=approval.reason,
                digest=approval.digest,
                approvers=approval.approvers,
                deadline=approval.deadline,
                about=approval.about,
            ),
        ),
    )


def withdraw(approval: Approval) -> Approval:
    """Return the approval as nobody's business any more, unless it was decided: its task was stopped."""
    return approval.model_copy(update={"status": "withdrawn"}) if approval.status == "pending" else approval


def tick(approval: Approval, now: datetime) -> Ruling:
    """Escalate or expire what is overdue at `now`; an early or late tick changes nothing."""
    facts: list[Fact] = []
    while approval.status == "pending" and now >= approval.deadline:
        approval, fact = (
            _escalated(approval) if approval.level + 1 < len(approval.policy.levels) else _expired(approval)
        )
        facts.append(fact)
    return Ruling(approval, tuple(facts))


def _escalated(approval: Approval) -> tuple[Approval, Fact]:
    level = approval.level + 1
    deadline = approval.deadline + timedelta(seconds=approval.policy.levels[level].wait)
    after = approval.model_copy(update={"level": level, "deadline": deadline})
    return after, ApprovalEscalated(
        approval=after.id,
        document=after.document,
        level=level,
        approvers=after.approvers,
        deadline=deadline,
        about=after.about,
    )


def _expired(approval: Approval) -> tuple[Approval, Fact]:
    verdict = approval.policy.default
    after = approval.model_copy(update={"status": verdict, "expired": True})
    return after, ApprovalExpired(approval=after.id, document=after.document, verdict=verdict, about=after.about)


def vote(approval: Approval, said: Vote, now: datetime) -> Ruling:
    """Count a person's vote at `now`.

    The same answer again is not an error; another answer, a late one, a stranger's, the requester's own under
    four eyes, or one about other content is refused. Overdue deadlines are honoured first, so a vote that
    arrives at the deadline is late even when the clock's tick has not come yet.
    """
    due = tick(approval, now)
    approval = due.approval
    check_voter(approval, said.by)
    if not compare_digest(said.digest.encode(), approval.digest.encode()):
        raise Permanent("the content changed since it was shown; look again", code="stale-digest", where="digest")
    if approval.status != "pending" or _cast(approval, said.by) is not None:
        return _answer_again(due, said)
    approval = approval.model_copy(update={"votes": (*approval.votes, said)})
    return _counted(Ruling(approval, due.facts), said)


def check_voter(approval: Approval, by: Person) -> None:
    """Raise Forbidden for somebody who may not decide this."""
    if not set(by.roles) & set(approval.approvers):
        raise Forbidden(f"{by.name} is not among {', '.join(approval.approvers)}", code="unknown-approver")
    if approval.policy.four_eyes and by.name == approval.requested_by:
        raise Forbidden(f"{by.name} asked for this and may not decide it{_otherwise(approval)}", code="four-eyes")


def _otherwise(approval: Approval) -> str:
    """Say how a run gets its money all the same: its tenant may have but one person."""
    if approval.about != "budget":
        return ""
    return "; somebody else may, or anybody where the policy of the tenant says four_eyes = false"


def _answer_again(due: Ruling, said: Vote) -> Ruling:
    """A person repeats themselves, or comes after the decision.

    What the tick before the vote did must be written even when the vote is refused: the caller asks `stands`.
    """
    if due.facts or stands(due.approval, said):
        return due
    raise refusal(due.approval, said)


def stands(approval: Approval, said: Vote) -> bool:
    """Tell whether the approval says what the vote says: the vote counts, or a decision agrees with it.

    A default that nobody voted for agrees with no one: whoever comes after it came too late.
    """
    cast = _cast(approval, said.by)
    if approval.status == "pending":
        return cast == said.verdict
    return approval.status == said.verdict and (cast == said.verdict or not approval.expired)


def refusal(approval: Approval, said: Vote) -> Permanent:
    """Return what to tell a person whose vote does not stand."""
    how = "expired to" if approval.expired else "was already"
    outcome = approval.status if approval.status != "pending" else _cast(approval, said.by)
    return Permanent(f"approval {approval.id} {how} {outcome}", code="already-decided")


def _cast(approval: Approval, person: Person) -> Verdict | None:
    return next((cast.verdict for cast in approval.votes if cast.by.name == person.name), None)


def _counted(ruling: Ruling, said: Vote) -> Ruling:
    """One rejection rejects; approval needs the quorum of distinct people."""
    approval = ruling.approval
    agreeing = sum(cast.verdict == "approved" for cast in approval.votes)
    if said.verdict == "approved" and agreeing < approval.policy.quorum:
        return ruling
    approval = approval.model_copy(update={"status": said.verdict})
    fact = ApprovalDecided(
        approval=approval.id,
        document=approval.document,
        verdict=said.verdict,
        by=approval.deciders,
        comment=said.comment,
        digest=approval.digest,
        run=approval.run,
        about=approval.about,
        policy=said.policy,
    )
    return Ruling(approval, (*ruling.facts, fact))
