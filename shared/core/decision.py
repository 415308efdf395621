"""A decision is a value: the new state and the facts that say how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.core.approval import Approval
    from shared.core.journal import Entry
    from shared.core.ledger import Posting
    from shared.core.task import Task
    from shared.events.envelope import Fact


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write down, all in one transaction: the task, its facts, and what belongs to them.

    `posting` is what becomes of the task's money; it only goes with something else that is written.
    """

    task: Task
    facts: tuple[Fact, ...] = ()
    entry: Entry | None = None
    approvals: tuple[Approval, ...] = ()
    posting: Posting | None = None

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to write."""
        return not self.facts and self.entry is None and not self.approvals
