"""What steps can cost at most, at the prices of the policy in force. Micro-USD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shared.core.money import PRICES

if TYPE_CHECKING:
    from shared.core.policy import Policy
    from shared.core.routing import Candidate
    from shared.core.workflow import Step, Tokens

_BYTES_PER_TOKEN = 4  # a step's tokens are counted so; a provider may bill one for every byte
_OVERHEAD = 1024
_MILLION = 1_000_000


def worst_case(policy: Policy, steps: Iterable[Step]) -> int:
    """Return the most that one document's steps can cost, whoever answers, each paid once."""
    return sum(_worst(policy, step.tokens) for step in steps if step.tokens is not None)


def most_tokens(steps: Iterable[Step]) -> int:
    """Return the most tokens that one document's steps send and receive."""
    return sum(step.tokens.most_in + step.tokens.most_out for step in steps if step.tokens is not None)


def _worst(policy: Policy, tokens: Tokens) -> int:
    return max(_price(candidate, tokens) for candidate in policy.candidates.values())


def _price(candidate: Candidate, tokens: Tokens) -> int:
    billed_in = tokens.most_in if candidate.model in PRICES else tokens.most_in * _BYTES_PER_TOKEN + _OVERHEAD
    return -(-(billed_in * candidate.tokens_in + tokens.most_out * candidate.tokens_out) // _MILLION)
