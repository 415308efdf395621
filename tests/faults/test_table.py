"""The table of faults names what there is: each test it points at exists, and each kind of a storm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.faults.kinds import Kind

_ROOT = Path(__file__).parents[2]
_TEXT = (_ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
_ROWS = [line for line in _TEXT.splitlines() if re.match(r"\| \d+ \|", line)]
_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", _TEXT)))


def test_every_fault_has_a_row() -> None:
    """The faults are numbered from 1 to 31, and each row says what shows it, or that nothing does yet."""
    assert [int(row.split("|")[1]) for row in _ROWS] == list(range(1, 32))
    for row in _ROWS:
        shown = row.split("|")[4]
        assert "::test_" in shown or "storm: " in shown or "not shown yet" in shown


@pytest.mark.parametrize("named", _TESTS)
def test_a_named_test_exists(named: str) -> None:
    """What the table points at is there under that name."""
    path, _, name = named.partition("::")
    assert re.search(rf"^def {name}\(", (_ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_storm_has_the_kinds_that_are_named() -> None:
    """Each kind that a row names is one, and each kind but a plain crash is named."""
    named = {kind for row in _ROWS for kind in re.findall(r"storm: ([a-z-]+)", row)}
    assert named == set(Kind) - {Kind.CRASH_BEFORE}
