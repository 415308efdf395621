"""Whoever looks after the money while it moves: each posting is held against the tenants' limits when it is written.

Money must be set aside when a provider is asked, and nowhere may there ever be more in the books than the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.faults.process import Work
    from shared.core.ledger import Account, Posting
    from shared.core.policy import Policy

WATCHED = ("tasks", "ledger")  # the ports that write money
_KINDS = ("day", "month")


@dataclass
class Watch:
    """Sees what a commit and a posting have written."""

    policy: Policy
    over: list[str] = field(default_factory=list)  # postings that put more into the books than a limit
    most: int = 0  # that was ever settled and open together in one window
    peak: int = 0  # runs that held money at a time
    runs: dict[str, int] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)  # the state of each draw

    def around(self, name: str, work: Work, given: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401  as the port has it
        """Do the work, and look at the money in it."""
        done = work(*given, **named)
        if name == "ledger.post":
            self._see(given[0])
        elif name == "tasks.commit" and given[0].posting is not None:
            self._see(given[0].posting)
        return done

    def _see(self, posting: Posting) -> None:
        if posting.account is not None:
            self._check(posting.account)
        if posting.draw is not None:
            self.drawn[posting.draw.id] = posting.draw.state

    def _check(self, account: Account) -> None:
        limits = self.policy.tenants[account.tenant].money
        self.runs[account.tenant] = account.runs
        self.peak = max(self.peak, self.open)
        for window, (settled, opened) in account.books.items():
            limit = limits[_KINDS.index(window.partition(":")[0])]
            self.most = max(self.most, settled + opened)
            if settled + opened > limit:
                self.over.append(f"{account.tenant} {window}: {settled} + {opened} of {limit}")

    def is_reserved(self, draw: str) -> bool:
        """Tell whether money is set aside for a call of that name."""
        return self.drawn.get(draw) in {"open", "unknown"}  # unknown: it was charged at its worst meanwhile

    @property
    def open(self) -> int:
        """How many runs hold money."""
        return sum(self.runs.values())

    def quiet(self, tenants: Sequence[str]) -> bool:
        """Tell whether no run of these holds money any more."""
        return not any(self.runs.get(tenant) for tenant in tenants)
