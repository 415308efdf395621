"""How far entities' records went when this process last wrote or read them for writing: what makes a read unnecessary.

A head is kept only where nothing was parked. It may be out of date at any moment, so whoever writes on its strength
must have the store refuse what it no longer fits. May know what core decides on; must not know Spanner.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.core.recording import EntityRecord

if TYPE_CHECKING:
    from shared.events.catalog import AnyEvent

_MOST = 10_000
# Far below the 30 days that the inbox keeps the row of an awaited number; events of one task are seconds apart.
_FRESH = timedelta(minutes=1)


class Heads:
    """The latest heads, by entity; may be used by several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[EntityRecord, datetime]] = OrderedDict()
        self._alone = threading.Lock()

    def take(self, event: AnyEvent, at: datetime) -> EntityRecord | None:
        """Return the head that the event follows, if it is known, and forget it: it is good for one write.

        An entity's first event follows an empty record, as far as anybody knows.
        """
        with self._alone:
            head, kept = self._known.pop((event.tenant, event.entity), (None, at))
        if head and head.last == event.sequence - 1 and timedelta(0) <= at - kept <= _FRESH:
            return head
        return EntityRecord(event.tenant, event.entity) if event.sequence == 1 else None

    def keep(self, head: EntityRecord, at: datetime) -> None:
        """Remember a head as it was at a moment, or later."""
        with self._alone:
            self._known.pop((head.tenant, head.entity), None)
            self._known[head.tenant, head.entity] = head, at
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
