"""The brokers between the processes: at least once, in no sure order, with dead letters. They outlive every process.

Looks at each event when it is published, whether it was committed before; an end state could not tell.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import TYPE_CHECKING

from local.faults.kinds import Kind
from local.sqlite.broker import Message
from shared.core.routes import Route
from shared.events.catalog import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from local.faults.weather import Weather
    from local.sqlite.database import Database
    from shared.events.catalog import AnyEvent

WINDOW = 400
MOST_ATTEMPTS = 25
_PAUSE = 0.2  # seconds, doubled with each attempt
_MOST_DOUBLINGS = 5


@dataclass
class Transport:
    """The `Bus` port, and the consuming side of it."""

    database: Database
    weather: Weather
    ready: dict[Route, deque[Message]] = field(default_factory=lambda: {route: deque() for route in Route})
    later: list[tuple[float, Route, Message]] = field(default_factory=list)
    dead: list[tuple[Route, Message]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    published: int = 0
    strangers: int = 0  # messages for the record that name nobody
    garbage: dict[Route, int] = field(default_factory=lambda: dict.fromkeys(Route, 0))

    def __post_init__(self) -> None:
        self.known: set[str] = set()  # events that were published
        self._numbers = count(1)
        self._messages = self.weather.plan.rates.messages

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Take the messages over; note those whose event nobody committed."""
        bodies: dict[str, str] = {}
        for route, event in messages:
            if event.id not in bodies:
                bodies[event.id] = encode(event)
                self._check_committed(event)
            named = {
                "tenant": event.tenant,
                "partitionkey": event.entity,
                "sequence": str(event.sequence),
                "type": event.type,
            }
            self._put(route, Message(next(self._numbers), event.entity, bodies[event.id], named, 0))
        self.published += len(messages)

    def _check_committed(self, event: AnyEvent) -> None:
        if event.id in self.known:  # it was committed when it was published first
            return
        self.known.add(event.id)
        connection = self.database.connection
        row = connection.execute("SELECT 1 FROM outbox WHERE id = ?", (event.id,)).fetchone()
        if row is None or connection.in_transaction:
            self.early.append(f"{event.type} {event.entity} {event.sequence}")

    def _put(self, route: Route, message: Message) -> None:
        queue = self.ready[route]
        if self.weather.happens(Kind.POISON, self._messages):
            self.garbage[route] += 1
            queue.append(self._spoilt(route, message))
        queue.append(message)
        if self.weather.happens(Kind.DUPLICATE, self._messages):
            queue.append(replace(message, id=next(self._numbers)))

    def _spoilt(self, route: Route, message: Message) -> Message:
        """Return what nobody can read: half of a message under its own name, or a stranger's words under none."""
        number = next(self._numbers)
        if route is Route.RECORDS and number % 2:
            return replace(message, id=number, body=message.body[: len(message.body) // 2])
        self.strangers += route is Route.RECORDS
        attributes = {} if route is Route.RECORDS else message.attributes
        return replace(message, id=number, body=f'{{"garbage": {number}}}', attributes=attributes)

    def take(self, route: Route, most: int, now: float) -> list[Message]:
        """Return up to `most` messages that are due: the oldest, but some overtake."""
        self._due(now)
        return list(self._taken(route, most))

    def _taken(self, route: Route, most: int) -> Iterator[Message]:
        queue = self.ready[route]
        for _ in range(min(most, len(queue))):
            at = 0
            if self.weather.happens(Kind.REORDER, self._messages):
                at = self.weather.chance.randrange(min(WINDOW, len(queue)))
            message = queue[at]
            del queue[at]
            if self.weather.happens(Kind.REDRIVE, self._messages):
                self.dead.append((route, message))
            else:
                yield message

    def take_like(self, route: Route, message: Message) -> Message | None:
        """Return one of the next messages of the same entity, or None."""
        queue = self.ready[route]
        at = next((at for at, other in enumerate(islice(queue, WINDOW)) if other.key == message.key), None)
        if at is None:
            return None
        found = queue[at]
        del queue[at]
        return found

    def _due(self, now: float) -> None:
        if not self.later:
            return
        due = [one for one in self.later if one[0] <= now]
        if due:
            self.later = [one for one in self.later if one[0] > now]
            for _, route, message in due:
                self.ready[route].append(message)

    def again(self, route: Route, message: Message, now: float) -> None:
        """Deliver the message again, later; to the dead letters, when it had its attempts."""
        more = replace(message, attempts=message.attempts + 1)
        if more.attempts >= MOST_ATTEMPTS:
            self.dead.append((route, more))
        else:
            pause = _PAUSE * 2 ** min(message.attempts, _MOST_DOUBLINGS)
            self.later.append((now + pause, route, more))

    def redrive(self) -> int:
        """Deliver all dead letters twice; return how many they are."""
        letters, self.dead = self.dead, []
        for _ in range(2):
            for route, message in letters:
                self.ready[route].append(replace(message, id=next(self._numbers), attempts=0))
        return len(letters)

    def next_due(self) -> float | None:
        """Return when the next message is due that is not yet, or None."""
        return min((due for due, _, _ in self.later), default=None)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be delivered now."""
        return not any(self.ready.values())
