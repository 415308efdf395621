"""The settings of the home store on another cloud, asked over HTTPS; operators write them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import Permanent
from shared.ports import Setting

if TYPE_CHECKING:
    from azure.fabric.adapters.home import Home


class HomeSettings:
    """What operators write at the home store, to be read here."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def read(self, name: str) -> Setting:
        """Return the setting; an empty one at version 0 when nobody wrote it."""
        told = self._home.ask("settings.read", name=name)
        return Setting(str(told["name"]), str(told["text"]), int(told["version"]))

    def write(self, setting: Setting) -> None:
        """Refuse: the operators of the home write there."""
        raise Permanent(f"the setting {setting.name} is written at the home store", code="elsewhere")
