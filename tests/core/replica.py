"""A replica that works in steps: before it asks its ledger for anything, and after it posted, it waits for its turn.

Knows threads and nothing of money. One thread runs at a time, so that whoever hands out the turns decides on every
interleaving and can kill a replica between any two steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared.errors import FabricError

if TYPE_CHECKING:
    from shared.core.ledger import Account, Draw, Lease, Posting
    from shared.ports import Ledger


class Crash(BaseException):
    """The replica is dead: nobody catches it, and nothing is written after it."""


class Replica:
    """Works one thing at a time."""

    def __init__(self) -> None:
        self._turn, self._told = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._dying = False
        self._broken: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether it waits for its turn in the middle of something."""
        return self._thread is not None

    def begin(self, work: Callable[[], object]) -> None:
        """Begin a work, as far as its first step."""
        self._dying, self._broken = False, None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        self._listen()

    def step(self) -> None:
        """Go on to the next step, or to the end."""
        if self.busy:
            self._turn.release()
            self._listen()

    def finish(self) -> None:
        """Go on to the end."""
        while self.busy:
            self.step()

    def kill(self) -> None:
        """Die where it stands."""
        self._dying = True
        self.finish()

    def wait(self) -> None:
        """Wait for the next turn; called by what the replica works with."""
        self._told.release()
        self._turn.acquire()
        if self._dying:
            raise Crash

    def _run(self, work: Callable[[], object]) -> None:
        try:
            self.wait()
            work()
        except (FabricError, Crash):
            pass  # a refusal is an answer like any other; the rows tell whether it was right
        except BaseException as broken:  # noqa: BLE001  whoever gave the turn raises it
            self._broken = broken
        self._thread = None
        self._told.release()

    def _listen(self) -> None:
        self._told.acquire()
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken


@dataclass(frozen=True)
class Stepping:
    """A replica's ledger: everything asked of it is a step, and what was posted is looked at before the next one."""

    inner: Ledger
    replica: Replica
    posted: Callable[[Posting], None]

    def account(self, tenant: str) -> Account:
        """Return the account, a step later."""
        self.replica.wait()
        return self.inner.account(tenant)

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease, a step later."""
        self.replica.wait()
        return self.inner.lease(tenant, lease)

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw, a step later."""
        self.replica.wait()
        return self.inner.draw(tenant, lease, draw)

    def post(self, posting: Posting) -> None:
        """Post a step later, and answer another step later."""
        self.replica.wait()
        self.inner.post(posting)
        self.posted(posting)
        self.replica.wait()

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return a page, a step later."""
        self.replica.wait()
        return self.inner.leases(tenant, limit=limit, after=after)

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return a page, a step later."""
        self.replica.wait()
        return self.inner.draws(tenant, lease, limit=limit, after=after)

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return what is overdue, a step later."""
        self.replica.wait()
        return self.inner.overdue(at, limit=limit)
