"""Two calls for one answer: when the second is made, who wins, and who pays."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from benchmarks.wallet import Wallet
from shared.app.crew import Threads
from shared.app.purse import Terms
from shared.app.router import Router
from shared.core.completion import Completion, NoAnswer, Prompt, Usage
from shared.core.routing import Candidate, routes
from shared.errors import Throttled, Transient
from shared.events.routing import ModelRouted

T = TypeVar("T")
SCHEMA = {"type": "object", "required": ["quotes"], "properties": {"quotes": {"type": "array"}}}
PROMPT = Prompt("summarise", "Quote.", "It leaks.", SCHEMA, max_output_tokens=50)
TERMS = Terms("acme", 0, "summarise", "prices-1", sla_ms=4_000.0, hard=True)
LOST = NoAnswer("no end", code="broken-stream", served=True)


@dataclass
class InTurns:
    """A crew in virtual time: each piece of work takes as many seconds as it is given, in the order of starts."""

    clock: list[float]
    takes: list[float]
    running: dict[Future[Any], tuple[float, Callable[[], Any]]] = field(default_factory=dict)

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Note when the work will end."""
        future: Future[T] = Future()
        self.running[future] = (self.clock[0] + self.takes.pop(0), work)
        return future

    def first(self, running: Collection[Future[T]], seconds: float | None) -> set[Future[T]]:
        """Move on to the first end, or by so many seconds."""
        done = {one for one in running if one.done()}
        if done:
            return done
        due = min((one for one in running if one in self.running), key=lambda one: self.running[one][0])
        if seconds is not None and self.running[due][0] > self.clock[0] + seconds:
            self.clock[0] += seconds
            return set()
        self.finish(due)
        return {due}

    def finish(self, future: Future[Any]) -> None:
        """Do the work now."""
        end, work = self.running.pop(future)
        self.clock[0] = max(self.clock[0], end)
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  a future keeps whatever it was
            future.set_exception(error)

    def finish_all(self) -> None:
        """Do what is left."""
        for future in list(self.running):
            self.finish(future)


@dataclass
class Answers:
    """Models that answer with their own name, or fail."""

    failing: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def complete(self, prompt: Prompt) -> Completion:
        """Answer."""
        self.asked.append(prompt.deployment)
        if prompt.deployment in self.failing:
            raise self.failing[prompt.deployment]
        return Completion({"quotes": [prompt.deployment]}, Usage("m", 100, 10))


@dataclass
class Stage:
    """Two deployments, `a` cheaper than `b`, each promising 2 s."""

    takes: list[float]
    limit: int = 10**9
    models: Answers = field(default_factory=Answers)

    def __post_init__(self) -> None:
        self.clock = [1_000.0]
        self.crew = InTurns(self.clock, list(self.takes))
        known = routes(
            Candidate(name=name, provider="openai", model="m", tokens_in=price, tokens_out=price, p95_ms=2_000)
            for name, price in (("a", 1_000_000), ("b", 2_000_000))
        )
        self.purse = Wallet(self.limit)
        self.router = Router(self.models, lambda: known, lambda: self.clock[0], crew=self.crew)

    def ask(self, terms: Terms = TERMS) -> str:
        """Ask; return who answered."""
        return str(self.router.complete(PROMPT, self.purse, terms).answer["quotes"][0])

    @property
    def paid(self) -> list[tuple[str, str]]:
        """How each call's money ended."""
        return [(one.deployment, one.paid) for one in self.purse.ended]

    @property
    def told(self) -> list[tuple[str, str]]:
        """Who was asked as what."""
        return [(fact.deployment, fact.kind) for fact in self.purse.notes if isinstance(fact, ModelRouted)]


def test_a_quick_answer_needs_no_second_call() -> None:
    """Whoever answers within its p95 is the only one asked."""
    at = Stage([1.9])
    assert at.ask() == "a"
    assert at.models.asked == ["a"]


def test_a_slow_one_is_overtaken_and_paid_as_a_hedge() -> None:
    """After p95 the second one is asked; the first's answer comes later, is paid for and told as a hedge."""
    at = Stage([9.0, 1.0])
    assert at.ask() == "b"
    assert at.clock[0] == pytest.approx(1_003.0)
    assert at.told == [("a", "first"), ("b", "hedge")]
    assert at.paid == [("b", "answered")]
    assert [ticket.deployment for ticket in at.purse.held.values()] == ["a"]
    at.crew.finish_all()
    assert at.paid == [("b", "answered"), ("a", "hedged")]
    assert at.purse.held == {}


def test_the_first_may_still_win() -> None:
    """When the first answers after all, the second is the hedge."""
    at = Stage([2.5, 9.0])
    assert at.ask() == "a"
    at.crew.finish_all()
    assert at.paid == [("a", "answered"), ("b", "hedged")]


def test_a_hedge_needs_money_for_both() -> None:
    """Where the budget does not allow two calls at a time, the first one is waited for."""
    at = Stage([9.0], limit=1_300)
    assert at.ask() == "a"
    assert at.models.asked == ["a"]


def test_without_a_hard_limit_nobody_is_hedged() -> None:
    """A soft wish for speed is not worth a second call."""
    at = Stage([])
    assert at.ask(replace(TERMS, hard=False)) == "a"
    assert at.crew.running == {}


def test_both_may_fail() -> None:
    """When both calls fail their ends are settled each in its way, and the question's failure is one."""
    at = Stage([3.0, 3.0], models=Answers({"a": LOST, "b": Throttled("slow down", retry_after=5.0)}))
    with pytest.raises(Transient, match="no model answered"):
        at.ask()
    assert at.paid == [("a", "unknown"), ("b", "released")]


def test_the_loser_may_fail() -> None:
    """A loser that fails after the answer was given is charged like any other call, and nobody hears of it."""
    at = Stage([9.0, 1.0], models=Answers({"a": LOST}))
    assert at.ask() == "b"
    at.crew.finish_all()
    assert at.paid == [("b", "answered"), ("a", "unknown")]


def test_real_threads_race_as_well() -> None:
    """The crew of threads returns who ended first, or nobody when the time is over."""
    crew = Threads()
    waiting: Future[int] = Future()
    slow, quick = crew.start(waiting.result), crew.start(lambda: 1)
    assert crew.first([slow, quick], None) == {quick}
    assert crew.first([slow], 0.0) == set()
    waiting.set_result(2)
    assert crew.first([slow], None) == {slow}
    crew.close()
