"""The `Cache` port on SQLite."""

from __future__ import annotations

from datetime import datetime

from local.sqlite.database import Database

_LONG_GONE = 30 * 86_400.0  # seconds; whatever expires so much earlier than a new answer is dropped for it


class SqliteCache:
    """Answers that may be given again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant: str, key: str, at: datetime) -> str | None:
        """Return what was kept under the key and has not expired, or None."""
        asked = "SELECT text FROM answers WHERE tenant = ? AND key = ? AND expires > ?"
        row = self._database.connection.execute(asked, (tenant, key, at.timestamp())).fetchone()
        return str(row[0]) if row else None

    def put(self, tenant: str, key: str, text: str, expires: datetime) -> None:
        """Keep a text until it expires; the latest one stands."""
        with self._database.joined() as connection:
            until = expires.timestamp()
            connection.execute("DELETE FROM answers WHERE expires < ?", (until - _LONG_GONE,))
            kept = "INSERT OR REPLACE INTO answers (tenant, key, expires, text) VALUES (?, ?, ?, ?)"
            connection.execute(kept, (tenant, key, until, text))
