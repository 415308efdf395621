"""Answers shared between texts that are alike: only where a tenant wants it, and only within that tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from benchmarks.wallet import Wallet
from local.sqlite.cache import SqliteCache
from local.sqlite.database import Database
from shared.app.nearby import Nearby
from shared.app.purse import Terms
from shared.app.router import Router
from shared.core.completion import ClassProfile, Completion, Prompt, Usage
from shared.core.likeness import Place
from shared.core.policy_text import parse
from shared.core.routing import Candidate, routes
from shared.errors import FabricError, Permanent, Transient
from shared.events.usage import UsageSaved
from tests.app.world import World

SCHEMA: dict[str, Any] = {"type": "object", "required": ["quotes"], "properties": {"quotes": {"type": "array"}}}
TEXT = "Copyright (c) 2019 Jane Doe\n\nIt leaks."
LIKE = "Copyright (c) 2021 Jane Doe\n\nIt leaks."
OTHER = "Copyright (c) 2019 Jane Doe\n\nIt never leaks."
PROMPT = Prompt("summarise", "Quote.", TEXT, SCHEMA, (ClassProfile("a", ("b",)),), max_output_tokens=50)
TERMS = Terms("acme", 0, "summarise", "prices-1", models_version="p1", cacheable=True, alike=0.9)
CANDIDATE = '[candidates.one]\nprovider = "openai"\nmodel = "m"\ntokens_in = 1\ntokens_out = 1\n'
SAID = "Pass it on to whom you like. Keep the notice in all copies, and do not remove what others wrote in it.\n\n"
REVIEWED = tuple(f"{SAID}Copyright (c) {holder}\n" for holder in ("2019 Jane Doe", "2021 Jane Doe"))


@dataclass
class Ruled:
    """An embedder with a ruler: each text lies where it is told, at this cosine to all that lie at 1."""

    cosine: dict[str, float] = field(default_factory=dict)
    fault: FabricError | None = None
    calls: int = 0

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Place the texts on the unit circle."""
        self.calls += 1
        if self.fault:
            raise self.fault
        told = [self.cosine.get(text, 1.0) for text in texts]
        return [[one, (1 - one * one) ** 0.5] for one in told]


@dataclass
class Counting:
    """A model that counts its calls."""

    calls: int = 0
    quote: str = "It leaks."

    def complete(self, prompt: Prompt) -> Completion:  # noqa: ARG002  whatever is asked
        """Answer."""
        self.calls += 1
        return Completion({"quotes": [self.quote]}, Usage("m", 100, 10))


@dataclass
class Stage:
    """A router with a cache and an embedder; each question has a purse of its own, like two runs have."""

    embedder: Ruled = field(default_factory=Ruled)
    model: Counting = field(default_factory=Counting)
    clock: float = 1_000.0

    def __post_init__(self) -> None:
        self.cache, self.nearby = SqliteCache(Database(None)), Nearby(self.embedder)

    def ask(self, text: str = TEXT, change: dict[str, Any] | None = None, **terms: Any) -> Wallet:
        """Ask with a new purse."""
        one = Candidate(name="one", provider="openai", model="m", tokens_in=10**6, tokens_out=10**6)
        router = Router(self.model, lambda: routes([one]), lambda: self.clock, cache=self.cache, nearby=self.nearby)
        purse = Wallet()
        found = router.complete(replace(PROMPT, text=text, **(change or {})), purse, replace(TERMS, **terms))
        assert found.answer == {"quotes": [self.model.quote]}
        return purse


def test_a_text_that_is_alike_gets_the_earlier_answer() -> None:
    """Nothing is paid, and the saving says how similar the text was."""
    at = Stage(Ruled({LIKE: 0.95}))
    at.ask()
    saved = at.ask(LIKE)
    assert (at.model.calls, saved.settled, saved.drawn) == (1, 0, 0)
    (fact,) = saved.notes
    assert isinstance(fact, UsageSaved)
    assert (fact.by, fact.saved_micro_usd) == ("cache", 110)
    assert fact.similarity == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("change", "terms"),
    [
        ({}, {"tenant": "globex"}),
        ({}, {"alike": 0.0}),
        ({}, {"alike": 0.96}),
        ({}, {"cacheable": False}),
        ({}, {"models_version": "p2"}),
        ({}, {"quality": 0.1}),
        ({"instruction": "Quote"}, {}),
        ({"purpose": "classify"}, {}),
        ({"classes": ()}, {}),
        ({"answer_schema": SCHEMA | {"title": "x"}}, {}),
        ({"max_output_tokens": 51}, {}),
    ],
)
def test_whoever_else_asks_or_asks_otherwise_pays(change: dict[str, Any], terms: dict[str, Any]) -> None:
    """No other tenant, none that did not opt in, no text under the threshold, no other question shares an answer."""
    at = Stage(Ruled({LIKE: 0.95}))
    at.ask()
    at.ask(LIKE, change, **terms)
    assert at.model.calls == 2


@pytest.mark.parametrize("terms", [{"alike": 0.0}, {"cacheable": False}])
def test_what_was_answered_without_opting_in_is_not_shared(terms: dict[str, Any]) -> None:
    """Texts are not even compared, before as after a tenant opts in."""
    at = Stage()
    at.ask(**terms)
    assert at.embedder.calls == 0
    at.ask(LIKE)
    assert at.model.calls == 2


def test_words_count_however_near_the_texts_lie() -> None:
    """A text that an embedder takes for the same is another one when a word is another."""
    at = Stage()
    at.ask()
    at.ask(OTHER)
    assert at.model.calls == 2


def test_an_answer_that_quotes_what_is_not_there_is_no_hit() -> None:
    """A quotation of the earlier text's year is not given for another one."""
    at = Stage(model=Counting(quote="2019 Jane Doe"))
    at.ask()
    at.ask(LIKE)
    assert at.model.calls == 2


def test_the_nearest_one_answers() -> None:
    """Of several texts that are alike the most similar one's answer is given."""
    at = Stage(Ruled({LIKE: 0.6}))
    at.ask()
    at.ask(LIKE)
    saved = at.ask("Copyright 2019 (c) Jane Doe\n\nIt leaks.".replace("2019 (c)", "(c) 2018"))
    assert at.model.calls == 2
    assert saved.notes[0].similarity == pytest.approx(1.0)  # type: ignore[attr-defined]


def test_an_answer_does_not_wander() -> None:
    """A text that got another one's answer lends it to nobody: each hit is near a text that was really read."""
    third = LIKE.replace("2021", "2023")
    at = Stage(Ruled({LIKE: 0.95, third: 0.75}))
    at.ask()
    at.ask(LIKE)
    at.ask(third)
    assert at.model.calls == 2


def test_an_answer_expires_for_all_texts() -> None:
    """After a day the question is asked again."""
    at = Stage()
    at.ask()
    at.clock += 86_401
    at.ask(LIKE)
    assert at.model.calls == 2


@pytest.mark.parametrize("fault", [Transient("no memory"), Permanent("not installed", code="no-embedder")])
def test_an_embedder_that_fails_costs_money_and_nothing_else(fault: FabricError) -> None:
    """Every text is answered, and equal ones are still paid once."""
    at = Stage(Ruled(fault=fault))
    for text in (TEXT, LIKE, TEXT):
        at.ask(text)
    assert at.model.calls == 2


def test_a_process_keeps_so_many_and_no_more() -> None:
    """The wording that was used longest ago is forgotten first, and so is the tenant."""
    nearby = Nearby(Ruled(), wordings=2, tenants=2)
    for wording in ("a", "b"):
        nearby.keep("acme", "q", Place([1.0], wording), wording)
    assert nearby.find("acme", "q", Place([1.0], "a"), 0.5)
    nearby.keep("acme", "q", Place([1.0], "c"), "c")
    assert [bool(nearby.find("acme", "q", Place([1.0], one), 0.5)) for one in "abc"] == [True, False, True]
    nearby.keep("globex", "q", Place([1.0], "a"), "a")
    nearby.keep("initech", "q", Place([1.0], "a"), "a")
    assert [bool(nearby.find(one, "q", Place([1.0], "a"), 0.5)) for one in ("acme", "globex", "initech")] == [
        False,
        True,
        True,
    ]


def test_of_one_wording_the_latest_are_kept() -> None:
    """A text that comes with thousands of dates does not fill the memory."""
    nearby = Nearby(Ruled())
    for number in range(10):
        nearby.keep("acme", "q", Place([1.0, 0.0] if number < 6 else [0.8, 0.6], "a"), f"{number}")
    found = nearby.find("acme", "q", Place([1.0, 0.0], "a"), 0.5)
    assert found is not None
    assert found.similarity == pytest.approx(0.8)


def reviewed(world: World, policy: str) -> tuple[int, list[float | None]]:
    """Review two texts that are alike under a policy; return the models' calls and the similarities that were told."""
    inforce = parse(policy + CANDIDATE)
    world.ports = replace(world.ports, policy=lambda: inforce)
    tasks = [world.placed(text, key=text, entity=f"package:{at}") for at, text in enumerate(REVIEWED)]
    for task in tasks:
        world.worked(task)
    told = [event.data for task in tasks for event in world.published(task.id)]
    return len(world.models.calls), [fact.similarity for fact in told if isinstance(fact, UsageSaved)]


def test_a_tenants_policy_switches_it_on(world: World) -> None:
    """A second package's licence with another year is classified and summarised for nothing."""
    calls, similarities = reviewed(world, "[tenants.local]\nsemantic_cache = true\nsemantic_threshold = 0.8\n")
    assert calls == 2
    assert [one for one in similarities if one is not None and 0.8 <= one < 1] == similarities
    assert len(similarities) == 2


def test_without_a_word_in_the_policy_it_is_off(world: World) -> None:
    """The same texts are read twice by the model, and nothing is told to be saved."""
    assert reviewed(world, "[tenants.local]\n") == (4, [])
