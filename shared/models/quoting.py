"""Which sentences of a text say most: those with the reader's cues, near the beginning, on the text's subject.

Knows sentences and words; what the cues are is the caller's business.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from shared.core.text import clipped, lowered, sentences, words

_SHORTEST = 30
_CUES = 3  # more cues than this in one sentence are chance
_LONG_WORD = 4  # shorter words hardly say what a text is about


@dataclass(frozen=True, slots=True)
class _Sentence:
    start: int
    end: int
    said: tuple[str, ...]
    worth: float


def quotations(text: str, cues: tuple[str, ...], most: int, length: int) -> list[tuple[int, int]]:
    """Return the spans of at most `most` sentences, in the text's order, together at most `length` long."""
    weighed = _weighed(text, cues)
    chosen: list[_Sentence] = []
    for sentence in sorted(weighed, key=lambda one: (-one.worth, one.start)):
        if len(chosen) == most:
            break
        if not any(_says_the_same(sentence, other) for other in chosen):
            chosen.append(sentence)
    each = length // max(len(chosen), 1)
    return [clipped(text, one.start, one.end, each) for one in sorted(chosen, key=lambda one: one.start)]


def _weighed(text: str, cues: tuple[str, ...]) -> list[_Sentence]:
    lower = lowered(text)
    split = [(start, end, tuple(words(lower[start:end]))) for start, end in sentences(text)]
    split = [one for one in split if one[1] - one[0] >= _SHORTEST] or [one for one in split if one[2]]
    subject = Counter(word for _, _, said in split for word in said if len(word) > _LONG_WORD)
    top = dict(subject.most_common(40))
    most = max(top.values(), default=1)
    padded_cues = _padded(cues)
    weighed = []
    for position, (start, end, said) in enumerate(split):
        centrality = sum(top.get(word, 0) for word in set(said)) / most / 10
        worth = 0.5 * (1 - position / len(split)) + min(centrality, 1.0) - _shouting(text[start:end])
        weighed.append(_Sentence(start, end, said, worth + _cued(said, padded_cues)))
    return weighed


def _cued(said: tuple[str, ...], cues: tuple[str, ...]) -> float:
    if not cues:
        return 0.0
    joined = f" {' '.join(said)} "
    return 0.7 * min(sum(cue in joined for cue in cues), _CUES)


def _shouting(sentence: str) -> float:
    """Weigh a passage in capitals less: disclaimers shout, obligations do not."""
    return 1.5 if sentence.isupper() else 0.0


def _says_the_same(one: _Sentence, other: _Sentence) -> bool:
    first, second = set(one.said), set(other.said)
    return len(first & second) > 0.7 * min(len(first), len(second))


@lru_cache(maxsize=16)
def _padded(cues: tuple[str, ...]) -> tuple[str, ...]:
    spoken = (words(lowered(cue)) for cue in cues)
    return tuple(f" {' '.join(cue)} " for cue in spoken if cue)
