"""A purse in memory that keeps its books in the open: for simulations and tests of the router."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from shared.app.purse import Kept, Paid, Ticket
from shared.core import caching
from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.core.completion import Completion, Prompt
    from shared.events.envelope import Fact
    from shared.events.routing import ModelRouted


class Ended(NamedTuple):
    """How the money of one call ended: `paid` may also be `unknown` or `released`."""

    deployment: str
    paid: str
    cost: int
    tokens_out: int = 0


@dataclass(slots=True)
class Wallet:
    """Settled and held money never exceed the limit; a ticket that ends twice is an error."""

    limit: int = 10**9
    settled: int = 0
    held: dict[str, Ticket] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    notes: list[Fact] = field(default_factory=list)
    drawn: int = 0
    _answers: dict[str, Kept] = field(default_factory=dict)
    _asked: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def left(self) -> int:
        """Return what may still be put aside."""
        return self.limit - self.settled - sum(ticket.worst for ticket in list(self.held.values()))

    def found(self, prompt: Prompt) -> Kept | None:
        """Return an answer that did and was paid before."""
        return self._answers.get(caching.key(prompt, ""))

    def draw(self, prompt: Prompt, routed: ModelRouted) -> Ticket:
        """Put the worst case aside."""
        worst = routed.worst_micro_usd
        with self._lock:
            if worst > self.left():
                raise Permanent(f"{worst} micro-USD are more than the {self.left()} left", code="budget-used-up")
            self.drawn += 1
            ticket = Ticket(f"draw-{self.drawn}", routed.deployment, worst)
            self.held[ticket.id] = ticket
            self._asked[ticket.id] = caching.key(prompt, "")
            self.notes.append(routed.model_copy(update={"call": ticket.id, "left_micro_usd": self.left()}))
            return ticket

    def settle(self, ticket: Ticket, completion: Completion, cost: int, paid: Paid) -> None:
        """Pay."""
        self._end(ticket, paid, cost, completion.usage.tokens_out)
        if paid in {"answered", "repaired", "hedged"}:
            self._answers.setdefault(self._asked[ticket.id], Kept(completion, cost))

    def unknown(self, ticket: Ticket) -> None:
        """Pay the worst case."""
        self._end(ticket, "unknown", ticket.worst)

    def release(self, ticket: Ticket) -> None:
        """Take it back."""
        self._end(ticket, "released", 0)

    def note(self, fact: Fact) -> None:
        """Keep the fact."""
        self.notes.append(fact)

    def _end(self, ticket: Ticket, paid: str, cost: int, tokens_out: int = 0) -> None:
        with self._lock:
            del self.held[ticket.id]  # KeyError: it ended before
            self.settled += cost
            self.ended.append(Ended(ticket.deployment, paid, cost, tokens_out))
