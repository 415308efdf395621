"""The router: who is asked next, what is paid, and what it means when nobody answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from benchmarks.wallet import Wallet
from shared.app.purse import Terms
from shared.app.router import Router
from shared.core.completion import Completion, NoAnswer, Prompt, Usage
from shared.core.health import Outcome
from shared.core.phrasing import most_tokens_in
from shared.core.routing import Candidate, embedded, routes
from shared.errors import Permanent, Throttled, Transient
from shared.events.routing import ModelRouted, ModelUnrouted
from shared.models.extractive import Extractive

SCHEMA = {
    "type": "object",
    "required": ["quotes"],
    "additionalProperties": False,
    "properties": {
        "quotes": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "maxLength": 50}}
    },
}
PROMPT = Prompt("summarise", "Quote.", "The pump must be replaced. It leaks.", SCHEMA, max_output_tokens=50)
TERMS = Terms("acme", 0, "summarise", "prices-1")
GOOD = {"quotes": ["It leaks."]}
BAD: dict[str, list[str]] = {"quotes": []}
THROTTLED = Throttled("slow down", retry_after=9.0)
DOWN = NoAnswer("503", code="provider-down", served=False)
LOST = NoAnswer("no end", code="broken-stream", served=True)


@dataclass
class Scripted:
    """Models that do what they are told: an answer, or an error; the last one again and again."""

    script: dict[str, list[Any]]
    clock: list[float]
    asked: list[Prompt] = field(default_factory=list)
    takes: float = 1.0

    def complete(self, prompt: Prompt) -> Completion:
        """Do the next thing."""
        self.asked.append(prompt)
        self.clock[0] += self.takes
        told = self.script[prompt.deployment]
        what = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(what, BaseException):
            raise what
        return Completion(what, Usage("m", 100, 10), text=json.dumps(what))

    @property
    def order(self) -> list[str]:
        """Who was asked."""
        return [prompt.deployment for prompt in self.asked]


@dataclass
class Stage:
    """A router over scripted deployments `a` (cheapest), `b`, `c`…, and its purse."""

    models: Scripted
    router: Router
    purse: Wallet
    clock: list[float]

    def ask(self, prompt: Prompt = PROMPT, **terms: Any) -> Completion:
        """Ask the question."""
        return self.router.complete(prompt, self.purse, replace(TERMS, **terms))

    @property
    def paid(self) -> list[tuple[str, str]]:
        """How each call's money ended."""
        return [(one.deployment, one.paid) for one in self.purse.ended]

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """What the events say: deployment, kind, after what."""
        return [(fact.deployment, fact.kind, fact.after) for fact in self.purse.notes if isinstance(fact, ModelRouted)]


def stage(limit: int = 10**9, **script: Sequence[Any]) -> Stage:
    """Set a stage with these deployments, in the order of their prices."""
    clock = [1_000.0]
    known = routes(
        Candidate(
            name=name, provider="openai", model="m", tokens_in=10**6 * place, tokens_out=10**6 * place, quality={}
        )
        for place, name in enumerate(script, 1)
    )
    models = Scripted({name: list(told) for name, told in script.items()}, clock)
    return Stage(models, Router(models, lambda: known, lambda: clock[0]), Wallet(limit), clock)


def refused(act: Callable[[], object]) -> BaseException:
    """Return what the act raises."""
    with pytest.raises((Permanent, Transient)) as raised:
        act()
    return raised.value


def test_the_first_good_answer_is_paid_and_told() -> None:
    """One call, settled at what it used, with an event that says who was chosen and what is left."""
    at = stage(a=[GOOD], b=[GOOD])
    assert at.ask().answer == GOOD
    assert at.paid == [("a", "answered")]
    assert at.purse.settled == 110
    fact = at.purse.notes[0]
    assert isinstance(fact, ModelRouted)
    assert (fact.deployment, fact.reason, fact.attempt, fact.kind) == ("a", "lowest cost", 1, "first")
    assert fact.left_micro_usd == 10**9 - fact.worst_micro_usd
    assert fact.worst_micro_usd > 110


@pytest.mark.parametrize(
    ("failure", "money"),
    [
        (THROTTLED, "released"),
        (DOWN, "released"),
        (LOST, "unknown"),
        (Permanent("no", code="provider-refused"), "released"),
        (Permanent("no", code="provider-credentials"), "released"),
        (Transient("what?"), "unknown"),
    ],
)
def test_the_next_one_is_asked_when_one_fails(failure: Exception, money: str) -> None:
    """Whatever fails, the next deployment answers; the failed call's money goes back unless it may be owed."""
    at = stage(a=[failure], b=[GOOD])
    assert at.ask().answer == GOOD
    assert at.paid == [("a", money), ("b", "answered")]
    assert [kind for _, kind, _ in at.told] == ["first", "fallback"]
    assert at.told[1][2].startswith("a")
    assert at.purse.held == {}


@pytest.mark.parametrize("failure", [THROTTLED, DOWN])
def test_throttling_and_outages_are_no_failure_of_the_task(failure: Exception) -> None:
    """When nobody could be asked and nothing was paid, it is Throttled, which uses up no attempt."""
    at = stage(a=[failure], b=[failure])
    error = refused(at.ask)
    assert isinstance(error, Throttled)
    assert error.retry_after >= 1
    assert {money for _, money in at.paid} == {"released"}


def test_retry_after_of_the_first_to_come_back_counts() -> None:
    """The wait is the shortest of those that were told."""
    at = stage(a=[THROTTLED], b=[Throttled("later", retry_after=3.0)])
    error = refused(at.ask)
    assert isinstance(error, Throttled)
    assert error.retry_after == 3.0


def test_who_throttled_is_left_alone_until_it_said() -> None:
    """The gate stays shut: nobody calls again before Retry-After is over."""
    at = stage(a=[THROTTLED, GOOD])
    refused(at.ask)
    first = refused(at.ask)
    assert isinstance(first, Throttled)
    assert 8.0 <= first.retry_after <= 9.0
    assert len(at.models.asked) == 1
    at.clock[0] += first.retry_after
    assert at.ask().answer == GOOD


def test_what_was_paid_for_nothing_uses_up_an_attempt() -> None:
    """A lost call is charged at its worst, and the question's failure is Transient but no throttling."""
    at = stage(a=[LOST], b=[THROTTLED])
    error = refused(at.ask)
    assert isinstance(error, Transient)
    assert not isinstance(error, Throttled)
    assert at.paid == [("a", "unknown"), ("b", "released")]


def test_a_bad_answer_is_repaired_once() -> None:
    """The answer and the complaint go back to who gave it; both calls are paid for, each as what it was."""
    at = stage(a=[BAD, GOOD], b=[GOOD])
    assert at.ask().answer == GOOD
    assert at.paid == [("a", "failed"), ("a", "repaired")]
    repair = at.models.asked[1].repair
    assert repair is not None
    assert json.loads(repair.answer) == BAD
    assert repair.complaint == "answer.quotes must have at least 1 items"
    assert at.told[1] == ("a", "repair", "a: bad-answer")


def test_an_answer_beyond_repair_falls_back() -> None:
    """After one repair the next deployment is asked, and is not asked to repair again."""
    at = stage(a=[BAD], b=[BAD], c=[GOOD])
    assert at.ask().answer == GOOD
    assert at.models.order == ["a", "a", "b", "c"]


def test_nobody_answers_well() -> None:
    """When all answers are bad the question is answered for good: it is the model's answer that is wrong."""
    error = refused(stage(a=[BAD], b=[BAD]).ask)
    assert isinstance(error, Permanent)
    assert error.code == "bad-answer"


def test_the_embedded_model_is_not_asked_to_repair() -> None:
    """Who always says the same is not asked the same again."""
    known = routes([embedded()])
    purse = Wallet()
    router = Router(Extractive(), lambda: known, lambda: 0.0)
    with pytest.raises(Permanent, match="at least 1 items"):
        router.complete(replace(PROMPT, text=""), purse, TERMS)
    assert len(purse.ended) == 1


def test_the_embedded_model_costs_what_it_said() -> None:
    """The embedded model answers through the router at its price, within the worst case it announced."""
    purse = Wallet()
    found = Router(Extractive(), lambda: routes([embedded()]), lambda: 0.0).bound(purse, TERMS).complete(PROMPT)
    assert found == replace(Extractive().complete(PROMPT), deployment="extractive-1")
    fact = purse.notes[0]
    assert isinstance(fact, ModelRouted)
    assert 0 < purse.settled <= fact.worst_micro_usd


def test_too_little_money_asks_nobody() -> None:
    """Without money for anybody's worst case the question ends with that code, so that more can be asked for."""
    at = stage(limit=10, a=[GOOD], b=[GOOD])
    error = refused(at.ask)
    assert isinstance(error, Permanent)
    assert error.code == "budget-used-up"
    assert at.models.asked == []


def test_money_that_runs_out_on_the_way_is_said_so() -> None:
    """A fallback that is too dear after the first call was lost is not made."""
    worst = most_tokens_in(PROMPT) + PROMPT.max_output_tokens
    at = stage(limit=2 * worst, a=[LOST], b=[GOOD])
    refused(at.ask)
    assert at.models.order == ["a"]
    assert at.purse.settled == worst


def test_nobody_fits() -> None:
    """A question that no candidate may answer says for each why not."""
    error = refused(lambda: stage(a=[GOOD]).ask(zone="eu"))
    assert isinstance(error, Permanent)
    assert error.code == "no-model"
    assert "a: in data zone unknown, not eu" in str(error)


def test_what_the_purse_says_about_calling_at_all_is_final() -> None:
    """A stopped tenant's purse refuses to draw, and nobody else is tried."""

    class Stopped(Wallet):
        def draw(self, *_: Any) -> Any:
            raise Throttled("stopped", retry_after=60.0, code="stopped")

    at = stage(a=[GOOD], b=[GOOD])
    error = refused(lambda: at.router.complete(PROMPT, Stopped(), TERMS))
    assert isinstance(error, Throttled)
    assert error.code == "stopped"
    assert at.models.asked == []


def test_five_failures_open_the_breaker_and_a_probe_closes_it() -> None:
    """A deployment that is down is not asked for a while, then once, and is back when that goes well."""
    at = stage(a=[*[LOST] * 5, GOOD], b=[GOOD])
    for _ in range(7):
        at.ask(replace(PROMPT, text=f"It leaks {at.clock[0]}."))
    assert at.models.order.count("a") == 5
    at.clock[0] += 60
    at.ask(replace(PROMPT, text="Again."))
    assert at.models.order[-1] == "a"
    assert at.router.learned.health["a"].breaker == "closed"


def test_a_wrong_key_counts_against_the_deployment() -> None:
    """A deployment with bad credentials is left alone after five calls; a bad prompt is not its fault."""
    at = stage(a=[Permanent("key", code="provider-credentials")], b=[Permanent("prompt", code="provider-refused")])
    for n in range(6):
        refused(lambda n=n: at.ask(replace(PROMPT, text=f"{n}")))  # type: ignore[misc]
    assert at.models.order.count("a") == 5
    assert at.models.order.count("b") == 6


def test_no_call_is_made_without_time() -> None:
    """Each call gets what is left of the question's time, and none is begun when that is over."""
    at = stage(a=[LOST], b=[GOOD])
    at.models.takes = 5.0
    error = refused(lambda: at.ask(replace(PROMPT, deadline=at.clock[0] + 5.0)))
    assert isinstance(error, Transient)
    assert at.models.order == ["a"]
    assert at.models.asked[0].timeout == pytest.approx(5.0)


def test_an_answer_that_was_paid_before_is_not_asked_for_again() -> None:
    """A step that is repeated reads what an earlier attempt got, and the saving is told."""
    at = stage(a=[GOOD])
    at.ask()
    assert at.ask(attempt=2).answer == GOOD
    assert len(at.models.asked) == 1
    assert [fact.type for fact in at.purse.notes] == ["model.routed", "usage.saved"]


def test_a_later_attempt_says_so() -> None:
    """The first call of a step's second attempt is a retry."""
    at = stage(a=[GOOD])
    at.ask(attempt=2)
    assert at.told == [("a", "retry", "")]


def test_a_fault_of_ours_leaves_no_money_open() -> None:
    """An adapter that breaks is charged at its worst and the error is not hidden."""
    at = stage(a=[RuntimeError("a bug")], b=[GOOD])
    with pytest.raises(RuntimeError):
        at.ask()
    assert at.paid == [("a", "unknown")]
    assert at.purse.held == {}


def whom(fact: ModelRouted | ModelUnrouted) -> dict[str, str]:
    """Return who was not asked, or no help, and why."""
    return {one.deployment: one.reason for one in fact.refused}


def test_everybody_who_is_not_asked_is_named() -> None:
    """The choice says of each candidate why it was another one's turn: what it would have cost, or what it lacks."""
    at = stage(a=[GOOD], b=[GOOD], c=[GOOD])
    at.ask()
    (fact,) = at.purse.notes
    assert isinstance(fact, ModelRouted)
    assert set(whom(fact)) == {"b", "c"}
    assert all(reason.startswith("dearer: at most $") for reason in whom(fact).values())


def test_gates_that_are_shut_in_a_row_are_all_named() -> None:
    """Whoever waits behind a gate is named with the time, however many there are before the one that is asked."""
    at = stage(a=[GOOD], b=[GOOD], c=[GOOD])
    for route in at.router.routes()[:2]:
        at.router.learned.leave(route, Outcome("throttled", retry_after=9.0), at.clock[0])
    at.clock[0] += 30
    for route in at.router.routes()[:2]:
        assert not at.router.learned.enter(route, at.clock[0], 0)
    at.ask()
    (fact,) = at.purse.notes
    assert isinstance(fact, ModelRouted)
    assert (fact.deployment, fact.kind, fact.after) == ("c", "fallback", "")
    assert [re.sub(r"\d+", "N", reason) for reason in whom(fact).values()] == ["its gate is shut for N s"] * 2


def test_when_nobody_is_left_all_are_named() -> None:
    """Where a question ends without an answer, its last event says what came of each, and of those never asked why."""
    at = stage(a=[THROTTLED], b=[DOWN], c=[BAD])
    refused(lambda: at.ask(zone=""))
    last = at.purse.notes[-1]
    assert isinstance(last, ModelUnrouted)
    assert whom(last) == {"a": "throttled", "b": "provider-down", "c": "bad-answer"}
    broke = stage(limit=10, a=[GOOD], b=[GOOD])
    refused(broke.ask)
    (only,) = broke.purse.notes
    assert isinstance(only, ModelUnrouted)
    assert [reason.startswith("may cost $") for reason in whom(only).values()] == [True, True]
    assert only.left_micro_usd == 10


def test_very_many_candidates_are_cut_with_a_count() -> None:
    """An event stays small whatever the policy names: the first are named, the others counted."""
    at = stage(10**9, **{f"m{number:02}": [GOOD] for number in range(99)})
    at.ask()
    (fact,) = at.purse.notes
    assert isinstance(fact, ModelRouted)
    assert (len(fact.refused) + fact.more_refused, len(fact.model_dump_json()) < 8_000) == (98, True)
