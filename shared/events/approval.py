"""What is said about approvals: decisions a human owes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shared.events.attributes import Moment
from shared.events.envelope import Fact
from shared.events.ids import Position

Verdict = Literal["approved", "rejected"]
About = Literal["document", "budget"]  # of a budget, `document` is the one whose step needs more


class ApprovalRequested(Fact):
    """A human is asked; `digest` binds the answer to exactly what was shown."""

    type: ClassVar[str] = "approval.requested"

    approval: str
    document: Position
    reason: str
    digest: str
    approvers: tuple[str, ...]
    deadline: Moment
    about: About = "document"


class ApprovalEscalated(Fact):
    """Nobody answered in time; more people may now decide."""

    type: ClassVar[str] = "approval.escalated"

    approval: str
    document: Position
    level: int = Field(ge=1)
    approvers: tuple[str, ...]
    deadline: Moment
    about: About = "document"


class ApprovalDecided(Fact):
    """A human decided. `run` lets the review that waits be found; `policy` is the version that was in force."""

    type: ClassVar[str] = "approval.decided"

    approval: str
    document: Position
    verdict: Verdict
    by: tuple[str, ...]
    comment: str
    digest: str
    run: int
    about: About = "document"
    policy: str = ""


class ApprovalExpired(Fact):
    """Nobody decided before the last deadline; the policy's default holds."""

    type: ClassVar[str] = "approval.expired"

    approval: str
    document: Position
    verdict: Verdict
    about: About = "document"
