"""Storage queues as the Functions host reads them: hidden while handled, tried again, poisoned in the end.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger. May know queues and
host.json; what a message means is the function's business.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient

from local.functions_host.bindings import QueueInput
from local.stack.functions.host import where

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage

# While a message is handled. In the cloud it is ten minutes; here a killed host's messages should not wait that long,
# and a function that takes longer is called twice, which may happen anyway.
_HIDDEN_SECONDS = 30
_FIRST_PAUSE_SECONDS = 0.1
_SECONDS_AFTER_TROUBLE = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Polling:
    """What host.json says about queues; what it leaves out has the Functions host's default."""

    batch: int
    max_dequeue_count: int
    longest_pause: float
    visibility: float
    encoded: bool

    @classmethod
    def read(cls, host_json: Path) -> Polling:
        """Read host.json."""
        said: Mapping[str, Any] = (
            json.loads(host_json.read_text(encoding="utf-8")).get("extensions", {}).get("queues", {})
        )
        return cls(
            batch=said.get("batchSize", 16),
            max_dequeue_count=said.get("maxDequeueCount", 5),
            longest_pause=_seconds(said.get("maxPollingInterval", "00:01:00")),
            visibility=_seconds(said.get("visibilityTimeout", "00:00:00")),
            encoded=said.get("messageEncoding", "base64") == "base64",
        )


class Listener:
    """Hands one queue's messages to a function, in a thread of its own."""

    def __init__(self, account: str, queue: str, polling: Polling, handle: Callable[[str, QueueInput], None]) -> None:
        # No retries below: the next poll is one, and a thread that is to end should not be asleep in the SDK.
        self._queue = QueueClient.from_connection_string(account, queue, retry_total=0)
        self._poison = QueueClient.from_connection_string(account, f"{queue}-poison", retry_total=0)
        self._name = queue
        self._polling = polling
        self._handle = handle
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"queue-{queue}")

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the message at hand and end."""
        self._stopping.set()
        self._thread.join()
        self._queue.close()
        self._poison.close()

    def _listen(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                found = self.poll()
            except ResourceNotFoundError:
                found = 0  # nobody has made the queue yet
            except AzureError as error:
                _log.warning("queue %s: %s", self._name, type(error).__name__)
                self._stopping.wait(_SECONDS_AFTER_TROUBLE)
                continue
            pause = _FIRST_PAUSE_SECONDS if found else min(pause * 2, self._polling.longest_pause)
            if not found:
                self._stopping.wait(pause)

    def poll(self) -> int:
        """Handle the messages that are visible, up to a batch; return how many there were."""
        batch = list(self._queue.receive_messages(max_messages=self._polling.batch, visibility_timeout=_HIDDEN_SECONDS))
        for message in batch:
            self._take(message)
        return len(batch)

    def _take(self, message: QueueMessage) -> None:
        if message.next_visible_on and message.next_visible_on < datetime.now(UTC):
            return  # the batch took so long that somebody else may have it
        if self._stopping.is_set():
            self._queue.update_message(message, visibility_timeout=0)  # somebody else may have it at once
            return
        try:
            body = base64.b64decode(message.content, validate=True) if self._polling.encoded else message.content
        except (binascii.Error, ValueError):
            _log.warning("queue %s: message %s is not base64", self._name, message.id)
            self._bury(message)
            return
        try:
            self._handle(self._name, _given(message, body))
        except Exception as error:  # noqa: BLE001  like the Functions host: any exception is another delivery
            _log.warning("queue %s: message %s failed: %s", self._name, message.id, where(error))
            self._again(message)
        else:
            self._queue.delete_message(message)

    def _again(self, message: QueueMessage) -> None:
        """Let the message be delivered once more, or bury it when it had its deliveries."""
        if (message.dequeue_count or 1) >= self._polling.max_dequeue_count:
            self._bury(message)
        else:
            self._queue.update_message(message, visibility_timeout=int(self._polling.visibility))

    def _bury(self, message: QueueMessage) -> None:
        """Move the message, as it came, to the queue that a person looks at."""
        try:
            self._poison.send_message(message.content, time_to_live=-1)
        except ResourceNotFoundError:
            self._make_poison_queue()
            self._poison.send_message(message.content, time_to_live=-1)
        self._queue.delete_message(message)

    def _make_poison_queue(self) -> None:
        try:
            self._poison.create_queue()
        except ResourceExistsError:
            return


def _given(message: QueueMessage, body: bytes | str) -> QueueInput:
    return QueueInput(
        body,
        message.id or "",
        message.dequeue_count or 1,
        message.pop_receipt or "",
        message.inserted_on,
        message.expires_on,
        message.next_visible_on,
    )


def _seconds(text: str) -> float:
    """Read a time span as .NET writes it: `[d.]hh:mm:ss[.fraction]`."""
    hours, minutes, seconds = text.split(":")
    days, _, rest = hours.rpartition(".")
    return (int(days or 0) * 24 + int(rest)) * 3600 + int(minutes) * 60 + float(seconds)
