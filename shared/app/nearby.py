"""Which answered texts lie near a new one: kept in this process, each tenant's apart. Keeps no text and no answer.

What is forgotten, by age or by a restart, costs money and nothing else.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from shared.core.likeness import Near, Place, Vector, deciding, similarity

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.ports import Embedder

K = TypeVar("K")
V = TypeVar("V")

_MOST_WORDINGS = 256  # of a tenant: what differs in more than names
_MOST_ALIKE = 4  # of a wording: what differs in names only
_MOST_TENANTS = 128
Wordings = OrderedDict[tuple[str, str], OrderedDict[str, Vector]]


class Nearby:
    """The `Nearby` port with an embedder. The latest used are kept; a search sees only texts that may be hits."""

    def __init__(self, embedder: Embedder, wordings: int = _MOST_WORDINGS, tenants: int = _MOST_TENANTS) -> None:
        self._embedder, self._wordings, self._tenants = embedder, wordings, tenants
        self._kept: OrderedDict[str, Wordings] = OrderedDict()
        self._lock = Lock()

    def place(self, text: str) -> Place:
        """Return where the text lies; what the embedder raises when it cannot tell."""
        (vector,) = self._embedder.embed([text])
        return Place(array("f", vector), deciding(text))

    def find(self, tenant: str, question: str, place: Place, least: float) -> Near | None:
        """Return the nearest text that the tenant asked this question about, if it is at least so similar."""
        with self._lock:
            wordings = self._kept.get(tenant)
            alike = wordings.get((question, place.deciding)) if wordings else None
            if wordings is None or alike is None:
                return None
            wordings.move_to_end((question, place.deciding))
            near = [Near(key, similarity(vector, place.vector)) for key, vector in alike.items()]
        best = max(near, key=lambda one: one.similarity)
        return best if best.similarity >= least else None

    def keep(self, tenant: str, question: str, place: Place, key: str) -> None:
        """Remember that the answer about this text is kept under the key."""
        with self._lock:
            wordings = _latest(self._kept, tenant, OrderedDict, self._tenants)
            alike = _latest(wordings, (question, place.deciding), OrderedDict, self._wordings)
            _latest(alike, key, lambda: place.vector, _MOST_ALIKE)


def _latest(kept: OrderedDict[K, V], key: K, make: Callable[[], V], most: int) -> V:
    """Return what is kept under the key, made when there is nothing, as the latest; the oldest goes for it."""
    value = kept[key] if key in kept else kept.setdefault(key, make())
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
    return value
