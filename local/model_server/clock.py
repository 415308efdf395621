"""The server's clocks: seconds, real ones or virtual ones in which nobody ever waits."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from shared.errors import Permanent


class Clock(Protocol):
    """A clock that can be waited by."""

    def now(self) -> float:
        """Return the time in seconds since 1970, or since whenever a virtual clock was set to 0."""
        ...

    async def pause(self, seconds: float) -> None:
        """Let so much time pass."""
        ...

    def move_to(self, moment: float) -> None:
        """Set the clock; Permanent when it cannot be set, or the moment is past."""
        ...


class RealClock:
    """The machine's clock, unmoved by those who set it meanwhile."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the time."""
        return self._offset + time.monotonic()

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    def move_to(self, moment: float) -> None:  # noqa: ARG002  no moment will do
        """Refuse."""
        raise Permanent("the clock is real: start the server with --virtual-clock", code="real-clock")


class VirtualClock:
    """A clock that moves only when it is set. Whoever pauses goes on at once."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        """Return the time it shows."""
        return self._now

    async def pause(self, seconds: float) -> None:
        """Return at once."""

    def move_to(self, moment: float) -> None:
        """Move on to the moment."""
        if moment < self._now:
            raise Permanent(f"it is {self._now} already; clocks do not go back", code="past")
        self._now = moment
