"""Whatever replicas do to one another while they spend, the invariant holds and every lease ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.ledger_machine import LedgerMachine
from tests.core.ledger_planted import PLANTED

if TYPE_CHECKING:
    from tests.core.ledger_planted import Plant

OPERATIONS = int(os.environ.get("AGENTFABRIC_OPERATIONS", "10000"))
OPERATIONS_TO_FIND = 3000
STEPS = 100
_LEAST = 60  # operations in a history of so many steps, on average

# The same histories each time; a failure prints itself as a program, which belongs in test_ledger_histories.py.
COMMON = settings(
    deadline=None,
    derandomize=True,
    database=None,
    stateful_step_count=STEPS,
    suppress_health_check=list(HealthCheck),
)


def test_ten_thousand_operations_leak_nothing() -> None:
    """In random histories of 10,000 operations by three replicas nothing leaks and everything ends."""
    before = LedgerMachine.operations
    run_state_machine_as_test(LedgerMachine, settings=settings(COMMON, max_examples=-(-OPERATIONS // _LEAST)))
    assert LedgerMachine.operations - before >= OPERATIONS


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bug that somebody might write is found by the same histories, a third of them at most."""
    plant(monkeypatch)
    some = settings(
        COMMON, max_examples=-(-OPERATIONS_TO_FIND // _LEAST), phases=(Phase.generate,), report_multiple_bugs=False
    )
    with pytest.raises((AssertionError, ValueError)):
        run_state_machine_as_test(LedgerMachine, settings=some)
