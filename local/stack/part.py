"""What a part of the stack is: what it requires, how it is started, when it is ready, what it tells the others.

May know how a process is described; must not know any part, and must not start anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import Permanent

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Found:
    """Something that is installed."""

    path: Path
    version: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something a part requires to be installed, and the command that installs it."""

    name: str
    find: Callable[[], Found | None]
    install: str


Run = Callable[[Sequence[str], Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Room:
    """What a part is given: a folder, ports by name, what the parts it needs said, and a way to run commands.

    `run` waits for a command to end; what it prints goes to the part's log, and its failure is the part's.
    """

    folder: Path
    ports: Mapping[str, int]
    facts: Mapping[str, str]
    run: Run

    @property
    def port(self) -> int:
        """The part's first port."""
        return next(iter(self.ports.values()))

    @property
    def address(self) -> str:
        """The first port as an address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command line; `environment` is added to the one we have, facts included."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT


def _says_nothing(_: Room) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Part:
    """One part. Without a `command` it has no process, and only `prepare` is done.

    `ready` is asked until it says yes. `prepare` comes after that; it may be done again at any time, so it must
    not mind finding its work done. It returns facts: variables that other parts and clients get.

    What a part acknowledged, or can be told again, outlives a kill; one that is not `killable` is only asked to end.
    """

    name: str
    about: str
    requires: tuple[Requirement, ...] = ()
    needs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    command: Callable[[Room], Command] | None = None
    ready: Callable[[Room], bool] = lambda _: True
    prepare: Callable[[Room], Mapping[str, str]] = _says_nothing
    patience: float = 60.0
    killable: bool = True

    def missing(self) -> list[Requirement]:
        """Return what is required and not installed."""
        return [requirement for requirement in self.requires if requirement.find() is None]


class Failed(Permanent):
    """A part did not start; the message says why and ends with what it wrote last."""
