"""What steps can cost at most, at the prices of the policy in force. Micro-USD."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shared.core.phrasing import MOST_BILLED
from shared.core.routing import ANYWHERE

if TYPE_CHECKING:
    from shared.core.policy import Policy
    from shared.core.routing import Route
    from shared.core.workflow import Step, Tokens


def worst_case(policy: Policy, steps: Iterable[Step], zone: str = "") -> int:
    """Return the most that one document's steps can cost, whoever answers in that data zone, each paid once."""
    there = _there(policy, zone)
    return sum(_worst(there, step.tokens) for step in steps if step.tokens is not None)


def most_tokens(policy: Policy, steps: Iterable[Step], zone: str = "") -> int:
    """Return the most tokens that can be billed for one document's steps: by these the worst case is priced."""
    there = _there(policy, zone)
    asked = [step.tokens for step in steps if step.tokens is not None]
    return sum(max(_most_in(route, one) for route in there) + one.most_out for one in asked)


def _there(policy: Policy, zone: str) -> Sequence[Route]:
    return [route for route in policy.routes if not zone or route.zone in {zone, ANYWHERE}] or policy.routes


def _worst(routes: Iterable[Route], tokens: Tokens) -> int:
    return max(route.cost(_most_in(route, tokens), tokens.most_out) for route in routes)


def _most_in(route: Route, tokens: Tokens) -> int:
    return tokens.most_in if route.embedded else MOST_BILLED
