"""Ports that fail when told to, and a bus that hears nothing which is not committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from local.faults.process import behind
from shared.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.sqlite.database import Database
    from shared.core.routes import Route
    from shared.events.catalog import AnyEvent
    from shared.ports import Bus, Change, Ports, Tasks

Moment = Literal["before", "after"]
EFFECTS = ("tasks.commit", "outbox.mark_sent", "bus.publish", "records.apply", "ledger.post")
PORTS = ("tasks", "outbox", "bus", "journal", "approvals", "records", "ledger")


class CrashError(Exception):
    """The process is gone: nobody handles this."""


@dataclass
class Trouble:
    """Counts the accesses to every port and fails at one of them, before its effect or after it."""

    at: int | None = None
    moment: Moment = "before"
    error: type[Exception] = CrashError
    only: tuple[str, ...] = ()
    over: bool = False
    seen: list[str] = field(default_factory=list)

    def around(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work, failing when its turn has come (of those called `only`, if that is said)."""
        if self.over or (self.only and name not in self.only):
            return work()
        self.seen.append(name)
        mine = len(self.seen) == self.at
        if mine and self.moment == "before":
            raise self.error(f"{name} was not reached")
        done = work()
        if mine:
            raise self.error(f"the answer of {name} was lost")
        return done

    def on(self, ports: Ports) -> Ports:
        """Return the ports with this trouble on all that store or publish."""
        return behind(ports, self._access, PORTS)

    def _access(self, name: str, work: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return self.around(name, lambda: work(*given, **named))


@dataclass
class HonestBus:
    """A bus that checks of each event that it was committed before it was published."""

    bus: Bus
    database: Database
    early: list[AnyEvent] = field(default_factory=list)
    failures: int = 0

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Publish, after looking each event up in the store; fail as often as told."""
        if self.failures:
            self.failures -= 1
            raise Transient("the bus is down")
        for _, event in messages:
            known = self.database.connection.execute(
                "SELECT last FROM sequences WHERE tenant = ? AND entity = ?", (event.tenant, event.entity)
            ).fetchone()
            if known is None or known[0] < event.sequence or self.database.connection.in_transaction:
                self.early.append(event)
        self.bus.publish(messages)


@dataclass
class Rivals:
    """Tasks that somebody else changes right before a commit, as often as told."""

    tasks: Tasks
    rival: Callable[[], object]
    wins: int

    def commit(self, change: Change) -> None:
        """Let the rival win, then try."""
        if self.wins:
            self.wins -= 1
            self.rival()
        self.tasks.commit(change)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tasks, name)


@dataclass
class Rivalry:
    """Any port, and somebody who is faster than its first call of a method."""

    port: Any
    rival: Callable[[], object]
    method: str = "complete"
    done: bool = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.port, name)
        if name != self.method or self.done:
            return real

        def late(*given: Any, **named: Any) -> Any:
            self.done = True
            self.rival()
            return real(*given, **named)

        return late
