"""A process of the fabric that can die, stop and be cut off: ports whose every access its fate may strike.

Knows no use case. What a dead process would have done next is not done, not even by a handler of the exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from local.sqlite.broker import Message
    from shared.core.routes import Route
    from shared.ports import Ports

PORTS = (
    *("tasks", "outbox", "bus", "journal", "approvals", "documents", "models", "records", "ledger", "cache"),
    *("settings", "dead_letters"),
)
EFFECTS = frozenset(
    {
        *("tasks.commit", "outbox.mark_sent", "bus.publish", "records.apply", "records.park", "ledger.post"),
        *("cache.put", "dead_letters.bury"),
    }
)
Work = Callable[..., Any]


class Death(BaseException):
    """The process is gone: nobody handles this but whoever started it."""


class Around(Protocol):
    """What happens around each access to a port."""

    def __call__(self, name: str, work: Work, given: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401  whatever the port returns
        """Do the work, or what fate wants instead."""
        ...


class Behind:
    """A port behind something that sees each access to it."""

    def __init__(self, port: object, name: str, around: Around) -> None:
        self._port, self._name, self._around = port, name, around

    def __getattr__(self, method: str) -> Work:
        real, name, around = getattr(self._port, method), f"{self._name}.{method}", self._around

        def accessed(*given: Any, **named: Any) -> Any:  # noqa: ANN401  as the port has it
            return around(name, real, given, named)

        setattr(self, method, accessed)  # from now on it is found at once
        return accessed


def behind(ports: Ports, around: Around, names: tuple[str, ...] = PORTS) -> Ports:
    """Return the ports with `around` around each access."""
    seen: dict[str, Any] = {name: Behind(getattr(ports, name), name, around) for name in names}
    return replace(ports, **seen)


class Fate(Protocol):
    """What becomes of an access."""

    def strike(self, process: Process, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401  as the port has it
        """Do the work, or let something happen to it."""
        ...


@dataclass(eq=False)
class Process:
    """A worker: its ports, its clock's error, whether it is dead or in the middle of something."""

    number: int
    fate: Fate
    skew: float = 0.0
    dead: bool = False
    busy: bool = False
    failing: int = 0  # the access of those to come that fails; 0: none has to
    hands: list[tuple[Route, Message]] = field(default_factory=list)  # what it was given and has not acknowledged
    ports: Ports = field(init=False)

    def around(self, name: str, work: Work, given: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401  as the port has it
        """Let fate have its say, unless the process is dead."""
        if self.dead:
            raise Death(f"{name} by a dead process")
        return self.fate.strike(self, name, lambda: work(*given, **named))

    def die(self, what: str) -> Death:
        """Die; return what ends all that the process was doing."""
        self.dead = True
        return Death(what)
