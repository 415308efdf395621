"""Where a laptop's spans go: the state folder, and the collector that the environment names.

What was recorded is written in batches between the engine's rounds, off the path of the work. The collector has a
thread of its own and a queue that ends: one that is slow or down loses spans, with a count in the log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from queue import Full, Queue
from typing import TYPE_CHECKING, Protocol

from shared.errors import Transient

if TYPE_CHECKING:
    from local.sqlite.spans import SqliteSpans
    from shared.app.tracing import Recorder
    from shared.core.spans import Span

_log = logging.getLogger(__name__)
_BATCHES = 100
_LAST_SECONDS = 3.0  # for what is still to be sent when the process wants to end


class Sends(Protocol):
    """Takes spans away; how that ended is its own to say."""

    def send(self, spans: Sequence[Span], lost: int = 0) -> None:
        """Send spans."""
        ...


class Tracing:
    """Takes what was recorded to where it is kept."""

    def __init__(self, recorder: Recorder, kept: SqliteSpans, collector: Sends | None) -> None:
        self._recorder = recorder
        self._kept = kept
        self._sender = Sender(collector) if collector else None

    def keep(self, *, least: int = 1) -> None:
        """Write down what was recorded since the last time, from so many spans on."""
        if self._recorder.waiting < least:
            return
        spans, lost = self._recorder.take()
        if lost:
            _log.warning("%d spans are lost: there was no room for them", lost)
        try:
            self._kept.add(spans)
        except Transient as busy:
            _log.warning("%d spans are not kept: %s", len(spans), busy)
        if self._sender is not None:
            self._sender.hand(spans)

    def close(self) -> None:
        """Keep the rest, and give the collector a moment to take it."""
        self.keep()
        if self._sender is not None:
            self._sender.close()


class Sender:
    """Sends batches to a collector, one after the other, in its own thread."""

    def __init__(self, collector: Sends) -> None:
        self._collector = collector
        self._batches: Queue[Sequence[Span] | None] = Queue(_BATCHES)
        self._thread = threading.Thread(target=self._send_all, name="spans", daemon=True)
        self._thread.start()

    def hand(self, spans: Sequence[Span]) -> None:
        """Let these be sent soon; without room for them they are lost."""
        try:
            self._batches.put_nowait(spans)
        except Full:
            _log.warning("%d spans are lost: the collector is slow", len(spans))

    def close(self, seconds: float = _LAST_SECONDS) -> None:
        """Wait until all is sent, and not for long."""
        try:
            self._batches.put(None, timeout=seconds)
        except Full:
            _log.warning("spans are lost: the collector is slow")
            return
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.warning("spans are lost: the collector is slow")

    def _send_all(self) -> None:
        while (spans := self._batches.get()) is not None:
            self._collector.send(spans)
