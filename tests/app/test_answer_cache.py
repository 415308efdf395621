"""The exact-match cache of answers in the router: the same question of the same tenant is paid once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.wallet import Wallet
from local.sqlite.cache import SqliteCache
from local.sqlite.database import Database
from local.wiring import TENANT
from shared.app.purse import Terms
from shared.app.router import Router
from shared.core.caching import key
from shared.core.completion import ClassProfile, Completion, Prompt, Repair, Usage
from shared.core.policy import Policy, TenantPolicy
from shared.core.routing import Candidate, routes
from shared.errors import Transient
from shared.events.usage import UsageSaved

if TYPE_CHECKING:
    from tests.app.world import World

FAR: dict[str, Any] = {"name": "far", "provider": "openai", "model": "m", "tokens_in": 1, "tokens_out": 1}
SCHEMA: dict[str, Any] = {"type": "object", "required": ["quotes"], "properties": {"quotes": {"type": "array"}}}
PROMPT = Prompt("summarise", "Quote.", "It leaks.", SCHEMA, (ClassProfile("a", ("b",)),), max_output_tokens=50)
TERMS = Terms("acme", 0, "summarise", "prices-1", models_version="p1", cacheable=True)


@dataclass
class Counting:
    """A model that counts its calls."""

    calls: int = 0
    answer: dict[str, Any] = field(default_factory=lambda: {"quotes": ["It leaks."]})

    def complete(self, prompt: Prompt) -> Completion:  # noqa: ARG002  whatever is asked
        """Answer."""
        self.calls += 1
        return Completion(self.answer, Usage("m", 100, 10))


class Down:
    """A cache that is not there."""

    def get(self, tenant: str, key: str, at: datetime) -> str | None:
        """Fail."""
        raise Transient(f"no cache for {tenant} {key} {at}")

    def put(self, tenant: str, key: str, text: str, expires: datetime) -> None:
        """Fail."""
        raise Transient(f"no cache for {tenant} {key} {text} {expires}")


@dataclass
class Stage:
    """A router with a cache; each question has a purse of its own, like two runs have."""

    model: Counting = field(default_factory=Counting)
    cache: Any = field(default_factory=lambda: SqliteCache(Database(None)))
    clock: float = 1_000.0

    def ask(self, prompt: Prompt = PROMPT, **terms: Any) -> tuple[Completion, Wallet]:
        """Ask with a new purse."""
        one = Candidate(name="one", provider="openai", model="m", tokens_in=10**6, tokens_out=10**6)
        router = Router(self.model, lambda: routes([one]), lambda: self.clock, cache=self.cache)
        purse = Wallet()
        return router.complete(prompt, purse, replace(TERMS, **terms)), purse


def test_the_same_question_is_paid_once() -> None:
    """The second run gets the first one's answer, pays nothing, and says what it saved."""
    at = Stage()
    first, paid = at.ask()
    second, saved = at.ask()
    assert (second.answer, second.usage) == (first.answer, first.usage)
    assert at.model.calls == 1
    assert (paid.settled, saved.settled, saved.drawn) == (110, 0, 0)
    assert saved.notes == [
        UsageSaved(
            document=0,
            step="summarise",
            model="m",
            saved_micro_usd=110,
            by="cache",
            deployment="one",
            price_version="prices-1",
        )
    ]


@pytest.mark.parametrize(
    ("change", "terms"),
    [
        ({"text": "It leaks!"}, {}),
        ({"instruction": "Quote"}, {}),
        ({"purpose": "classify"}, {}),
        ({"classes": ()}, {}),
        ({"answer_schema": SCHEMA | {"title": "x"}}, {}),
        ({"max_output_tokens": 51}, {}),
        ({}, {"models_version": "p2"}),
        ({}, {"quality": 0.1}),
        ({}, {"tenant": "globex"}),
        ({}, {"cacheable": False}),
    ],
)
def test_another_question_is_asked(change: dict[str, Any], terms: dict[str, Any]) -> None:
    """Whatever shapes an answer makes it another question; nobody gets another tenant's answer."""
    at = Stage()
    at.ask()
    at.ask(replace(PROMPT, **change), **terms)
    assert at.model.calls == 2


def test_what_is_not_cacheable_is_not_kept() -> None:
    """A step that is not cacheable neither reads nor writes."""
    at = Stage()
    at.ask(cacheable=False)
    at.ask()
    assert at.model.calls == 2


@pytest.mark.parametrize("seconds", [86_400.0, 60.0])
def test_an_answer_expires(seconds: float) -> None:
    """When the time is over for which operators have answers kept, the question is asked again."""
    at = Stage()
    at.ask(keep_seconds=seconds)
    at.clock += seconds - 1
    at.ask()
    assert at.model.calls == 1
    at.clock += 2
    at.ask()
    assert at.model.calls == 2


def test_a_cache_that_is_down_costs_money_and_nothing_else() -> None:
    """Without the cache every question is asked, and answered."""
    at = Stage(cache=Down())
    assert at.ask()[0].answer == at.ask()[0].answer
    assert at.model.calls == 2


def test_a_kept_answer_must_satisfy_the_schema_still() -> None:
    """An answer in the store that the schema does not allow is no hit."""
    at = Stage()
    name = key(PROMPT, "p1/0/")
    at.cache.put("acme", name, '[{"wrong": 1}, "m", 1, 1, 1]', datetime.fromtimestamp(2_000.0).astimezone())
    at.ask()
    assert at.model.calls == 1


def test_a_bad_answer_is_not_kept() -> None:
    """Only answers that will do are worth keeping."""
    at = Stage(Counting(answer={}))
    for _ in range(2):
        with pytest.raises(Exception, match="lacks 'quotes'"):
            at.ask()
    assert at.model.calls == 4


def test_what_does_not_shape_the_answer_is_not_in_the_key() -> None:
    """Who is asked, by when, under which name, and whether it is a repair make no other question."""
    other = replace(PROMPT, deployment="x", deadline=9.0, timeout=3.0, reference="r", repair=Repair("a", "b"))
    assert key(other, "p") == key(PROMPT, "p")


@pytest.mark.parametrize(("changed", "calls"), [({"max_runs": 9}, 1), ({"tokens_in": 2}, 1), ({"model": "n"}, 2)])
def test_limits_and_prices_leave_the_cache_as_it_is(world: World, changed: dict[str, Any], calls: int) -> None:
    """What was paid for is given again under a policy with other limits or prices; another model is asked anew."""
    for number, more in enumerate(({}, changed)):
        made: dict[str, Any] = {
            "name": "far",
            "provider": "openai",
            "model": "m",
            "tokens_in": 1,
            "tokens_out": 1,
        } | more
        limits = {"max_runs": made.pop("max_runs", 5)}
        policy = Policy(tenants={TENANT: TenantPolicy(**limits)}, candidates={"far": Candidate(**made)})
        world.ports = replace(world.ports, policy=partial(Policy.model_copy, policy))
        task = world.placed(key=f"k{number}", entity=f"package:{number}")
        results = world.worked(task, until="classify")
        world.step(task, "classify", results)
    assert world.models.calls == ["classify"] * calls
