"""Ports around one port under test; every other need is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from shared.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from shared.ports import Records


class Unneeded:
    """A port that nobody may ask for anything."""

    def __getattr__(self, name: str) -> Never:
        raise AssertionError(f"{name} is not needed here")


def ports_with(records: Records, now: Callable[[], datetime]) -> Ports:
    """Return ports that have nothing but records and the time."""
    none: Any = Unneeded()
    return Ports(
        tasks=none,
        outbox=none,
        bus=none,
        journal=none,
        approvals=none,
        documents=none,
        models=none,
        pipelines=none,
        records=records,
        ledger=none,
        cache=None,
        learned=none,
        settings=none,
        policy=lambda: none.policy,
        now=now,
    )
