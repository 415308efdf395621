"""Every access to a store fails by itself, in each of three ways, and all of them at a time; all is done afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from local.faults.kinds import Kind
from local.faults.oracle import findings
from local.faults.process import EFFECTS
from local.faults.weather import Plan
from local.faults.world import World

_FEW, _MORE = 10, 60  # tasks
READS = (
    *("tasks.load", "tasks.last_sequence", "journal.find", "approvals.find", "documents.read"),
    *("ledger.account", "ledger.lease", "ledger.draw", "cache.get"),
)
SWEPT = frozenset(
    {"outbox.unsent", "tasks.parked", "tasks.page", "approvals.pending", "ledger.overdue", "ledger.draws"}
)  # now and then
POISON = frozenset({"records.park", "dead_letters.bury"})
WAYS = {"timeout": Kind.TIMEOUT, "execute and time out": Kind.LOST_ANSWER, "resource exhausted": Kind.EXHAUSTED}
RARE = frozenset({"approvals.find", "cache.put", "cache.get", "documents.read"})
ALONE = [
    (way, method)
    for way in WAYS
    for method in sorted((EFFECTS - POISON) | set(READS))
    if way != "execute and time out" or method in EFFECTS  # a read has no effect
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Handlers log each fault that they are given."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def outage(way: str, method: str, share: float, tasks: int) -> tuple[World, list[str]]:
    """Live through an outage, and then on until all is done."""
    world = World(Plan(3, 0, tasks, frozenset({WAYS[way]}), method=method, share=share))
    try:
        return world, findings(world, rests=world.run())
    finally:
        world.close()


@pytest.mark.parametrize("way", WAYS)
def test_one_in_a_hundred_accesses_fails(way: str) -> None:
    """When each access to any store fails once in a hundred times, every task is done, once."""
    world, wrong = outage(way, "*", 0.01, _MORE)
    assert wrong == []
    assert len(world.weather.struck_at) >= 4


@pytest.mark.parametrize(("way", "method"), ALONE)
def test_one_in_ten_of_one_access_fails(way: str, method: str) -> None:
    """When one access fails once in ten times, with its effect or without, every task is done, once."""
    world, wrong = outage(way, method, 0.10, _MORE if method in RARE else _FEW)
    assert wrong == []
    assert method in world.weather.struck_at


def test_no_access_is_left_out() -> None:
    """What a storm accesses is what the outages strike, or what happens now and then and is struck by storms alone."""
    world, _ = outage("timeout", "*", 0.05, _MORE)
    assert set(world.weather.struck_at) <= EFFECTS | set(READS) | SWEPT
