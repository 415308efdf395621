"""Processes that spend from one file at once, some killed in the middle, leak nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.sqlite.database import Database
from local.sqlite.ledger import SqliteLedger
from tests.contracts.ledger_storm import SEEDS, check_it_was_a_storm, end, operations, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

TENANTS = ("acme", "other")
PROCESSES = 4
_AT_ONCE = 100


def _start(file: Path, seed: str, count: int) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("spending.py")
    words = [sys.executable, str(script), str(file), seed, str(count), *TENANTS]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


def _killed(process: subprocess.Popen[str], after: int) -> int:
    """Kill a process as soon as it has told of so many rounds; return what became of it."""
    for _ in zip(range(after), _lines(process), strict=False):
        pass
    process.send_signal(signal.SIGKILL)
    return process.wait()


def _ended(process: subprocess.Popen[str]) -> Counter[str]:
    lines = list(_lines(process))
    assert process.wait() == 0
    return Counter(json.loads(lines[-1]))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_processes_that_are_killed_leak_nothing(tmp_path: Path, seed: str) -> None:
    """Four processes spend from one file, two die of SIGKILL and begin anew, and whoever looks finds it sound."""
    file = tmp_path / "ledger.db"
    each = operations(10_000) // PROCESSES
    rounds = each // _AT_ONCE
    with closing(Database(file)) as database, closing(Database(file)) as looking, ExitStack() as stack:
        with watched(SqliteLedger(looking), TENANTS, f"seed {seed}"):
            started = [stack.enter_context(_start(file, f"{seed}-{number}", each)) for number in range(PROCESSES)]
            for number in range(2):
                assert _killed(started[number], rounds * (number + 1) // 3) == -signal.SIGKILL
                # The same seed does the same again, as a redelivered message would.
                started[number] = stack.enter_context(_start(file, f"{seed}-{number}", each))
            counts = sum(map(_ended, started), Counter[str]())
        end(SqliteLedger(database), TENANTS)
    check_it_was_a_storm(counts)
