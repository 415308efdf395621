"""Raw input → what a function receives, through azure-functions' own converters.

May know the converters and the metadata that the Functions host sends along. Must not know functions,
routes or the hub.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func
from azure.functions.meta import Datum, get_binding_registry


@dataclass(frozen=True, slots=True)
class HttpInput:
    """An HTTP request on its way to a function."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class QueueInput:
    """A storage queue's message on its way to a function."""

    body: bytes | str
    id: str
    dequeue_count: int = 1
    pop_receipt: str = "local"
    inserted: datetime | None = None
    expires: datetime | None = None
    visible: datetime | None = None


@dataclass(frozen=True, slots=True)
class HubInput:
    """One event of an event hub on its way to a function."""

    body: bytes
    partition_key: str = ""
    sequence_number: int = 0
    offset: str = "0"
    enqueued: datetime | None = None

    def properties(self) -> dict[str, object]:
        """Return the system properties in the host's words."""
        return {
            "EnqueuedTimeUtc": _text(self.enqueued),
            "PartitionKey": self.partition_key,
            "SequenceNumber": self.sequence_number,
            "Offset": self.offset,
        }


def http_request(given: HttpInput, route_params: Mapping[str, str]) -> func.HttpRequest:
    """Return the request as the function sees it."""
    query = parse_qsl(urlsplit(given.url).query, keep_blank_values=True)
    value = {
        "method": Datum(given.method.upper(), "string"),
        "url": Datum(given.url, "string"),
        "headers": _texts(given.headers),
        "query": _texts(dict(query)),
        "params": _texts(route_params),
        "body": Datum(given.body, "bytes"),
    }
    request: func.HttpRequest = _decode("httpTrigger", Datum(value, "http"), {})
    return request


def http_response(returned: func.HttpResponse | str | None) -> func.HttpResponse:
    """Return the answer that a function's return value stands for."""
    if isinstance(returned, func.HttpResponse):
        return returned
    return func.HttpResponse(status_code=204) if returned is None else func.HttpResponse(returned)


def queue_message(given: QueueInput) -> func.QueueMessage:
    """Return the message as the function sees it."""
    metadata = {
        "Id": given.id,
        "PopReceipt": given.pop_receipt,
        "InsertionTime": _text(given.inserted),
        "ExpirationTime": _text(given.expires),
        "NextVisibleTime": _text(given.visible),
    }
    data = Datum(given.body, "string" if isinstance(given.body, str) else "bytes")
    known = {name: value for name, value in metadata.items() if value}
    message: func.QueueMessage = _decode(
        "queueTrigger", data, {**_texts(known), "DequeueCount": Datum(given.dequeue_count, "int")}
    )
    return message


def timer_request(*, past_due: bool) -> func.TimerRequest:
    """Return the tick as the function sees it."""
    request: func.TimerRequest = _decode("timerTrigger", Datum(json.dumps({"IsPastDue": past_due}), "json"), {})
    return request


def hub_events(events: Sequence[HubInput]) -> list[func.EventHubEvent]:
    """Return a batch of events as a function with cardinality `many` sees it."""
    properties = json.dumps([event.properties() for event in events])
    data = Datum(SimpleNamespace(bytes=[event.body for event in events]), "collection_bytes")
    decoded: list[func.EventHubEvent] = _decode(
        "eventHubTrigger", data, {"SystemPropertiesArray": Datum(properties, "json")}
    )
    return decoded


def activity_input(text: str | None) -> Any:  # noqa: ANN401  whatever the orchestrator passed
    """Return an activity's input."""
    return _decode("activityTrigger", Datum("null" if text is None else text, "string"), {})


def activity_output(value: object) -> str:
    """Return an activity's result as JSON text; ValueError when it cannot be written as JSON."""
    return str(_converter("activityTrigger").encode(value, expected_type=None).value)


def _decode(binding: str, data: Datum, metadata: Mapping[str, Datum]) -> Any:  # noqa: ANN401  each binding has its type
    return _converter(binding).decode(data, trigger_metadata=metadata)


def _converter(binding: str) -> Any:  # noqa: ANN401  the SDK's registry holds classes without a common type
    return get_binding_registry().get(binding)  # type: ignore[no-untyped-call]


def _texts(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


@dataclass(frozen=True, slots=True)
class InvocationContext:
    """What a function that asks for `context` receives: the part of `func.Context` that exists here."""

    function_name: str
    invocation_id: str
    function_directory: str = "."
