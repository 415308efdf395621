"""How often a cache that answers by likeness is wrong, how often it helps, and what a look-up costs.

Two texts lie near each other or not (a threshold), and agree in all words but years of copyrights, or not: each is
tried alone and both together, by embedder. A rate comes with the bound that holds 95 times in 100.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from math import sqrt
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.runner import Effort, Row, each, in_turns
from benchmarks.semantic_pairs import Pair, pairs
from providers.embedders import embedder
from shared.app.nearby import Nearby
from shared.core.likeness import Place, deciding, similarity
from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.core.likeness import Vector
    from shared.ports import Embedder

_THRESHOLDS = (0.90, 0.95, 0.98, 0.99, 0.999)
_ONE_IN_FORTY = 1.96  # standard deviations, to either side
_NONE_IN = 3.0  # nothing in n tries: at most 3 in n
_ALONE, _BOTH = "alone", "and the words agree"


class Seen(NamedTuple):
    """A pair as a cache sees it."""

    kind: str
    right: bool
    similarity: float
    agree: bool


class Tally(NamedTuple):
    """How many of the pairs were hits."""

    hits: int
    tries: int

    @property
    def rate(self) -> float:
        """The share, in percent."""
        return 100 * self.hits / self.tries

    @property
    def at_most(self) -> float:
        """The upper end of Wilson's interval, in percent; 3 in n when there was none."""
        if not self.hits:
            return min(100.0, 100 * _NONE_IN / self.tries)
        share, square = self.hits / self.tries, _ONE_IN_FORTY**2 / self.tries
        spread = _ONE_IN_FORTY * sqrt(share * (1 - share) / self.tries + square / (4 * self.tries))
        return min(100.0, 100 * (share + square / 2 + spread) / (1 + square))

    def __str__(self) -> str:
        return f"{self.hits} of {self.tries}"


def rows(effort: Effort) -> Iterator[Row]:
    """Yield what each embedder comes to, and what it costs."""
    places, licences = effort.pick(full=3, quick=1, tiny=1), effort.pick(full=100, quick=12, tiny=4)
    known = pairs(places, licences)
    for name in ("lexical", "minilm"):
        made = embedder(name)
        try:
            made.embed(["Is it there?"])
        except Permanent as lacking:
            yield Row(f"{name}: wrong hits", "%", [], note=str(lacking))
            continue
        seen = look(made, known)
        yield from _rates(name, seen)
        yield from _costs(name, made, effort)
    yield from _words_alone(known)


def look(made: Embedder, known: list[Pair]) -> list[Seen]:
    """Return the pairs as a cache with this embedder sees them."""
    texts = list(dict.fromkeys(text for pair in known for text in (pair.kept, pair.asked)))
    points: dict[str, Vector] = {text: made.embed([text])[0] for text in texts}
    digests = {text: deciding(text) for text in texts}
    return [
        Seen(
            pair.kind,
            pair.right,
            similarity(points[pair.kept], points[pair.asked]),
            digests[pair.kept] == digests[pair.asked],
        )
        for pair in known
    ]


def tally(seen: list[Seen], threshold: float, *, right: bool, agree: bool) -> Tally:
    """Count the hits among the pairs that should be hits, or among those that should not."""
    told = [one for one in seen if one.right is right]
    return Tally(sum(one.similarity >= threshold and (one.agree or not agree) for one in told), len(told))


def _rates(name: str, seen: list[Seen]) -> Iterator[Row]:
    for agree, how in ((False, _ALONE), (True, _BOTH)):
        for threshold in _THRESHOLDS:
            wrong = tally(seen, threshold, right=False, agree=agree)
            right = tally(seen, threshold, right=True, agree=agree)
            yield Row(
                f"{name} ≥ {threshold:g}, {how}: wrong hits at most",
                "%",
                [wrong.at_most],
                peer=f"right hits {right.rate:.0f} %",
                note=f"wrong {wrong} ({_kinds(seen, threshold, right=False, agree=agree)}); "
                f"right {right} ({_kinds(seen, threshold, right=True, agree=agree)})",
            )


def _kinds(seen: list[Seen], threshold: float, *, right: bool, agree: bool) -> str:
    told = [one for one in seen if one.right is right]
    tries = Counter(one.kind for one in told)
    hits = Counter(one.kind for one in told if one.similarity >= threshold and (one.agree or not agree))
    return ", ".join(f"{kind} {hits[kind]}/{tries[kind]}" for kind in tries)


def _words_alone(known: list[Pair]) -> Iterator[Row]:
    seen = [Seen(pair.kind, pair.right, 1.0, deciding(pair.kept) == deciding(pair.asked)) for pair in known]
    wrong, right = (tally(seen, 0.0, right=one, agree=True) for one in (False, True))
    yield Row(
        "the words agree, no embedder: wrong hits at most",
        "%",
        [wrong.at_most],
        peer=f"right hits {right.rate:.0f} %",
        note=f"wrong {wrong} ({_kinds(seen, 0.0, right=False, agree=True)}); right {right}",
    )


def _costs(name: str, made: Embedder, effort: Effort) -> Iterator[Row]:
    texts = {len(pair.kept): pair.kept for pair in pairs(1, 8) if pair.kind == "another layout"}
    repeats = max(effort.repeats, effort.pick(full=15, quick=5, tiny=1))
    for text in (texts[min(texts)], texts[max(texts)]):
        samples = [_milliseconds(made, text) for _ in range(repeats)]
        note = f"median of {repeats}, a text of {len(text):,} characters, as a process that has loaded what it needs"
        yield Row(f"{name}: a point for {len(text):,} characters", "ms", [median(samples)], note=note)
    nearby = Nearby(made)
    (vector,) = made.embed(["It leaks."])
    for number in range(256):
        for name_number in range(4):
            nearby.keep("acme", "question", Place(vector, f"wording {number}"), f"{number} {name_number}")
    place = Place(vector, "wording 7")

    def search() -> None:
        assert nearby.find("acme", "question", place, 0.9)

    (found,) = in_turns(effort.repeats, each(search, effort.pick(full=2_000, quick=500, tiny=20), scale=1e6))
    yield Row(
        f"{name}: search among a tenant's most", "µs", found, note="256 wordings with 4 texts each; plain Python, exact"
    )


def _milliseconds(made: Embedder, text: str) -> float:
    began = time.perf_counter()
    made.embed([text])
    return (time.perf_counter() - began) * 1000
