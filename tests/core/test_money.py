from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.completion import Prompt
from shared.core.policy import Policy
from shared.core.pricing import worst_case
from shared.core.routing import Candidate, embedded, routes
from shared.core.workflow import Step, Tokens

TOKENS = st.integers(0, 10**9)
(EMBEDDED,) = routes([embedded()])


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "micro_usd"),
    [(0, 0, 0), (1, 0, 1), (50, 0, 1), (51, 0, 2), (0, 25, 1), (25, 12, 1), (25, 13, 2), (16_000, 512, 341)],
)
def test_a_call_costs_its_tokens_rounded_up(tokens_in: int, tokens_out: int, micro_usd: int) -> None:
    """A fraction of a micro-dollar counts as a whole one, once per call and not once per direction."""
    assert EMBEDDED.cost(tokens_in, tokens_out) == micro_usd


@given(fees=st.tuples(TOKENS, TOKENS), tokens_in=TOKENS, tokens_out=TOKENS)
def test_the_price_is_exact(fees: tuple[int, int], tokens_in: int, tokens_out: int) -> None:
    """No float ever comes near money: the cost is the exact price, rounded up."""
    route = EMBEDDED._replace(price_in=fees[0], price_out=fees[1])
    exact = Fraction(tokens_in * fees[0] + tokens_out * fees[1], 1_000_000)
    assert route.cost(tokens_in, tokens_out) == ceil(exact)


def step(most_in: int, most_out: int) -> Step:
    """Return a step that may send and receive so many tokens."""
    return Step("read", tool="classify", takes={}, tokens=Tokens(most_in=most_in, most_out=most_out))


@given(tokens_in=TOKENS, tokens_out=TOKENS)
def test_the_worst_case_is_never_exceeded(tokens_in: int, tokens_out: int) -> None:
    """The same tokens cost at most the worst case."""
    assert EMBEDDED.cost(tokens_in, tokens_out) <= worst_case(Policy(), [step(tokens_in, tokens_out)])


@given(prices=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=4))
def test_the_worst_case_is_that_of_the_dearest_candidate(prices: list[tuple[int, int]]) -> None:
    """Every byte of a prompt may be a token of a provider's: its bill for all of them fits, at any price there is."""
    candidates = {
        f"c{number}": Candidate(name=f"c{number}", provider="openai", model="m", tokens_in=fee, tokens_out=answer)
        for number, (fee, answer) in enumerate(prices)
    }
    most = worst_case(Policy(candidates=candidates), [step(1000, 100)])
    assert all(most * 1_000_000 >= 4000 * fee + 100 * answer for fee, answer in prices)


def test_a_step_without_a_model_costs_nothing() -> None:
    """Only steps that may ask a model are put aside for, each for itself."""
    free, paid = Step("extract", tool="extract", takes={}), step(16_000, 512)
    assert worst_case(Policy(), []) == worst_case(Policy(), [free]) == 0
    assert worst_case(Policy(), [free, paid, paid]) == 2 * 341


@pytest.mark.parametrize(
    ("instruction", "text", "tokens"), [("", "", 0), ("a", "", 1), ("abcd", "efgh", 2), ("", "a" * 9, 3)]
)
def test_a_prompt_is_reckoned_by_its_length(instruction: str, text: str, tokens: int) -> None:
    """Before a call, every four characters to read count as a token, rounded up."""
    assert Prompt("classify", instruction, text, {}).tokens_in == tokens
