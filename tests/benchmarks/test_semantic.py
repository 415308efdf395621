"""The measure of wrong hits: its pairs are what they say, its bounds hold, and what it found still holds."""

from __future__ import annotations

import pytest

from benchmarks.semantic import Tally, look, tally
from benchmarks.semantic_pairs import RIGHT, pairs
from providers.embedders import embedder
from shared.core.policy import TenantPolicy

PAIRS = pairs(1, 8)


def test_the_set_has_pairs_of_both_sorts() -> None:
    """Each kind of pair is there, and no pair is one text twice."""
    kinds = {pair.kind for pair in PAIRS}
    assert kinds > RIGHT
    assert {"another licence", "a denial more or less", "another number", "another party", "a part of it"} < kinds
    assert [pair for pair in PAIRS if pair.kept == pair.asked] == []


@pytest.mark.parametrize(("hits", "tries", "at_most"), [(0, 300, 1.0), (0, 2, 100.0), (5, 100, 11.18), (10, 10, 100.0)])
def test_a_rate_is_bounded(hits: int, tries: int, at_most: float) -> None:
    """None in n is at most 3 in n; else it is the upper end of Wilson's interval."""
    assert Tally(hits, tries).at_most == pytest.approx(at_most, abs=0.01)


def test_a_threshold_alone_does_not_tell_right_from_wrong() -> None:
    """At the default threshold, texts that say the contrary lie near enough: that is why words are compared, too."""
    seen = look(embedder("lexical"), PAIRS)
    threshold = TenantPolicy().semantic_threshold
    alone = tally(seen, threshold, right=False, agree=False)
    assert alone.rate > 10
    assert tally(seen, threshold, right=False, agree=True).hits == 0
    assert tally(seen, threshold, right=True, agree=True).rate > 20
