"""What the local AWS promised, written down before it is promised: loaded by path, in ministack's own environment.

ministack saves its state when it is asked to stop, so a killed one would forget what it acknowledged. Here the rows,
messages, records and executions that a request changed are one line of a file before its answer goes out; a line that
was cut off was never answered for. Definitions (tables, functions, routes) are saved whole within a second.
May know ministack's modules, which it is given; must not know whose data it keeps.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

Change = list[Any]  # its kind, then what `apply` of that kind takes
Handler = Callable[..., Awaitable[Any]]

_SAVE_AFTER_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
_READING = ("Batch", "Describe", "Get", "List", "Query", "Receive", "Scan")
# Actions whose changes are in the journal, or which keep nothing.
_JOURNALLED = {
    "dynamodb": {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"},
    "sqs": {"SendMessage", "SendMessageBatch", "DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibility"},
    "kinesis": {"PutRecord", "PutRecords", "SubscribeToShard"},
    "states": {"StartExecution", "StartSyncExecution", "StopExecution"},
    "logs": {"PutLogEvents", "CreateLogStream", "CreateLogGroup"},
    "monitoring": {"PutMetricData"},
}
_log = logging.getLogger("agentfabric.journal")


class Kept(Protocol):
    """Some state whose every change is written down."""

    kinds: tuple[str, ...]

    def changes(self) -> Iterable[Change]:
        """Return what changed since the last time."""
        ...

    def apply(self, kind: str, *what: Any) -> None:  # noqa: ANN401  JSON
        """Make a change that was written down; one that was made before changes nothing."""
        ...


class Resumed(Kept, Protocol):
    """What goes on by itself once it is known again."""

    def unfinished(self) -> list[Change]:
        """Return what a journal that begins anew has to begin with."""
        ...

    def go_on(self) -> list[threading.Thread]:
        """Go on with all of that, in threads."""
        ...


class Lines:
    """The journal's file: a line per request, in their order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._opened()

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, changes: list[Change]) -> None:
        """Add a line; what the system has taken outlives this process."""
        left = json.dumps(changes, separators=(",", ":")).encode() + b"\n"
        while left:
            left = left[os.write(self._file, left) :]

    def read(self) -> Iterator[Change]:
        """Yield every change up to the end, or to a line that was cut off."""
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield from json.loads(line)

    def begin(self, changes: list[Change]) -> None:
        """Begin anew, with these changes alone."""
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(json.dumps(changes).encode() + b"\n")
        fresh.replace(self._path)
        os.close(self._file)
        self._file = self._opened()


class Journal:
    """All that is kept, behind every request of a ministack."""

    def __init__(self, app: Any, persistence: Any, kept: Iterable[Kept], executions: Resumed) -> None:  # noqa: ANN401
        self._app = app
        self._persistence = persistence
        self._executions = executions
        self._kept = (*kept, executions)
        self._lines = Lines(Path(persistence.STATE_DIR) / "journal.jsonl")
        self._saving: asyncio.TimerHandle | None = None

    def install(self) -> None:
        """Stand behind every handler, and beside loading and saving."""
        app, load = self._app, self._app._load_persisted_state  # noqa: SLF001  ministack has nothing public
        for service, handler in app.SERVICE_HANDLERS.items():
            app.SERVICE_HANDLERS[service] = self._behind(service, handler)

        def loaded() -> None:
            load()
            self._restore()

        app._load_persisted_state = loaded  # noqa: SLF001  likewise
        app.save_all = lambda _services: self.save()

    def _behind(self, service: str, handler: Handler) -> Handler:
        async def handled(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:  # noqa: ANN401
            try:
                return await handler(method, path, headers, body, query)
            finally:
                self._write_down()
                if defines(service, method, path, headers.get("x-amz-target", "")):
                    self._save_soon()

        return handled

    def _write_down(self) -> None:
        changes = [change for kept in self._kept for change in kept.changes()]
        if changes:
            self._lines.append(changes)

    def _save_soon(self) -> None:
        if self._saving is None:
            self._saving = asyncio.get_running_loop().call_later(_SAVE_AFTER_SECONDS, self._save_in_time)

    def _save_in_time(self) -> None:
        self._saving = None
        try:
            self.save()
        except (OSError, RuntimeError, TypeError, ValueError):  # a thread may have been at it
            _log.exception("the definitions could not be saved; trying again")
            self._save_soon()

    def save(self) -> None:
        """Save everything, and begin the journal anew; when that fails, what was saved before and the journal stay."""
        self._write_down()
        states = {name: get() for name, get in self._app._build_persistence_save_dict().items()}  # noqa: SLF001
        for name, state in states.items():
            if state is not None:
                self._save_one(name, state)
        self._lines.begin(self._executions.unfinished())

    def _save_one(self, name: str, state: Any) -> None:  # noqa: ANN401  ministack's own
        keep = self._persistence
        wrapped = {"__ministack_format__": keep._state_format_version(name), "payload": state}  # noqa: SLF001
        path = Path(keep.STATE_DIR) / f"{name}.json"
        if isinstance(state, dict) and all(map(_is_empty, state.values())):  # what holds nothing need not be loaded
            path.unlink(missing_ok=True)
            return
        fresh = path.with_suffix(".fresh")
        fresh.write_text(json.dumps(wrapped, default=keep._json_default))  # noqa: SLF001  nothing public
        fresh.replace(path)

    def _restore(self) -> None:
        """Make all changes that were written down once more, and go on with what was cut off."""
        who = {kind: kept for kept in self._kept for kind in kept.kinds}
        for kind, *what in self._lines.read():
            who[kind].apply(kind, *what)
        for kept in self._kept:
            kept.changes()  # all of this is known
        self.save()
        threading.Thread(target=self._go_on, daemon=True).start()

    def _go_on(self) -> None:
        """Wait until we are served: functions call back."""
        where = os.environ["BIND_HOST"], int(os.environ["GATEWAY_PORT"])
        pause = threading.Event()
        while True:
            with suppress(OSError), socket.create_connection(where, timeout=1):
                break
            pause.wait(_PAUSE_SECONDS)
        self._executions.go_on()


def _is_empty(value: Any) -> bool:  # noqa: ANN401  ministack's own: a dict for an account's request, or all of it
    return not getattr(value, "_data", value)


def defines(service: str, method: str, path: str, target: str) -> bool:
    """Tell whether a request may have changed a definition: whatever is neither a reading nor in the journal."""
    action = target.rpartition(".")[2]
    if method in {"GET", "HEAD"} or action.startswith(_READING) or action in _JOURNALLED.get(service, ()):
        return False
    if service == "s3":  # objects are files at once
        return path.strip("/").count("/") == 0
    return not (service == "lambda" and path.endswith("/invocations"))
