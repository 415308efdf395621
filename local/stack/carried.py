"""What the bridge carried to Pub/Sub, in order, for as long as the data is kept.

The emulators of Pub/Sub and Spanner hold everything in memory. What they lost with their process is sent again; the
recorder knows a duplicate when it sees one. May know SQLite; must not know where events go.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

_PAGE = 500


class Carried:
    """Events as they were sent, each once, and to which incarnation of the receivers; used by one thread."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS carried (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        # What cannot be sent is noted at every try, so a note that is there is enough.
        self._connection.execute("DELETE FROM carried WHERE id NOT IN (SELECT MIN(id) FROM carried GROUP BY body)")
        self._connection.execute("CREATE UNIQUE INDEX IF NOT EXISTS carried_once ON carried (body)")
        self._connection.execute("CREATE TABLE IF NOT EXISTS receiver (incarnation TEXT NOT NULL)")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, bodies: Sequence[str]) -> None:
        """Note what is about to be sent: what is noted and not sent is sent again, the other way it would be lost.

        The first note counts: an entity's events were noted in their order.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT OR IGNORE INTO carried (body) VALUES (?)", [(body,) for body in bodies])
        self._connection.execute("COMMIT")

    def is_for(self, incarnation: str) -> bool:
        """Tell whether this incarnation of the receivers has had everything."""
        row = self._connection.execute("SELECT incarnation FROM receiver").fetchone()
        return row is not None and row[0] == incarnation

    def sent_to(self, incarnation: str) -> None:
        """Note that this incarnation has had everything."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("DELETE FROM receiver")
        self._connection.execute("INSERT INTO receiver VALUES (?)", (incarnation,))
        self._connection.execute("COMMIT")

    def pages(self) -> Iterator[list[str]]:
        """Yield everything, oldest first."""
        last = 0
        while True:
            rows = self._connection.execute(
                "SELECT id, body FROM carried WHERE id > ? ORDER BY id LIMIT ?", (last, _PAGE)
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield [row[1] for row in rows]
