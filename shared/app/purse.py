"""What a call of a model is paid from, and on which terms it is asked. Knows no ledger and no provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from shared.core.completion import Completion
from shared.errors import Transient
from shared.events.task import Priority

if TYPE_CHECKING:
    from shared.core.completion import Prompt
    from shared.events.envelope import Fact
    from shared.events.routing import ModelRouted

UNKNOWN_OUTCOME = "unknown-outcome"  # the code of a question whose call may have been paid for in vain
Paid = Literal["answered", "repaired", "failed", "hedged"]


class LedgerDown(Transient):
    """The ledger could not be written: no provider's fault, and no reason to ask another one."""


class Ticket(NamedTuple):
    """Money put aside for one call."""

    id: str
    deployment: str
    worst: int


class Kept(NamedTuple):
    """An answer that was paid before, and its price."""

    completion: Completion
    cost: int


class Purse(Protocol):
    """One step's money. Hedged calls end in other threads: what is done here is done under a lock."""

    def found(self, prompt: Prompt) -> Kept | None:
        """Return the answer that an earlier attempt got to this very question from anybody, or None.

        Permanent or Throttled, when an earlier call has an unknown end and the policy does not pay twice.
        """
        ...

    def left(self) -> int:
        """Return what may still be put aside, in micro-USD."""
        ...

    def draw(self, prompt: Prompt, routed: ModelRouted) -> Ticket:
        """Put a call's worst case aside, and keep with it why the call is made: `routed` lacks what the purse knows.

        Permanent `budget-used-up`, Throttled when nothing may be called now.
        """
        ...

    def settle(self, ticket: Ticket, completion: Completion, cost: int, paid: Paid) -> None:
        """Pay what was used and keep the answer; the rest goes back."""
        ...

    def unknown(self, ticket: Ticket) -> None:
        """Pay the worst case: nobody knows whether the provider did the work."""
        ...

    def release(self, ticket: Ticket) -> None:
        """Take all of it back: the provider did nothing."""
        ...

    def note(self, fact: Fact) -> None:
        """Write down what was decided and why."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """For whom and how well a step's questions are to be answered.

    `sla_ms` of 0 asks for no speed; `hard` is worth a second call. `attempt` counts the step's attempts. `alike` is how
    similar a text must be to share an earlier one's answer, 0: none may. Answers are kept for `keep_seconds`.
    Unless it `pays_again`, nobody else is asked after a call whose end is not known.
    """

    tenant: str
    document: int
    step: str
    price_version: str
    models_version: str = ""
    priority: Priority = "standard"
    attempt: int = 1
    zone: str = ""
    quality: float = 0.0
    sla_ms: float = 0.0
    hard: bool = False
    pays_again: bool = True
    cacheable: bool = False
    alike: float = 0.0
    keep_seconds: float = 86_400.0
    task: str = ""
    within: str = ""  # what the calls' spans are a part of
