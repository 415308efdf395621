"""Publishing events for the record: one topic, the entity as ordering key.

https://cloud.google.com/pubsub/docs/ordering
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as PublishTimeout
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException
from google.cloud.pubsub_v1.types import BatchSettings, PublisherOptions

from shared.core.routes import Route
from shared.errors import Permanent, Transient
from shared.events.catalog import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.events.catalog import AnyEvent

_FAILURES = (GoogleAPICallError, RetryError, PublishTimeout, PublishToPausedOrderingKeyException)


def publisher() -> PublisherClient:
    """Return a client that keeps order and sends what is at hand without waiting for more."""
    return PublisherClient(
        publisher_options=PublisherOptions(enable_message_ordering=True),
        batch_settings=BatchSettings(max_latency=0.002),
    )


class PubsubBus:
    """The `Bus` port's way to the records; `timeout` bounds one publishing in seconds."""

    def __init__(self, client: PublisherClient, topic: str, *, timeout: float = 10.0) -> None:
        self._client = client
        self._topic = topic
        self._timeout = timeout

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Publish all messages; Transient when any of them may not have arrived."""
        for route, event in messages:
            if route is not Route.RECORDS:
                raise Permanent(f"{event.type} goes to {route}; Pub/Sub carries {Route.RECORDS}", code="no-route")
        sent = [(event.entity, self._send(event)) for _, event in messages]
        failed = {entity: why for entity, future in sent if (why := self._failure(future))}
        for entity in failed:
            # A failure pauses its key on this client for good, unless somebody says otherwise.
            self._client.resume_publish(self._topic, entity)
        if failed:
            raise Transient(f"Pub/Sub: {', '.join(sorted(set(failed.values())))} for {len(failed)} entities")

    def _send(self, event: AnyEvent) -> Any:  # noqa: ANN401  the SDK's own future, which has no stubs
        # `retry=None`: whoever called publishes again; the SDK would do so without end to keep the order.
        return self._client.publish(
            self._topic,
            encode(event).encode(),
            ordering_key=event.entity,
            retry=None,
            timeout=self._timeout,
            **attributes(event),
        )

    def _failure(self, future: Any) -> str:  # noqa: ANN401  the SDK's own future, which has no stubs
        try:
            future.result(timeout=self._timeout)
        except _FAILURES as error:
            return type(error).__name__
        return ""


def attributes(event: AnyEvent) -> dict[str, str]:
    """Return what names the event's owner even when its body cannot be read."""
    return {
        "tenant": event.tenant,
        "partitionkey": event.entity,
        "sequence": str(event.sequence),
        "type": event.type,
    }
