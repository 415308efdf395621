"""What the stores said a moment ago: asked for at each call, read from the store a few times a second at most."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from shared.ports import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.ports import Ports, Setting, Settings

EVERY = timedelta(seconds=0.5)
LOOKS = 1.0  # seconds
_Row = TypeVar("_Row")


def looked(ports: Ports, name: str, find: Callable[[], Sequence[_Row]]) -> Sequence[_Row]:
    """Return what a query found a second ago at most, whoever asked; `name` says which query it is."""
    now, kept = ports.now().timestamp(), ports.looks.get(name)
    if kept is not None and 0 <= now - kept.at < LOOKS:
        return cast("Sequence[_Row]", kept.found)
    found = find()
    ports.looks[name] = Look(now, found)
    return found


class Recent:
    """The `Settings` port, kept for half a second by the time given; what is written here is read at once."""

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self._settings, self._now = settings, now
        self._kept: dict[str, tuple[datetime, Setting]] = {}

    @property
    def source(self) -> Settings:
        """The settings as they are."""
        return self._settings

    def read(self, name: str) -> Setting:
        """Return the setting as it is, or was half a second ago; what the store raises when it cannot be asked."""
        at = self._now()
        kept = self._kept.get(name)
        if kept is not None and abs(at - kept[0]) < EVERY:  # a clock may be set back, too
            return kept[1]
        found = self._settings.read(name)
        self._kept[name] = (at, found)
        return found

    def write(self, setting: Setting) -> None:
        """Write it; Conflict unless it is stored at one version less than it brings."""
        try:
            self._settings.write(setting)
        finally:
            self._kept.pop(setting.name, None)
