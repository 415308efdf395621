"""How much of a known wording a text holds, and where: weighted word triples against reference texts.

Knows words and reference texts only. A triple weighs the more the fewer references have it, so that
what tells two texts apart counts for more than what all of them say.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import sub

from shared.core.text import lowered, words

Triple = tuple[str, str, str]

_PLACEHOLDER = re.compile(r"\[[A-Za-z ]{3,30}\]|<[a-z ]{3,30}>")
_UNSEEN = 0  # the kind of a triple that no reference has
_UNSEEN_WEIGHT = 1.0
_CANDIDATES = 6
_WORTH_A_LOOK = 0.35
_ROOM = 150  # words by which a copy may be longer than its reference: names, dates, amended clauses
_DENSE = (10, 6)  # the wording begins and ends where 6 of 10 triples are its own


@dataclass(frozen=True, slots=True)
class Passage:
    """Where a text holds a reference's wording (positions of words) and how alike they are, from 0 to 1."""

    reference: int
    start: int
    end: int
    likeness: float


def triples(spoken: Sequence[str]) -> Iterator[Triple]:
    """Yield each three words which follow each other."""
    return zip(spoken, spoken[1:], spoken[2:], strict=False)


class Wordings:
    """Reference texts, prepared once: triples are of a kind when the same references have them."""

    def __init__(self, references: Mapping[int, str]) -> None:
        spoken = {key: words(lowered(_PLACEHOLDER.sub(" ", text))) for key, text in references.items()}
        owners: dict[Triple, list[int]] = defaultdict(list)
        for key, said in spoken.items():
            for triple in dict.fromkeys(triples(said)):
                owners[triple].append(key)
        kinds = {holders: kind for kind, holders in enumerate(dict.fromkeys(map(tuple, owners.values())), 1)}
        self._kind = {triple: kinds[tuple(holders)] for triple, holders in owners.items()}
        self._owners = ((), *kinds)
        count = len(references)
        self._weight = [_UNSEEN_WEIGHT, *(math.log(1 + count / len(holders)) for holders in kinds)]
        self._length = {key: max(len(said) - 2, 0) for key, said in spoken.items()}
        self._gain = {
            key: [weight if key in holders else 0.0 for weight, holders in zip(self._weight, self._owners, strict=True)]
            for key in spoken
        }
        self._total = {key: sum(map(self._weight.__getitem__, self.kinds(said))) for key, said in spoken.items()}

    def kinds(self, spoken: Sequence[str]) -> list[int]:
        """Return the kind of each triple of a text, by position."""
        return list(map(self._kind.get, triples(spoken), repeat(_UNSEEN)))

    def passages(self, kinds: Sequence[int]) -> list[Passage]:
        """Return the passages that resemble a reference, the most alike first."""
        found = (self._passage(key, kinds) for key in self._candidates(kinds))
        return sorted((passage for passage in found if passage), key=lambda one: (-one.likeness, one.start))

    def knows(self, reference: int, kinds: Iterable[int]) -> bool:
        """Tell whether all these triples are the reference's own."""
        return all(reference in self._owners[kind] for kind in kinds)

    def _candidates(self, kinds: Sequence[int]) -> list[int]:
        """Return the references of whose wording a fair part is somewhere in the text."""
        held: dict[int, float] = defaultdict(float)
        for kind, times in Counter(kinds).items():
            weight = self._weight[kind] * times
            for key in self._owners[kind]:
                held[key] += weight
        share = {key: weight / self._total[key] for key, weight in held.items()}
        fair = [key for key, part in share.items() if part >= _WORTH_A_LOOK]
        return sorted(fair, key=lambda key: (-share[key], key))[:_CANDIDATES]

    def _passage(self, key: int, kinds: Sequence[int]) -> Passage | None:
        gain = list(map(self._gain[key].__getitem__, kinds))
        start, end = _richest(gain, self._length[key] + min(_ROOM, 20 + self._length[key] // 7))
        start, end = _trimmed(gain, start, end)
        if start >= end:
            return None
        shared = min(sum(gain[start:end]), self._total[key])
        said = sum(map(self._weight.__getitem__, kinds[start:end]))
        return Passage(key, start, end, min(1.0, 2 * shared / (self._total[key] + said)))


def _richest(gain: Sequence[float], size: int) -> tuple[int, int]:
    """Return the window of that size which gains most, the earliest of equals."""
    if len(gain) <= size:
        return 0, len(gain)
    sums = [0.0, *accumulate(gain)]
    gains = list(map(sub, sums[size:], sums))
    best = max(gains)
    start = next(position for position, value in enumerate(gains) if value >= best - 1e-6)
    return start, start + size


def _trimmed(gain: Sequence[float], start: int, end: int) -> tuple[int, int]:
    """Return the part of the window from its first to its last dense stretch."""
    span, least = _DENSE

    def sparse(at: int) -> bool:
        return sum(map(bool, gain[at : at + span])) < least

    while start < end - span and sparse(start):
        start += 1
    while start < end - span and sparse(end - span):
        end -= 1
    while start < end and not gain[start]:
        start += 1
    while start < end and not gain[end - 1]:
        end -= 1
    return start, end
