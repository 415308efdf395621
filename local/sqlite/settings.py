"""The `Settings` port on SQLite."""

from __future__ import annotations

from local.sqlite.database import Database
from shared.errors import Conflict
from shared.ports import Setting


class SqliteSettings:
    """What operators change while the fabric runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str) -> Setting:
        """Return the setting; an empty one at version 0 when nobody wrote it."""
        asked = "SELECT text, version FROM operator_settings WHERE name = ?"
        row = self._database.connection.execute(asked, (name,)).fetchone()
        return Setting(name, *row) if row else Setting(name)

    def write(self, setting: Setting) -> None:
        """Write it; Conflict unless it is stored at one version less than it brings."""
        with self._database.joined() as connection:
            if self.read(setting.name).version != setting.version - 1:
                raise Conflict(f"the setting {setting.name} was changed by somebody else")
            connection.execute(
                "INSERT OR REPLACE INTO operator_settings (name, version, text) VALUES (?, ?, ?)",
                (setting.name, setting.version, setting.text),
            )
