"""What steps can cost at most, at the prices of the policy in force. Micro-USD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shared.core.phrasing import MOST_BILLED
from shared.core.routing import ANYWHERE

if TYPE_CHECKING:
    from shared.core.policy import Policy
    from shared.core.routing import Route
    from shared.core.workflow import Step, Tokens


def worst_case(policy: Policy, steps: Iterable[Step], zone: str = "") -> int:
    """Return the most that one document's steps can cost, whoever answers in that data zone, each paid once."""
    there = [route for route in policy.routes if not zone or route.zone in {zone, ANYWHERE}] or policy.routes
    return sum(_worst(there, step.tokens) for step in steps if step.tokens is not None)


def most_tokens(steps: Iterable[Step]) -> int:
    """Return the most tokens that one document's steps send and receive."""
    return sum(step.tokens.most_in + step.tokens.most_out for step in steps if step.tokens is not None)


def _worst(routes: Iterable[Route], tokens: Tokens) -> int:
    return max(route.cost(tokens.most_in if route.embedded else MOST_BILLED, tokens.most_out) for route in routes)
