"""The in-process Functions host, shared by threads: HTTP requests, queue messages and the durable hub take turns.

Only sync activities run beside each other: while one waits for another cloud, the turn goes to somebody else. May
know the host and its hub; must not know sockets or queues.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Any

from local.durable.management import ManagementApi
from local.durable.store import Store
from local.functions_host import FunctionsHost
from local.functions_host.host import Settings
from local.functions_host.index import App, Function
from local.sqlite.database import Database

_PAUSE_SECONDS = 0.05
_log = logging.getLogger(__name__)


def where(error: BaseException) -> str:
    """Return an error's type and the line it came from; its message may quote a document."""
    frames = extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__


class Turns:
    """A lock that is given in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn inside the block."""
        self._take()
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def given(self) -> Iterator[None]:
        """Let others have the turn inside the block, and take it again."""
        self._give()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        mine = threading.Event()
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            self._waiting.append(mine)
        mine.wait()

    def _give(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # it stays taken, by the next one
            else:
                self._taken = False


class SharedHost(FunctionsHost):
    """A Functions host that many threads may call; each call takes its turn."""

    def __init__(self, app: App | str, database: Database, origin: str, settings: Settings) -> None:
        super().__init__(app, Store(database), lambda: datetime.now(UTC), settings=settings)
        self.management = ManagementApi(self.hub, self._new_id, origin=origin)
        self.turns = Turns()

    def call(self, function: Function, value: object) -> Any:  # noqa: ANN401  whatever the function returns
        """Call a function; an activity that may block lets others have the turn."""
        if function.kind == "activityTrigger" and not inspect.iscoroutinefunction(function.call):
            with self.turns.given():
                return self._noted(function, value)
        return super().call(function, value)

    def _noted(self, function: Function, value: object) -> Any:  # noqa: ANN401  whatever the function returns
        """Call a function and note its failure, which its orchestration may hide by trying again."""
        try:
            return super().call(function, value)
        except Exception as error:
            _log.warning("activity %s failed: %s", function.name, where(error))
            raise


class Workers:
    """Threads that run whatever the durable hub has due."""

    def __init__(self, host: SharedHost, count: int, failed: Callable[[BaseException], None]) -> None:
        self._host = host
        self._failed = failed
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"worker-{number}") for number in range(count)]

    def start(self) -> None:
        """Take back what a dead host was at, and work."""
        with self._host.turns.taken():
            self._host.hub.recover()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is being done and end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                with self._host.turns.taken():
                    busy = self._host.hub.run_once()
                if not busy:
                    self._stopping.wait(_PAUSE_SECONDS)
        except BaseException as error:
            self._failed(error)
            raise
