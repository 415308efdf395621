"""Two hundred runs at a time reserve the most they may spend: no limit is passed, and all of it comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from local.faults.kinds import ROUGH, Kind, Rates
from local.faults.oracle import findings
from local.faults.provider import policy
from local.faults.weather import Plan
from local.faults.world import World
from shared.core import granting

_CLIENTS = 280
_RUNS = 72  # of one document, of each tenant, at a time; some have two
_WORST = 399_360  # micro-USD: what a run of one document reserves
LIMIT = _RUNS * _WORST
RACES = Rates({**ROUGH.accesses, Kind.RIVALS: 0.4}, ROUGH.messages, ROUGH.tasks)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Handlers log each fault that they are given."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def world() -> Iterator[World]:
    """Let more clients come than there is money for."""
    plan = Plan(1, 0, _CLIENTS, frozenset(Kind) - {Kind.SKEW}, RACES)  # at midnight a wrong clock sees another day
    made = World(plan, limits=policy(daily_budget=LIMIT, max_budget=_WORST * 2))
    yield made
    made.close()


def _check_then_act(account: Any, policy: Any, tenant: Any, *asked: Any) -> Any:
    """Check the limit against what is settled alone, and then grant."""
    settled = account._replace(books={name: book._replace(open=0) for name, book in account.books.items()})
    _RIGHT_GRANT(settled, policy, tenant, *asked)
    rich = tenant.model_copy(update={"daily_budget": 10**12, "monthly_budget": 10**12})
    return _RIGHT_GRANT(account, policy, type(tenant).model_validate(rich.model_dump()), *asked)


_RIGHT_GRANT = granting.grant


def test_two_hundred_in_flight_never_pass_a_limit(world: World) -> None:
    """Whatever races and crashes: settled and reserved stay below each limit, some are refused, and nothing is left."""
    world.rush()
    assert world.watch.peak >= 200
    assert findings(world, rests=world.run()) == []
    assert LIMIT * 0.9 < world.watch.most <= LIMIT
    assert "quota-used-up" in world.clients.refused.values()


def test_who_checks_and_then_acts_passes_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: counting only what is settled lets in more than there is money for, and the watch says by how much."""
    monkeypatch.setattr(granting, "grant", _check_then_act)
    world.rush()
    assert world.watch.over
    assert world.watch.most > 1.2 * LIMIT
