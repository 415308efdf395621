"""The operators' trail: what they do is noted before it is done, and no note can be taken back unseen.

Each deed is a setting of its own that is written once; a second one remembers how many there are. Nothing of it can be
changed, left out or cut off without `check` saying so, except by somebody who rewrites all of it from there on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.core.trail import Act, Deed, deed_in, follows, sha256
from shared.errors import Conflict, Permanent, Transient
from shared.ports import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from shared.ports import Settings

NAME = "trail"
_RACES = 16


@dataclass(frozen=True, slots=True)
class Doing:
    """What somebody is about to do: write `text` as the setting's `revision`."""

    act: Act
    of: str
    by: str
    text: str
    revision: int
    policy: str
    reason: str = ""


def note(settings: Settings, doing: Doing, at: datetime) -> Deed:
    """Add a deed to the trail and return it; whoever cannot note it must not do it."""
    for _ in range(_RACES):
        number, before = _end(settings)
        deed = Deed(
            number=number + 1,
            act=doing.act,
            of=doing.of,
            by=doing.by,
            at=at,
            reason=doing.reason,
            digest=sha256(doing.text),
            revision=doing.revision,
            policy=doing.policy,
            before=before,
        )
        try:
            settings.write(Setting(_name(deed.number), deed.text, 1))
        except Conflict:
            continue
        _move(settings, deed)
        return deed
    raise Transient("the trail is written by many at once")


def _end(settings: Settings) -> tuple[int, str]:
    """Return the number and hash of the last deed; a process may have ended before it moved the head to its own."""
    head = settings.read(NAME)
    number, last = head.version, head.text
    while (found := settings.read(_name(number + 1))).version:
        number, last = number + 1, sha256(found.text)
    return number, last


def _move(settings: Settings, deed: Deed) -> None:
    """Let the head say how many deeds there are; those it missed are passed over one by one."""
    head = settings.read(NAME)
    try:
        for number in range(head.version + 1, deed.number + 1):
            settings.write(Setting(NAME, sha256(settings.read(_name(number)).text), number))
    except Conflict:  # somebody moves it further
        return


def deeds(settings: Settings, *, after: int = 0, limit: int = 100) -> tuple[Deed, ...]:
    """Return up to `limit` deeds in their order, those after a number."""
    return tuple(deed for deed, _ in _read(settings, after, limit))


def _read(settings: Settings, after: int, limit: int) -> Iterator[tuple[Deed, str]]:
    for number in range(after + 1, after + limit + 1):
        found = settings.read(_name(number))
        if not found.version:
            return
        yield deed_in(found.text), sha256(found.text)


@dataclass(frozen=True, slots=True)
class Checked:
    """How many deeds hold together, the first number that does not, and what is in force that nobody noted."""

    deeds: int
    broken: int | None
    unnoted: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.broken is None and not self.unnoted


def check(settings: Settings, *written: str) -> Checked:
    """Check the whole trail, its end included, and whether each of those settings is as the last deed about it says."""
    number, before = 0, ""
    noted: set[tuple[str, str, int]] = set()
    head = settings.read(NAME)
    try:
        while True:
            found = settings.read(_name(number + 1))
            if not found.version:
                break
            deed = deed_in(found.text)
            if not follows(deed, number + 1, before) or found.version != 1:
                return Checked(number, number + 1, ())
            number, before = number + 1, sha256(found.text)
            if number == head.version and before != head.text:
                return Checked(number - 1, number, ())
            noted.add((_setting(deed.act), deed.digest, deed.revision))
    except Permanent:
        return Checked(number, number + 1, ())
    if number < head.version:
        return Checked(number, number + 1, ())
    kept = (settings.read(name) for name in written)
    unnoted = (one.name for one in kept if one.version and (one.name, sha256(one.text), one.version) not in noted)
    return Checked(number, None, tuple(unnoted))


def _setting(act: Act) -> str:
    return {"policy": "policy", "stop": "switches", "start": "switches", "settle": ""}[act]


def _name(number: int) -> str:
    return f"{NAME}-{number:08d}"
