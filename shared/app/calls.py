"""One paid call of a model: drawn before it is made, settled by its end, learned from.

Whatever happens, the money ends in one of three ways: settled with what was used, taken back because the provider did
nothing, or charged at its worst because nobody can know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple

from shared.app import tracing
from shared.core import notes
from shared.core.answers import complaint
from shared.core.completion import Completion, NoAnswer, Prompt
from shared.core.gate import RANKS
from shared.core.health import End, Outcome
from shared.core.phrasing import most_tokens_in
from shared.errors import Permanent, Throttled, Transient
from shared.events.routing import ModelRouted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.app.purse import Paid, Purse, Terms, Ticket
    from shared.core.routing import Choice, Pick, Route
    from shared.ports import Learned, Models, Spans

Kind = Literal["first", "fallback", "retry", "repair", "hedge"]
_ITS_OWN_FAULT = frozenset(
    {"egress-refused", "provider-credentials", "unknown-deployment"}
)  # a refusal that no prompt can mend


class Busy(Transient):
    """The deployment's gate is shut: nobody was asked."""


class Said(NamedTuple):
    """A call that was answered, and what is wrong with the answer: nothing, for one that will do."""

    completion: Completion
    fault: str


class Out(NamedTuple):
    """A call that is about to be made, the question's `number`th."""

    route: Route
    ticket: Ticket
    prompt: Prompt
    kind: Kind
    number: int


@dataclass(slots=True)
class Race:
    """Calls for the same answer; the first that will do is the one, what comes later was a hedge."""

    won: bool = False
    lock: Lock = field(default_factory=Lock)

    def outcome(self, fault: str, kind: Kind) -> Paid:
        """Say what a call's money was paid for."""
        with self.lock:
            if self.won:
                return "hedged"
            if fault:
                return "failed"
            self.won = True
            return "repaired" if kind == "repair" else "answered"


@dataclass(slots=True)
class Calls:
    """The calls of one question."""

    models: Models
    learned: Learned
    now: Callable[[], float]
    terms: Terms
    purse: Purse
    choice: Choice | None = None
    asked: set[str] = field(default_factory=set)
    passed: dict[str, str] = field(default_factory=dict)  # whom it was the turn of, and why they were not called
    race: Race = field(default_factory=Race)
    most_in: int = 0  # what can be billed for reading the question, as it was first put
    made: int = 0
    after: str = ""
    spans: Spans | None = None

    def prepare(self, pick: Pick, prompt: Prompt, kind: Kind) -> Callable[[], Said]:
        """Put the call's money aside and return the call; Busy when the gate is shut, Permanent without money."""
        route = pick.route
        wait = self.learned.enter(route, self.now(), RANKS[self.terms.priority])
        if wait:
            raise Busy("its gate is shut", retry_after=wait)
        try:
            ticket = self.purse.draw(prompt, self._routed(pick, prompt, kind))
        except BaseException:
            self._leave(route, "refused", self.now())
            raise
        self.made += 1
        asked = replace(prompt, deployment=route.name, reference=ticket.id, timeout=self._seconds(route, prompt))
        out = Out(route, ticket, asked, _kind(kind, self.terms.attempt), self.made)
        return lambda: self._call(out)

    def worst(self, route: Route, prompt: Prompt) -> int:
        """Return the most that a call can cost, in micro-USD."""
        return route.cost(self._most_in(route, prompt), prompt.max_output_tokens)

    def _most_in(self, route: Route, prompt: Prompt) -> int:
        if route.embedded:
            return prompt.tokens_in
        return most_tokens_in(prompt) if prompt.repair or not self.most_in else self.most_in

    def _call(self, out: Out) -> Said:
        route, ticket, prompt, _, _ = out
        began = self.now()
        try:
            completion = replace(self.models.complete(prompt), deployment=route.name)
        except Throttled as error:
            self.purse.release(ticket)
            self._ended(out, "throttled", began, error)
            raise
        except NoAnswer as error:
            (self.purse.unknown if error.served else self.purse.release)(ticket)
            self._ended(out, "failed", began, error, ticket.worst if error.served else 0)
            raise
        except Permanent as error:
            self.purse.release(ticket)
            self._ended(out, "failed" if error.code in _ITS_OWN_FAULT else "refused", began, error)
            raise
        except BaseException as error:  # whatever ended it, the provider may have done the work
            self.purse.unknown(ticket)
            self._ended(out, "failed", began, error, ticket.worst)
            raise
        said = Said(completion, _fault(completion, prompt))
        ended = self._leave(route, "bad-answer" if said.fault else "answered", began, completion=completion)
        cost = route.cost(completion.usage.tokens_in, completion.usage.tokens_out)
        paid = self.race.outcome(said.fault, out.kind)
        if self.spans is not None:
            tracing.answered(self.spans, self.terms, out, (began, ended), said, paid, cost)
        self.purse.settle(ticket, completion, cost, paid)
        return said

    def _ended(self, out: Out, end: End, began: float, error: BaseException, cost: int = 0) -> None:
        """Learn from a call that ended without an answer."""
        wait = error.retry_after if isinstance(error, Throttled | NoAnswer) else 0.0
        ended = self._leave(out.route, end, began, wait)
        if self.spans is not None:
            tracing.unanswered(self.spans, self.terms, out, (began, ended), error, cost)

    def _leave(
        self, route: Route, end: End, began: float, retry_after: float = 0.0, completion: Completion | None = None
    ) -> float:
        now = self.now()
        quota = completion.quota if completion else None
        self.learned.leave(route, Outcome(end, (now - began) * 1000, retry_after, quota), now)
        return now

    def _seconds(self, route: Route, prompt: Prompt) -> float:
        return min(route.timeout, prompt.deadline - self.now()) if prompt.deadline else route.timeout

    def _routed(self, pick: Pick, prompt: Prompt, kind: Kind) -> ModelRouted:
        refused = notes.named(self.not_asked(prompt, pick))
        return ModelRouted(
            document=self.terms.document,
            step=self.terms.step,
            deployment=pick.route.name,
            reason=pick.reason,
            refused=refused.refused,
            more_refused=refused.more,
            attempt=self.made + 1,
            kind=_kind(kind, self.terms.attempt),
            after=self.after,
            price_version=self.terms.price_version,
            worst_micro_usd=self.worst(pick.route, prompt),
            left_micro_usd=0,
        )

    def not_asked(self, prompt: Prompt, chosen: Pick | None = None) -> Iterator[tuple[str, str]]:
        """Yield everybody who was not asked and is not now, with the reason."""
        if self.choice is None:
            return
        yield from ((one.deployment, notes.refusal(one)) for one in self.choice.refused)
        for pick in self.choice.order:
            name = pick.route.name
            if chosen is not None and name == chosen.route.name:
                continue
            if name in self.passed:
                yield name, self.passed[name]
            elif chosen is not None and name not in self.asked:
                yield name, notes.behind(chosen, pick, lambda route: self.worst(route, prompt))


def _kind(kind: Kind, attempt: int) -> Kind:
    return "retry" if kind == "first" and attempt > 1 else kind


def _fault(completion: Completion, prompt: Prompt) -> str:
    return completion.fault or complaint(completion.answer, prompt.answer_schema)
