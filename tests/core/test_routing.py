from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.core.health import WELL, Health, Outcome, observe
from shared.core.routing import Ask, Candidate, Choice, decide, embedded, routes

ASK = Ask("classify", text_in=100, tokens_in=1_000, most_in=4_000, most_out=500, left=10**9)
DOWN = Health(breaker="open", retry_at=60.0)


def candidate(name: str, **more: object) -> Candidate:
    """Return a candidate that differs from the others as told."""
    given = {"provider": "openai", "model": name, "tokens_in": 100, "tokens_out": 100, "quality": {}}
    return Candidate.model_validate({"name": name, **given, **more})


def choose(*candidates: Candidate, ask: Ask = ASK, now: float = 0.0, **health: Health) -> Choice:
    """Decide among candidates."""
    return decide(routes(candidates), ask, health, now)


def names(choice: Choice) -> list[str]:
    """Return whom the choice asks, in order."""
    return [pick.route.name for pick in choice.order]


def test_provisioned_capacity_comes_first() -> None:
    """What is paid for anyway is used before what costs less by the call."""
    choice = choose(candidate("cheap", tokens_in=1), candidate("ours", kind="provisioned", tokens_in=900))
    assert names(choice) == ["ours", "cheap"]
    assert [pick.reason for pick in choice.order] == ["provisioned capacity", "next in cost"]


def test_busy_provisioned_capacity_spills() -> None:
    """When provisioned capacity cannot take the call, on-demand does, and the reason says so."""
    choice = choose(candidate("a"), candidate("ours", kind="provisioned"), ours=DOWN)
    assert names(choice) == ["a"]
    assert choice.order[0].reason == "spill: provisioned capacity is busy"
    assert choice.refused == (("ours", "breaker open", 60.0, "busy"),)


def test_the_cheapest_of_those_that_fit_is_asked() -> None:
    """Among equals, the price of this very call decides, then the name."""
    dear_to_say = candidate("a", tokens_in=1, tokens_out=9_000)
    assert names(choose(dear_to_say, candidate("c"), candidate("b"))) == ["b", "c", "a"]


def test_what_fails_now_and_then_costs_more_than_its_price() -> None:
    """A deployment that was measured to fail is ranked by what an answer costs, not by what a call does."""
    shaky = Health(success=0.5)
    assert names(choose(candidate("a", tokens_in=90), candidate("b"), a=shaky)) == ["b", "a"]


@pytest.mark.parametrize(
    ("more", "ask", "reason"),
    [
        ({"abilities": ("summarise",)}, ASK, "cannot classify"),
        ({"abilities": ("classify",)}, ASK._replace(needs=frozenset({"json"})), "lacks json"),
        ({"data_zone": "us"}, ASK._replace(zone="eu"), "in data zone us, not eu"),
        ({}, ASK._replace(zone="eu"), "in data zone unknown, not eu"),
        ({"quality": {"classify": 0.5}}, ASK._replace(quality=0.6), "quality 0.5 is below 0.6"),
        ({"context": 1_499}, ASK, "a context of 1499 tokens is too small for 1500"),
        ({"tokens_in": 10**9}, ASK._replace(left=1), "may cost $4.000001, $0.000001 are left"),
        ({"p95_ms": 900}, ASK._replace(sla_ms=800.0, hard=True), "slower than 800 ms"),
    ],
)
def test_who_is_not_asked_is_named_with_the_reason(more: dict[str, object], ask: Ask, reason: str) -> None:
    """Each refusal says what was missing, and another candidate is asked."""
    other = candidate("other", data_zone="eu", p95_ms=100, quality={"classify": 0.9}, tokens_in=0, tokens_out=0)
    choice = choose(candidate("one", **more), other, ask=ask)
    assert names(choice) == ["other"]
    assert [(one.deployment, one.reason) for one in choice.refused] == [("one", reason)]


def test_exactly_enough_is_enough() -> None:
    """A context, a budget, a quality and a speed that are just met are met."""
    one = candidate("one", context=1_500, quality={"classify": 0.6}, p95_ms=800, tokens_in=10**6, tokens_out=10**6)
    ask = ASK._replace(left=4_500, quality=0.6, sla_ms=800.0, hard=True)
    assert names(choose(one, ask=ask)) == ["one"]


def test_what_is_slow_comes_last_when_speed_is_only_wished_for() -> None:
    """A soft limit ranks; even provisioned capacity stands behind what is fast enough."""
    choice = choose(candidate("ours", kind="provisioned"), candidate("fast", p95_ms=100), ask=ASK._replace(sla_ms=500))
    assert names(choice) == ["fast", "ours"]
    assert choice.order[1].reason.endswith("slower than asked for")


def test_measured_speed_counts_more_than_promised_speed_for_a_while() -> None:
    """After enough answers the measured latency decides; when it is old the promise does again."""
    state = WELL
    for second in range(20):
        state = observe(state, Outcome("answered", ms=9_000.0), float(second))
    hard = ASK._replace(sla_ms=5_000.0, hard=True)
    assert names(choose(candidate("a"), ask=hard, now=20.0, a=state)) == []
    assert names(choose(candidate("a"), ask=hard, now=400.0, a=state)) == ["a"]


def test_the_embedded_model_is_measured_by_its_own_count() -> None:
    """The embedded model's bill is known beforehand, so that it needs no money for the worst case of others."""
    choice = choose(embedded(), candidate("a", tokens_in=10**6), ask=ASK._replace(left=30))
    assert names(choice) == ["extractive-1"]


@settings(max_examples=100)
@given(st.permutations(range(6)), st.floats(0, 1000))
def test_the_order_does_not_depend_on_the_order_of_the_policy(order: list[int], now: float) -> None:
    """The same candidates in any order give the same ranking."""
    all_of = [
        candidate(f"c{n}", kind="provisioned" if n % 2 else "on-demand", tokens_in=1 + n // 2 * 50) for n in range(6)
    ]
    assert choose(*(all_of[n] for n in order), now=now).order == choose(*all_of, now=now).order


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "A B"},
        {"provider": "unknown"},
        {"url": "http://models.example/v1"},
        {"credential": "sk-secret-value"},
        {"tokens_in": -1},
        {"tokens_in": 1.5},
        {"quality": {"classify": 1.1}},
        {"kind": "spot"},
        {"surprise": 1},
        {"timeout": 0.0},
    ],
)
def test_a_candidate_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    """A misspelt field, a plain-text address and a secret in the place of its name do not get into a policy."""
    with pytest.raises(ValidationError):
        candidate(**{"name": "one", **wrong})  # type: ignore[arg-type]


def test_a_candidate_is_what_it_was_after_a_round_trip() -> None:
    """A candidate read from its own JSON is equal to it."""
    one = candidate("one", quality={"classify": 0.7}, requests_per_minute=60)
    assert Candidate.model_validate_json(one.model_dump_json()) == one
