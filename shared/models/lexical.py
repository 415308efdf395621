"""Texts as points without a model: how often which five characters stand in a row. No weights, no packages.

It sees spelling, not sense: two texts lie near each other when they are written alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from zlib import crc32

from shared.core.text import collapsed, lowered

_GRAM = 5
_DIMENSIONS = 512
_SIGN = 1 << 31  # grams that share a dimension cancel each other out, on average


class Lexical:
    """`Embedder` by hashed n-grams of characters, weighted by the root of their counts."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a point at unit length for each text."""
        return [_point(text) for text in texts]


def _point(text: str) -> list[float]:
    said = f" {collapsed(lowered(text))} ".encode(errors="replace")
    grams = Counter(said[start : start + _GRAM] for start in range(max(1, len(said) - _GRAM + 1)))
    point = [0.0] * _DIMENSIONS
    for gram, count in grams.items():
        hashed = crc32(gram)
        point[hashed % _DIMENSIONS] += sqrt(count) if hashed & _SIGN else -sqrt(count)
    length = sqrt(sum(value * value for value in point)) or 1.0
    return [value / length for value in point]
