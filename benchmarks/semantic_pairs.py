"""Pairs of texts for a cache that answers by likeness: an answer about the first is right for the second, or wrong.

Made of the licence texts on this machine: as people pass them on, and changed in one place so that they say another
thing. Knows texts; asks no model and no cache.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from random import Random
from typing import NamedTuple

from identify.vendor.licenses import LICENSES

from local.licences import installed_licences

_HOLDER = re.compile(
    r"[\[<]?\b(?:year|yyyy)\b[\]>]?,?\s+[\[<](?:fullname|name of (?:copyright )?owner|copyright holders?)[\]>]"
)
_MODAL = re.compile(r"\b(?:may|shall|must|will|is|are)\b(?! not)")
_DENIAL = re.compile(r"\b(?:not|NOT)\s+")
_NUMBER = re.compile(r"(?<![\w.])\d{1,3}(?![\w.]*\d)")
_SENTENCE = re.compile(r"(?<=[.;:])\s+(?=[A-Z(\d])")
_LONG = 12_000  # characters; longer ones are only compared with other licences
_LIKE, _PART = 1.2, 2.0  # two files of one licence are both whole, or one is a part of the other
_YEARS = ("2020", "2011-2026", "1998, 2004, 2011")
RIGHT = frozenset({"another year", "another holder", "another layout", "another package"})
_OPPOSITES = (
    ("granted", "denied"),
    ("with", "without"),
    ("without", "with"),
    ("include", "exclude"),
    ("included", "omitted"),
    ("permitted", "forbidden"),
    ("all", "some"),
    ("any", "no"),
    ("and", "or"),
    ("free", "subject"),
    ("before", "after"),
)
_PARTIES = (
    ("You", "Licensor"),
    ("Licensor", "You"),
    ("Contributor", "Recipient"),
    ("Recipient", "Contributor"),
    ("Permission", "Prohibition"),
    ("Redistribution", "Use"),
    ("Redistributions", "Uses"),
    ("Everyone", "Nobody"),
    ("Copyright", "Patent"),
    ("Source", "Object"),
    ("Work", "Contribution"),
)
_HOLDERS = (
    "2019 Jane Doe",
    "1998-2024 The Example Authors",
    "2007, 2011 Ministry of Silly Talks <legal@example.org>",
    "2023 ACME Corporation. All rights reserved.",
    "2015 by Rosa Q. Rossi",
    "2022 Jane Doe and other contributors",
)
_CREDITS = (
    "Commercial Licence",
    "Proprietary And Confidential",
    "All Rights Withdrawn",
    "GPL",
    "Licensed Under The GPL Version 3",
    "Public Domain",
    "Evaluation Copy",
    "Not For Redistribution",
    "Trial Edition",
    "Internal Copy",
    "Sale Restricted",
    "Academic Purposes",
    "Draft",
    "Beerware",
)
_MIT_NOTICE = re.compile(r"\s*The above copyright notice and this permission notice.*?Software\.", re.DOTALL)


class Pair(NamedTuple):
    """`kind` says how the second text came from the first."""

    kind: str
    kept: str
    asked: str

    @property
    def right(self) -> bool:
        """Whether an answer about the first text holds for the second."""
        return self.kind in RIGHT


def pairs(places: int, licences: int = 100) -> list[Pair]:
    """Return the pairs: of that many licences, each edit in so many places of a text; always the same ones."""
    random = Random(4)
    texts = dict(list(_texts().items())[:licences])
    made = [*_holders(texts, places), *_layouts(texts), *_packages(random, 40 * places)]
    made += [Pair("another licence", one, other) for one, other in combinations(texts.values(), 2)]
    for kind, edit in _EDITS.items():
        for text in texts.values():
            changed = list(dict.fromkeys(edit(text))) if len(text) <= _LONG else []
            chosen = random.sample(changed, min(places, len(changed)))
            made += [Pair(kind, text, other) for other in chosen if other.split() != text.split()]
    return made


@cache
def _texts() -> dict[str, str]:
    texts = {name: _held(text, _HOLDERS[0]) for name, text in LICENSES}
    if "MIT" in texts:
        texts["MIT-0"] = _MIT_NOTICE.sub("", texts["MIT"])
    first = ("MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "ISC", "0BSD", "Apache-2.0")
    return {name: texts[name] for name in (*first, *(name for name in texts if name not in first))}


def _held(text: str, holder: str) -> str:
    filled, places = _HOLDER.subn(lambda _: holder, text)
    return filled if places else f"Copyright (c) {holder}\n\n{text}"


def _holders(texts: dict[str, str], places: int) -> Iterator[Pair]:
    for text in texts.values():
        for holder in _HOLDERS[1 : places + 1]:
            yield Pair("another holder", text, text.replace(_HOLDERS[0], holder, 1))
        for years in _YEARS[:places]:
            yield Pair("another year", text, text.replace("2019 Jane Doe", f"{years} Jane Doe", 1))


def _layouts(texts: dict[str, str]) -> Iterator[Pair]:
    for text in texts.values():
        paragraphs = re.split(r"\n\s*\n", text)
        narrow = "\n\n".join(textwrap.fill(" ".join(one.split()), 60) for one in paragraphs)
        yield Pair("another layout", text, narrow)
        yield Pair("another layout", text, textwrap.indent(text, "    ").replace("\n", "\r\n"))


def _packages(random: Random, most: int) -> list[Pair]:
    """Compare licence files of packages here that name one licence: equal, another one, or a part of it."""
    files = {}
    for file in installed_licences():
        if len(file.declared) == 1 and "*" not in file.declared[0]:
            files[file.path.read_text(encoding="utf-8", errors="replace")] = file.declared[0]
    found: dict[str, list[Pair]] = {"another package": [], "another package's licence": [], "a part of it": []}
    for (one, licence), (other, named) in combinations(files.items(), 2):
        ratio = max(len(one), len(other)) / max(1, min(len(one), len(other)))
        if licence != named:
            found["another package's licence"].append(Pair("another package's licence", one, other))
        elif ratio <= _LIKE:
            found["another package"].append(Pair("another package", one, other))
        elif ratio >= _PART:
            found["a part of it"].append(Pair("a part of it", one, other))
    return [pair for kind in found.values() for pair in random.sample(kind, min(most, len(kind)))]


def _denied(text: str) -> Iterator[str]:
    yield from (f"{text[: at.end()]} not{text[at.end() :]}" for at in _MODAL.finditer(text))
    yield from (text[: at.start()] + text[at.end() :] for at in _DENIAL.finditer(text))


def _renumbered(text: str) -> Iterator[str]:
    body = text.find("\n\n") + 1
    for at in _NUMBER.finditer(text, body):
        yield f"{text[: at.start()]}{int(at[0]) + 1}{text[at.end() :]}"


def _shortened(text: str) -> Iterator[str]:
    sentences = _SENTENCE.split(text)
    for place, sentence in enumerate(sentences):
        if len(sentence.split()) > 3:  # noqa: PLR2004  a heading is no sentence
            yield " ".join([*sentences[:place], *sentences[place + 1 :]])


def _halved(text: str) -> Iterator[str]:
    yield text[: len(text) // 2]
    yield text[: len(text) * 9 // 10]


def _credited(text: str) -> Iterator[str]:
    for credit in _CREDITS:
        yield text.replace(_HOLDERS[0], f"{_HOLDERS[0]}, {credit}", 1)


def _replaced(words: tuple[tuple[str, str], ...]) -> Callable[[str], Iterator[str]]:
    def edit(text: str) -> Iterator[str]:
        for word, other in words:
            for at in re.finditer(rf"\b{word}\b(?! \(c\))", text):
                yield text[: at.start()] + other + text[at.end() :]

    return edit


_EDITS: dict[str, Callable[[str], Iterator[str]]] = {
    "a denial more or less": _denied,
    "another number": _renumbered,
    "a sentence less": _shortened,
    "cut short": _halved,
    "an opposite": _replaced(_OPPOSITES),
    "another party": _replaced(_PARTIES),
    "more in the credit": _credited,
}
