"""What a drill reviews: the licence files of the packages installed here, each document different from all others.

Half of them go to Azure, several to a task, and may need a human; the others go through AWS alone, one to a task, and
some of these share an entity. Knows licences and taxonomies; submits nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from local.corpus import installed_packages
from shared.errors import Permanent
from shared.taxonomies import builtin

_TOGETHER = 4  # documents of one entity: in one task, or one after the other
_ASKS = re.compile(r"(?m)^(approval|unknown_needs_approval) = true$")


@dataclass(frozen=True, slots=True)
class Document:
    """A document by its name and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What is submitted as one task."""

    entity: str
    documents: tuple[Document, ...]
    taxonomy: str


def batches(count: int, mark: str) -> Iterator[Batch]:
    """Yield so many documents in batches, whose entities begin with `mark`."""
    asking = builtin("licences")
    silent = _ASKS.sub(r"\1 = false", asking)
    documents = _documents(count)
    number = 0
    while members := tuple(islice(documents, _TOGETHER)):
        entity = f"{mark}-{number:04}"
        if number % 2:
            yield from (Batch(entity, (one,), silent) for one in members)
        else:
            yield Batch(entity, members, asking)
        number += 1


def _documents(count: int) -> Iterator[Document]:
    paths = [item.path for item in installed_packages()]
    if not paths:
        raise Permanent("no installed package has a licence file to review", code="no-documents")
    for number, path in enumerate(islice(cycle(paths), count)):
        line = f"Copyright (c) {1990 + number % 36} The authors of package number {number}\n\n"
        yield Document(path.name, line.encode() + path.read_bytes())
