"""Which sentences of a text say most: those with the reader's cues, near the beginning, on the text's subject.

Knows sentences and words; what the cues are is the caller's business.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from shared.core.text import clipped, lowered, sentences, words

_SHORTEST = 30  # what is shorter is a heading
_CUES = 2  # more cues than this in one sentence are chance
_LONG_WORD = 4  # shorter words hardly say what a text is about
_SUBJECT = 30  # words that say what a text is about


@dataclass(frozen=True, slots=True)
class _Sentence:
    start: int
    end: int
    said: list[str]
    cues: int
    worth: float


def quotations(text: str, cues: tuple[str, ...], most: int, length: int) -> list[tuple[int, int]]:
    """Return the spans of at most `most` sentences, in the text's order, together at most `length` long.

    When the text has sentences with cues, it is only those that are quoted.
    """
    weighed = _weighed(text, cues, length // most)
    chosen: list[_Sentence] = []
    for sentence in sorted(weighed, key=lambda one: (-one.worth, one.start)):
        if len(chosen) == most:
            break
        if not any(_says_the_same(sentence, other) for other in chosen):
            chosen.append(sentence)
    chosen = [one for one in chosen if one.cues] or chosen
    each = length // max(len(chosen), 1)
    return [clipped(text, one.start, one.end, each) for one in sorted(chosen, key=lambda one: one.start)]


def _weighed(text: str, cues: tuple[str, ...], roomy: int) -> list[_Sentence]:
    lower = lowered(text)
    spoken = words(lower)
    subject = _subject(spoken)
    said_of = f" {' '.join(spoken)} "
    present = [cue for cue in _padded(cues) if cue in said_of]
    spans = list(sentences(text))
    spans = [(start, end) for start, end in spans if end - start >= _SHORTEST] or spans
    weighed = []
    for position, (start, end) in enumerate(spans):
        said = words(lower[start:end])
        cued = _cued(said, present)
        central = sum(map(subject.__getitem__, subject.keys() & said))
        worth = 0.7 * cued + 0.5 * (1 - position / len(spans)) + min(central, 1.0)
        worth -= _shouting(text[start:end]) + (0.3 if end - start > roomy else 0.0)
        weighed.append(_Sentence(start, end, said, cued, worth))
    return weighed


def _subject(spoken: list[str]) -> dict[str, float]:
    """Return the words the text is about, each with its part of a sentence's worth."""
    often = ((times, word) for word, times in Counter(spoken).items() if times > 1 and len(word) > _LONG_WORD)
    top = sorted(often, reverse=True)[:_SUBJECT]
    return {word: times / top[0][0] / 10 for times, word in top}


def _cued(said: list[str], cues: list[str]) -> int:
    if not cues:
        return 0
    joined = f" {' '.join(said)} "
    return min(len([cue for cue in cues if cue in joined]), _CUES)


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
