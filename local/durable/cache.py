"""Histories in memory, so that an episode reads only what is new.

Never trusted: an execution is used only when it is exactly as long as the instance's row says, in the same
generation; a rolled back transaction or another process makes it stale, and it is read again. May know
the store; must not write to it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from local.durable.execution import Execution

if TYPE_CHECKING:
    from local.durable.records import Instance
    from local.durable.store import Store


class Executions:
    """The executions used last, by instance."""

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._size = size
        self._kept: OrderedDict[str, Execution] = OrderedDict()

    def take(self, instance: Instance) -> Execution:
        """Return the state of the instance, from memory when it is up to date; `keep` puts it back."""
        kept = self._kept.pop(instance.id, None)
        if kept is None or not _is_current(kept, instance):
            kept = Execution(instance, self._store.history(instance.id))
        kept.instance = instance
        return kept

    def keep(self, state: Execution) -> None:
        """Remember a state whose changes were written."""
        self._kept[state.instance.id] = state
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop(self, instance: str) -> None:
        """Forget the state of an instance."""
        self._kept.pop(instance, None)


def _is_current(kept: Execution, instance: Instance) -> bool:
    before = kept.instance
    return (before.created, before.generation, kept.length) == (
        instance.created,
        instance.generation,
        instance.length,
    )
