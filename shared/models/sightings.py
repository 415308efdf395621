"""Which classes a text shows signs of, where, and how sure one may be: wording, phrases, keywords.

Knows class profiles and words. The signs, from strong to weak: a reference's wording (its score is
the likeness), a phrase which decides (a class is named, its text is not there: 0.85), keywords (at
most 0.8, the more of them and the fewer of another class, the more).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from shared.core.text import lowered, words
from shared.models.wording import Passage, Wordings

if TYPE_CHECKING:
    from shared.core.completion import ClassProfile

NAMED = 0.85
_THE_TEXT = 0.95  # a wording as alike as this is the text itself
_LONG = 400  # words; a text as long as this may mention others
_ALIKE = 0.5  # less than this is another text on the same subject
_BY_KEYWORDS = 0.8
_ENOUGH = 2.0  # keyword weight that makes a score of 63 % of the most there is


@dataclass(frozen=True, slots=True)
class Sighting:
    """A sign of a class, between two positions of words; `phrase` is what to quote."""

    name: str
    start: int
    end: int
    score: float
    what: str
    phrase: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Phrase:
    name: int
    words: tuple[str, ...]
    rarest: str

    @property
    def padded(self) -> str:
        return f" {' '.join(self.words)} "


class Heard:
    """The words of one text, in the forms that looking for signs needs."""

    def __init__(self, lower: str, known: Wordings) -> None:
        self.words = words(lower)
        self.kinds = known.kinds(self.words)
        self.passages = known.passages(self.kinds)
        self.joined = f" {' '.join(self.words)} "
        self.vocabulary = frozenset(self.words)

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each word is there."""
        return Counter(self.words)

    def places(self, phrase: _Phrase, most: int = 6) -> Iterator[int]:
        """Yield the positions of words at which a phrase stands."""
        padded, at = phrase.padded, -1
        for _ in range(most):
            at = self.joined.find(padded, at + 1)
            if at < 0:
                return
            yield self.joined.count(" ", 0, at)

    def times(self, phrase: _Phrase) -> int:
        """Count how often a phrase is there."""
        if phrase.rarest not in self.vocabulary:
            return 0
        return self.counts[phrase.rarest] if len(phrase.words) == 1 else self.joined.count(phrase.padded)


class Signs:
    """What a set of classes is recognised by, prepared once."""

    def __init__(self, classes: Sequence[ClassProfile]) -> None:
        self.names = [known.name for known in classes]
        references = {key: known.reference for key, known in enumerate(classes) if known.reference}
        self.wordings = Wordings(references)
        common = Counter(word for text in references.values() for word in words(lowered(text)))
        self._markers = [_phrase(key, text, common) for key, known in enumerate(classes) for text in known.markers]
        self._keywords = [_phrase(key, text, common) for key, known in enumerate(classes) for text in known.keywords]
        self._sharers = Counter(phrase.words for phrase in self._keywords)

    def sightings(self, text: Heard) -> list[Sighting]:
        """Return the signs of classes in the order in which the text shows them.

        A class whose wording is explained by another's is left out. A deciding phrase within a wording
        that does not have it makes the passage a variant, its own; in a long text that is quite the
        reference's it is a mention.
        """
        passages = _apart([one for one in text.passages if one.likeness >= _ALIKE])
        seen = {passage: self._worded(passage, text) for passage in passages}
        loose: dict[str, Sighting] = {}
        for name, phrase, at in self._unexplained(text, passages):
            within = next((one for one in passages if one.start <= at < one.end), None)
            if within is None or _may_mention(within):
                loose[name] = _earliest(loose.get(name), self._named(phrase, at))
            elif seen[within].name == self.names[within.reference]:
                seen[within] = self._taken_over(seen[within], phrase)
        found = (*seen.values(), *_longest(list(loose.values())))
        return sorted(found, key=lambda one: (one.start, -one.score))

    def alike(self, text: Heard) -> list[str]:
        """Return every class whose wording the text resembles, the most alike first, explained or not."""
        return [self.names[one.reference] for one in text.passages]

    def by_keywords(self, text: Heard) -> list[Sighting]:
        """Return the classes whose keywords the text has, the surest first."""
        found = [(phrase, text.times(phrase)) for phrase in self._keywords]
        weight: dict[int, float] = {}
        for phrase, times in found:
            if times:
                worth = (1 + math.log(times)) / self._sharers[phrase.words]
                weight[phrase.name] = weight.get(phrase.name, 0.0) + worth
        return sorted(
            (self._keyworded(key, weight, found, text) for key in weight),
            key=lambda one: (-one.score, self.names.index(one.name)),
        )

    def _unexplained(self, text: Heard, passages: Sequence[Passage]) -> Iterator[tuple[str, _Phrase, int]]:
        for phrase in (phrase for phrase in self._markers if phrase.rarest in text.vocabulary):
            for at in text.places(phrase):
                if not any(self._explains(one, phrase, at, text) for one in passages):
                    yield self.names[phrase.name], phrase, at
                    break

    def _explains(self, passage: Passage, phrase: _Phrase, at: int, text: Heard) -> bool:
        """Tell whether a phrase is part of a passage's own wording."""
        if not passage.start <= at < passage.end:
            return False
        if passage.reference == phrase.name:
            return True
        said = text.kinds[max(at - 1, 0) : at + max(len(phrase.words) - 1, 1)]
        return self.wordings.knows(passage.reference, said)

    def _worded(self, passage: Passage, text: Heard) -> Sighting:
        name = self.names[passage.reference]
        opening = tuple(text.words[passage.start : passage.start + 12])
        what = f"wording {_percent(passage.likeness)} alike the reference text of {name}"
        return Sighting(name, passage.start, passage.end, passage.likeness, what, opening)

    def _named(self, phrase: _Phrase, at: int) -> Sighting:
        name = self.names[phrase.name]
        what = f"phrase which decides for {name}"
        return Sighting(name, at, at + len(phrase.words), NAMED, what, phrase.words)

    def _taken_over(self, sighting: Sighting, phrase: _Phrase) -> Sighting:
        name = self.names[phrase.name]
        what = f"phrase which decides for {name}, in a wording {_percent(sighting.score)} alike {sighting.name}"
        return replace(sighting, name=name, score=NAMED, what=what, phrase=phrase.words)

    def _keyworded(
        self, key: int, weight: dict[int, float], found: Sequence[tuple[_Phrase, int]], text: Heard
    ) -> Sighting:
        own = [(phrase, times) for phrase, times in found if times and phrase.name == key]
        rival = max((value for other, value in weight.items() if other != key), default=0.0)
        sure = weight[key] / (weight[key] + rival) * (1 - math.exp(-weight[key] / _ENOUGH))
        said = ", ".join(f"{' '.join(phrase.words)} ({times})" for phrase, times in own[:6])
        first = next(text.places(own[0][0]), 0)
        phrase = own[0][0].words
        return Sighting(self.names[key], first, first + len(phrase), _BY_KEYWORDS * sure, f"keywords: {said}", phrase)


def _phrase(name: int, text: str, common: Counter[str]) -> _Phrase:
    said = tuple(words(lowered(text))) or (text,)
    return _Phrase(name, said, min(said, key=lambda word: (common[word], -len(word))))


def _percent(share: float) -> str:
    """Round down: only what is the same is 100 % alike."""
    return f"{math.floor(share * 100)} %"


def _earliest(one: Sighting | None, other: Sighting) -> Sighting:
    return other if one is None or other.start < one.start else one


def _may_mention(passage: Passage) -> bool:
    return passage.likeness >= _THE_TEXT and passage.end - passage.start >= _LONG


def _longest(named: Sequence[Sighting]) -> list[Sighting]:
    """Leave out names that are the beginning of a longer one: who says MIT-0 does not say MIT."""
    return [
        one
        for one in named
        if not any(
            other.start <= one.start and one.end <= other.end and len(other.phrase) > len(one.phrase) for other in named
        )
    ]


def _apart(passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages, best first, that do not lie mostly within a better one."""
    kept: list[Passage] = []
    for one in passages:
        covered = max((min(one.end, other.end) - max(one.start, other.start) for other in kept), default=0)
        if covered < (one.end - one.start) / 2:
            kept.append(one)
    return kept
