"""The brokers between the clouds, in one table: at least once, an entity's messages in order on each route.

One process at a time delivers (it holds the engine's lock), so a message needs no lease: it is in the
table until it was handled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from local.sqlite.database import Database
from shared.core.routes import Route
from shared.events.catalog import AnyEvent, encode


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up: where it was going, which entity it is about, and why it never arrived."""

    route: str
    key: str
    attempts: int
    reason: str
    body: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is delivered; `attempts` counts the deliveries before this one."""

    id: int
    key: str
    body: str
    attributes: dict[str, str]
    attempts: int


class Broker:
    """The `Bus` port and the consuming side of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Enqueue all messages at once."""
        bodies = {event.id: (encode(event), _attributes(event)) for _, event in messages}
        rows = [(route.value, event.entity, *bodies[event.id]) for route, event in messages]
        with self._database.joined() as connection:
            connection.executemany("INSERT INTO messages (route, key, body, attributes) VALUES (?, ?, ?, ?)", rows)

    def take(self, route: Route, now: float, limit: int) -> list[Message]:
        """Return messages that are due, none of which overtakes an earlier one of its key."""
        rows = self._database.connection.execute(
            "SELECT id, key, body, attributes, attempts FROM messages WHERE route = ?1 AND due <= ?2"
            " AND key NOT IN (SELECT key FROM messages WHERE route = ?1 AND due > 0 AND due > ?2) ORDER BY id LIMIT ?3",
            (route.value, now, limit),
        )
        return [
            Message(id_, key, body, json.loads(attributes), attempts) for id_, key, body, attributes, attempts in rows
        ]

    def done(self, messages: Sequence[Message]) -> None:
        """Forget handled messages."""
        with self._database.joined() as connection:
            connection.executemany("DELETE FROM messages WHERE id = ?", [(message.id,) for message in messages])

    def again(self, message: Message, due: float, *, counts: bool = True) -> None:
        """Deliver the message again at `due`; throttling does not count as an attempt."""
        with self._database.joined() as connection:
            connection.execute(
                "UPDATE messages SET attempts = attempts + ?, due = ? WHERE id = ?",
                (int(counts), due, message.id),
            )

    def bury(self, message: Message, reason: str) -> None:
        """Move the message to the dead letters, with the reason."""
        with self._database.joined() as connection:
            connection.execute(
                "INSERT INTO dead_letters SELECT id, route, key, body, attributes, attempts, ? FROM messages"
                " WHERE id = ?",
                (reason, message.id),
            )
            connection.execute("DELETE FROM messages WHERE id = ?", (message.id,))

    def dead_letters(self) -> list[DeadLetter]:
        """Return what was given up, the oldest first."""
        rows = self._database.connection.execute(
            "SELECT route, key, attempts, reason, body FROM dead_letters ORDER BY id"
        )
        return [DeadLetter(*row) for row in rows]

    def next_due(self) -> float | None:
        """Return when the next message is due, those before it in its key counted, or None when there is none."""
        row = self._database.connection.execute(
            "SELECT MIN(due) FROM (SELECT MAX(due) AS due FROM messages GROUP BY route, key)"
        ).fetchone()
        due: float | None = row[0]
        return due


class SqliteDeadLetters:
    """The `DeadLetters` port: what a consumer could never read, beside what had its attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def bury(self, body: str, reason: str, origin: str) -> None:
        """Keep the message as it came."""
        with self._database.joined() as connection:
            connection.execute(
                "INSERT INTO dead_letters (route, key, body, attributes, attempts, reason)"
                " VALUES (?, ?, ?, '{}', 1, ?)",
                (Route.WORK.value, origin, body, reason),
            )


def _attributes(event: AnyEvent) -> str:
    """The attributes a Pub/Sub message carries beside its body."""
    return json.dumps(
        {
            "tenant": event.tenant,
            "partitionkey": event.entity,
            "sequence": str(event.sequence),
            "type": event.type,
        }
    )
