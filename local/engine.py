"""The embedded engine: all three clouds' real handlers in one process, one SQLite file between them.

Messages wait in the broker until they were handled, so the process may be killed at any moment: the next
engine on the same folder goes on. One engine works at a time; others may submit and decide meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from local import asl, wiring
from local.clouds import aws, gcp
from local.clouds.azure import Azure
from local.lock import exclusive
from local.sqlite.broker import Broker, Message
from local.sqlite.database import Database
from local.sqlite.documents import LocalDocuments
from local.sqlite.spans import SqliteSpans
from local.tracing import Tracing
from local.unhandled import fail_documents
from shared.app.commit import relay
from shared.app.parking import EVERYONE, next_due, resume_due, sweep
from shared.app.tracing import Recorder
from shared.core.routes import Route
from shared.errors import FabricError

SOURCE = "/local/engine"
ATTEMPTS = 5
_WORK_BATCH, _RECORD_BATCH, _SMALL_BATCH = 100, 500, 20
_SPANS = 100  # that are written down together while there is more to do
_BACKOFF_SECONDS = 1.0
_MOST_DOUBLINGS = 10
_TURN_SECONDS = 0.5


class Clock(asl.Clock, Protocol):
    """What tells the engine the time, and waits."""


def _ignore(_: Message) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False


class Engine:
    """A fabric on a laptop. Use as a context manager; `home` is its state folder, None keeps all in memory."""

    def __init__(self, home: Path | None, clock: Clock) -> None:
        self.clock = clock
        self.database = Database(home / "fabric.db" if home else None)
        self.express = aws.Express(clock)
        recorder, self.spans = Recorder(), SqliteSpans(self.database)
        self._tracing = Tracing(recorder, self.spans, wiring.collector())
        self.ports = wiring.embedded(self.database, self.express, clock.now, recorder)
        self.broker = Broker(self.database)
        self.documents = LocalDocuments(self.database)
        self.azure = Azure(self.database, clock.now)
        self._home = home
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(wiring.using(self.ports))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        try:
            self._tracing.close()
        finally:
            self.azure.close()
            self.database.close()

    def call_api(self, method: str, path: str, **asked: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401  passed on
        """Send a request through API Gateway, as `clouds.aws.call_api` does; its effects commit together."""
        with self.database.transaction():  # no request calls a model: nothing is paid for that could be undone
            answer = aws.call_api(method, path, **asked)
        self._tracing.keep(least=_SPANS)
        return answer

    def work(self, heard: Callable[[Message], None] = _ignore, *, patience: float = 60.0) -> bool:
        """Deliver until nothing is due, waiting up to `patience` seconds for what is due soon.

        `heard` is told each recorded message. Returns False, having done nothing, when another engine is at
        work on the same folder.
        """
        if self._home is None:
            self._deliver_all(heard, patience)
            return True
        worked = False
        while True:
            with exclusive(self._home / "engine.lock") as mine:
                if mine:
                    self._deliver_all(heard, patience)
            worked = worked or mine
            if not mine or self._is_idle(patience):  # who was refused meanwhile relies on this last look
                return worked

    def work_in_turn(self, heard: Callable[[Message], None] = _ignore, *, enough: Callable[[], bool] = _never) -> None:
        """Work as soon as no other engine does, unless what that one did is `enough`; it is asked twice a second."""
        while not self.work(heard) and not enough():
            self.clock.wait(_TURN_SECONDS)

    def _together(self) -> AbstractContextManager[object]:
        """Let all effects of a delivery commit together: they are rows of this file.

        A call that somebody bills is none of them, and its intent must be committed before it is made.
        """
        free = all(route.embedded for route in self.ports.policy().routes)
        return self.database.transaction() if free else nullcontext()

    def _is_idle(self, patience: float) -> bool:
        wait = self._seconds_to_next()
        return wait is None or wait > patience

    def _deliver_all(self, heard: Callable[[Message], None], patience: float) -> None:
        self.azure.recover()
        sweep(self.ports, source=SOURCE)
        while True:
            while self._round(heard) or relay(self.ports) or resume_due(self.ports, source=SOURCE, limit=EVERYONE):
                pass
            self._tracing.keep()
            wait = self._seconds_to_next()
            if wait is None or wait > patience:
                return
            self.clock.wait(wait)

    def _seconds_to_next(self) -> float | None:
        """Return how long nothing is due, or None when nothing will be."""
        now = self.clock.now().timestamp()
        parked = next_due(self.ports)
        moments = [self.broker.next_due(), self.azure.next_due(), parked.timestamp() if parked else None]
        due = [moment for moment in moments if moment is not None]
        return max(0.0, min(due) - now) if due else None

    def _round(self, heard: Callable[[Message], None]) -> bool:
        """Give every part a turn; False when none had anything to do."""
        turns = [
            self._work(),
            self._pipelines(),
            self._reviews(),
            self.azure.turn(self._together),
            self._records(heard),
        ]
        self._tracing.keep(least=_SPANS)
        return any(turns)

    def _take(self, route: Route, limit: int) -> list[Message]:
        return self.broker.take(route, self.clock.now().timestamp(), limit)

    def _work(self) -> bool:
        messages = self._take(Route.WORK, _WORK_BATCH)
        if not messages:
            return False
        with self._together():
            again = aws.deliver_work(messages)
            self.broker.done([message for message in messages if message.id not in again])
        for message in messages:
            if message.id in again:
                self._again(message, "the dispatcher reported it as failed")
        return True

    def _pipelines(self) -> bool:
        messages = aws.in_lanes(self._take(Route.PIPELINE, _SMALL_BATCH))
        for lane, message in messages:
            try:
                with self._together():
                    aws.deliver_placed(lane, message)
                    self.broker.done([message])
            except FabricError as problem:
                self._again(message, str(problem))
        return bool(messages)

    def _reviews(self) -> bool:
        messages = self._take(Route.REVIEWS, _SMALL_BATCH)
        for message in messages:
            problem = self.azure.deliver_review(message)
            if problem is None:
                self.broker.done([message])
            else:
                self._again(message, problem)
        return bool(messages)

    def _records(self, heard: Callable[[Message], None]) -> bool:
        """Push a batch to the recorder."""
        messages = self._take(Route.RECORDS, _RECORD_BATCH)
        if not messages:
            return False
        held: set[str] = set()
        recorded: list[Message] = []
        with self._together():
            for message in messages:
                if message.key not in held and not self._record(message):
                    held.add(message.key)
                elif message.key not in held:
                    recorded.append(message)
            self.broker.done(recorded)
        for message in recorded:
            heard(message)
        return True

    def _record(self, message: Message) -> bool:
        status, patience = gcp.deliver_record(message)
        if status == gcp.NO_CONTENT:
            return True
        if status == gcp.TRY_LATER:
            self.broker.again(message, self.clock.now().timestamp() + patience, counts=False)
        else:
            self._again(message, f"the recorder answered {status}")
        return False

    def _again(self, message: Message, reason: str) -> None:
        """Try the message again later, or bury it when it had its attempts."""
        if message.attempts + 1 < ATTEMPTS or not self._is_buried(message, reason):
            wait = _BACKOFF_SECONDS * 2 ** min(message.attempts, _MOST_DOUBLINGS)
            self.broker.again(message, self.clock.now().timestamp() + wait)

    def _is_buried(self, message: Message, reason: str) -> bool:
        """Bury the message and fail the documents that wait for it, both or neither."""
        try:
            with self.database.transaction():
                fail_documents(self.ports, message.body, reason)
                self.broker.bury(message, reason)
        except FabricError:
            return False
        except Exception as error:  # noqa: BLE001  a defect here must not stop everybody else's work
            self.broker.bury(message, f"{reason}; its documents were not failed: {type(error).__name__}")
        return True
