"""What steps can cost at most, at the prices of the policy in force. Micro-USD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shared.core.phrasing import MOST_BILLED
from shared.core.routing import ANYWHERE

if TYPE_CHECKING:
    from shared.core.policy import Policy
    from shared.core.routing import Candidate
    from shared.core.workflow import Step, Tokens

_MILLION = 1_000_000


def worst_case(policy: Policy, steps: Iterable[Step], zone: str = "") -> int:
    """Return the most that one document's steps can cost, whoever answers in that data zone, each paid once."""
    known = policy.candidates.values()
    there = [one for one in known if not zone or one.data_zone in {zone, ANYWHERE}] or list(known)
    return sum(_worst(there, step.tokens) for step in steps if step.tokens is not None)


def most_tokens(steps: Iterable[Step]) -> int:
    """Return the most tokens that one document's steps send and receive."""
    return sum(step.tokens.most_in + step.tokens.most_out for step in steps if step.tokens is not None)


def _worst(candidates: Iterable[Candidate], tokens: Tokens) -> int:
    return max(_price(candidate, tokens) for candidate in candidates)


def _price(candidate: Candidate, tokens: Tokens) -> int:
    billed_in = tokens.most_in if candidate.provider == "extractive" else MOST_BILLED
    return -(-(billed_in * candidate.tokens_in + tokens.most_out * candidate.tokens_out) // _MILLION)
