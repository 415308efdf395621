"""Spans on SQLite: what a task's work took, for whoever asks later. The latest of equal ones stands."""

from __future__ import annotations

import json
from collections.abc import Sequence

from local.sqlite.database import Database
from shared.core.spans import Span


class SqliteSpans:
    """Spans by their tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, spans: Sequence[Span]) -> None:
        """Keep spans, all in one transaction; Transient when the file is busy."""
        rows = [(span.task, span.about, json.dumps(span)) for span in spans]
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO spans (task, about, body) VALUES (?, ?, ?)", rows)

    def of(self, task: str) -> list[Span]:
        """Return a task's spans, the earliest first."""
        rows = self._database.connection.execute("SELECT body FROM spans WHERE task = ?", (task,)).fetchall()
        found = [Span(*json.loads(body)) for (body,) in rows]
        return sorted(found, key=lambda span: (span.start, span.about))
