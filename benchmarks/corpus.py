"""Documents to review: licence texts, each with a copyright line of its own, so that no two are the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from identify.vendor.licenses import LICENSES

# What most packages carry, all of which policy lets pass without a human.
KINDS = ("MIT", "BSD-3-Clause", "Apache-2.0", "BSD-2-Clause", "ISC")


def write(folder: Path, count: int) -> None:
    """Write `count` different documents, 500 to a folder."""
    for number in range(count):
        path = folder / f"part-{number // 500:04}" / f"LICENSE-{number:06}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_document(number), encoding="utf-8")


def kind_of(name: str) -> str:
    """Return the licence in the document of that name."""
    return KINDS[int(name.rpartition("-")[2].removesuffix(".txt")) % len(KINDS)]


def _document(number: int) -> str:
    text = _texts()[KINDS[number % len(KINDS)]]
    return f"Copyright (c) {1990 + number % 36} The authors of package number {number}\n\n{text}"


@cache
def _texts() -> Mapping[str, str]:
    return dict(LICENSES)
