"""What steps can cost at most, at the prices of the policy in force. Micro-USD."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shared.core.notes import MOST_NAMED, named
from shared.core.phrasing import MOST_BILLED
from shared.core.routing import ANYWHERE
from shared.events.routing import Refused

if TYPE_CHECKING:
    from shared.core.policy import Policy
    from shared.core.routing import Route
    from shared.core.workflow import Step, Tokens


class Prices(NamedTuple):
    """What a decision was made with: the prices in force, who may be asked at them, and who may not."""

    version: str = ""
    candidates: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()


def prices(policy: Policy, zone: str = "") -> Prices:
    """Return the prices in force, with those who may be asked in that data zone."""
    if not zone:
        return Prices(policy.price_version, tuple(route.name for route in policy.routes[:MOST_NAMED]))
    there = [route.name for route in policy.routes if route.zone in {zone, ANYWHERE}]
    others = ((one.name, f"in data zone {one.zone or 'unknown'}, not {zone}") for one in policy.routes)
    return Prices(
        policy.price_version, tuple(there[:MOST_NAMED]), named(one for one in others if one[0] not in there).refused
    )


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
