from __future__ import annotations

import math
from importlib import import_module

import pytest

from benchmarks.__main__ import SUBJECTS
from benchmarks.runner import Effort


@pytest.mark.filterwarnings("ignore:azure.functions .*:DeprecationWarning")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_measures_finite_figures(subject: str) -> None:
    """Every subject runs at a tiny size, checks what it measured, and yields rows with finite figures and a note."""
    rows = list(import_module(f"benchmarks.{subject}").rows(Effort("tiny", repeats=1)))
    assert rows
    for row in rows:
        assert row.note
        assert row.ours or row.verdict == "skipped"
        assert all(math.isfinite(sample) and sample > 0 for sample in (*row.ours, *row.theirs))
