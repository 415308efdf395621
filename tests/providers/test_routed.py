"""The router over real adapters at the model server: provider after provider misbehaves, and one answers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.wallet import Wallet
from local.model_server.scenario import Deployment, Phase
from providers.deployments import Deployments
from shared.app.purse import UNKNOWN_OUTCOME, Terms
from shared.app.router import Router
from shared.core.routing import embedded, routes
from shared.errors import Permanent, Transient
from shared.events.routing import ModelRouted
from shared.models.extractive import Extractive
from tests.providers.reaching import KEY, PROMPT, PROVIDERS, SECRETS, here

if TYPE_CHECKING:
    from shared.core.routing import Candidate
    from tests.providers.conftest import Reach

TERMS = Terms("acme", 0, "summarise", "prices-1")


def routed(*candidates: Candidate) -> Router:
    """Return a router over these."""
    named = {one.name: one for one in candidates}
    known = routes(candidates)
    return Router(Deployments(lambda: named, SECRETS, here()), lambda: known, time.time)


def test_a_malformed_answer_is_repaired_then_another_provider_answers(reach: Reach) -> None:
    """A model that answers wrongly is asked to repair, then left for the next; the money tells the story."""
    wrong = reach.failing("openai", kind="malformed").model_copy(update={"name": "wrong", "tokens_in": 1})
    right = reach.candidate("bedrock", name="right")
    purse = Wallet()
    assert routed(wrong, right).complete(PROMPT, purse, TERMS).answer == Extractive().complete(PROMPT).answer
    paid = [(one.deployment, one.paid) for one in purse.ended]
    assert paid == [("wrong", "failed"), ("wrong", "failed"), ("right", "answered")]
    kinds = [fact.kind for fact in purse.notes if isinstance(fact, ModelRouted)]
    assert kinds == ["first", "repair", "fallback"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_repair_that_works_is_one_answer(reach: Reach, provider: str) -> None:
    """A model that answers wrongly once mends it when it is told what is wrong."""
    once = Deployment(phases=(Phase(kind="malformed", every=2),))
    purse = Wallet()
    router = routed(reach.candidate(provider, once))
    router.complete(PROMPT, Wallet(), TERMS)
    router.complete(PROMPT, purse, TERMS)
    assert [one.paid for one in purse.ended] == ["failed", "repaired"]


@pytest.mark.parametrize("kind", ["truncated-json", "broken-stream", "wrong-content-type"])
def test_half_an_answer_is_charged_at_its_worst_and_somebody_else_asked(reach: Reach, kind: str) -> None:
    """What may have been served is paid for, never used, and the embedded model answers."""
    broken = reach.failing("gemini", kind=kind).model_copy(update={"name": "a", "tokens_in": 1, "tokens_out": 1})
    purse = Wallet()
    found = routed(broken, embedded()).complete(PROMPT, purse, TERMS)
    assert found == replace(Extractive().complete(PROMPT), deployment="extractive-1")
    assert [(one.deployment, one.paid) for one in purse.ended] == [("a", "unknown"), ("extractive-1", "answered")]
    assert purse.ended[0].cost > 0


def test_half_an_answer_from_everybody_is_no_answer(reach: Reach) -> None:
    """When every provider breaks off nobody's half answer is used, and the step may be tried again."""
    purse = Wallet()
    router = routed(*(reach.failing(one, kind="truncated-json").model_copy(update={"name": one}) for one in PROVIDERS))
    with pytest.raises(Transient):
        router.complete(PROMPT, purse, TERMS)
    assert [one.paid for one in purse.ended] == ["unknown"] * len(PROVIDERS)


def test_the_draw_names_the_call_at_the_provider(reach: Reach) -> None:
    """The provider hears the draw's id, so that its bill and ours can be laid side by side."""
    candidate = reach.candidate("openai")
    routed(candidate).complete(PROMPT, Wallet(), TERMS)
    assert reach.service.log.entries()[-1].told["idempotency-key"] == "draw-1"


def test_who_does_not_pay_again_asks_nobody_else(reach: Reach) -> None:
    """After a call whose end is not known the question ends, if the policy wants that; it is charged at its worst."""
    broken = reach.failing("gemini", kind="truncated-json").model_copy(
        update={"name": "a", "tokens_in": 1, "tokens_out": 1}
    )
    purse, terms = Wallet(), replace(TERMS, pays_again=False)
    with pytest.raises(Permanent) as refused:
        routed(broken, embedded()).complete(PROMPT, purse, terms)
    assert refused.value.code == UNKNOWN_OUTCOME
    assert [(one.deployment, one.paid) for one in purse.ended] == [("a", "unknown")]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_refused_key_is_called_by_the_name_of_its_variable(reach: Reach, provider: str) -> None:
    """Operators read which deployment refused the key, and where that key came from; never the key."""
    with pytest.raises(Permanent, match=rf"^one: .*\(401\); they are in {KEY}$") as refused:
        routed(reach.failing(provider, kind="401")).complete(PROMPT, Wallet(), TERMS)
    assert refused.value.code == "provider-credentials"
    assert SECRETS[KEY] not in str(refused.value)


def test_more_money_is_asked_for_before_an_answer_is_given_up(reach: Reach) -> None:
    """One model cannot answer and the other is too dear for what is left: that is a matter of money, and says so."""
    wrong = reach.failing("openai", kind="malformed").model_copy(update={"name": "wrong", "tokens_in": 1})
    dear = reach.candidate("bedrock", name="dear", tokens_in=10**9)
    with pytest.raises(Permanent, match=r"^a call of dear may cost \$\d+\.\d{6}, and \$0\.\d{6} are left$") as refused:
        routed(wrong, dear).complete(PROMPT, Wallet(limit=10_000), TERMS)
    assert refused.value.code == "budget-used-up"
