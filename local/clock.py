"""Clocks: the real one, and one that only moves when somebody waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time, UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


class VirtualClock:
    """A clock that stands still until somebody waits or moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the time it shows."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._now += timedelta(seconds=seconds)

    def move_to(self, moment: datetime) -> None:
        """Move on to `moment`; the past is not reachable."""
        self._now = max(self._now, moment)
