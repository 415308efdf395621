"""The neighbours' own doors: Azure's reviews over HTTPS, Pub/Sub over its REST API. Each is a `Bus` of one route.

What a door says about an event is a verdict; everything else (no access, no such address, down) is said about the
deployment, and waited out: an entity's next events may not overtake this one.
"""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from shared.core.routes import Route
from shared.errors import FabricError, Permanent, Transient
from shared.events.catalog import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws.adapters.web import Answer, Web
    from shared.events.catalog import AnyEvent

_SET_UP_SECONDS = 15.0
_REFUSED_ENTRY = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_JSON = {"Content-Type": "application/json"}


class AzureReviews:
    """Reviews are started, woken and stopped by posting the event that says so."""

    def __init__(self, web: Web, url: str, token: Callable[[], str]) -> None:
        self._web = web
        self._url = url
        self._token = token

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Post the events one by one; Permanent when a review refuses one as what it is."""
        for event in _of(Route.REVIEWS, messages):
            answer = self._web.ask(
                "POST", self._url, _JSON | _bearer(self._token), encode(event, "storage-queue").encode()
            )
            if answer.status != HTTPStatus.ACCEPTED:
                raise _refusal(answer)


def _refusal(answer: Answer) -> FabricError:
    told = _object(answer.body)
    code = str(told.get("code", ""))
    passing = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS
    if code and not passing and answer.status not in _REFUSED_ENTRY:
        return Permanent(str(told.get("detail", "")), code=code)
    return _busy("the reviews answer", answer)


class PubsubTopic:
    """Every event goes to one topic; the entity is the ordering key.

    https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish: the messages of one request share
    their key, so an event is a request.
    """

    def __init__(self, web: Web, url: str, topic: str, token: Callable[[], str]) -> None:
        self._web = web
        self._url = f"{url.rstrip('/')}/v1/{topic}:publish"
        self._token = token

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Publish the events one by one, so that a failure leaves nothing behind it published."""
        for event in _of(Route.RECORDS, messages):
            body = json.dumps({"messages": [_message(event)]}).encode()
            answer = self._web.ask("POST", self._url, _JSON | _bearer(self._token), body)
            if answer.status != HTTPStatus.OK:
                raise _busy("Pub/Sub answers", answer)


def _message(event: AnyEvent) -> dict[str, Any]:
    """Return the message, with attributes that name the event's owner even when its body cannot be read."""
    return {
        "data": base64.b64encode(encode(event, "pubsub").encode()).decode(),
        "orderingKey": event.entity,
        "attributes": {
            "tenant": event.tenant,
            "partitionkey": event.entity,
            "sequence": str(event.sequence),
            "type": event.type,
        },
    }


def _of(route: Route, messages: Sequence[tuple[Route, AnyEvent]]) -> list[AnyEvent]:
    other = {str(where) for where, _ in messages if where is not route}
    if other:
        raise Permanent(f"this way leads to {route}, not to {', '.join(sorted(other))}", code="no-route")
    return [event for _, event in messages]


def _bearer(token: Callable[[], str]) -> dict[str, str]:
    said = token()
    return {"Authorization": f"Bearer {said}"} if said else {}


def _busy(what: str, answer: Answer) -> Transient:
    asked = next((value for name, value in answer.headers.items() if name.lower() == "retry-after"), "")
    fallback = 1.0 if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else _SET_UP_SECONDS
    return Transient(f"{what} {answer.status}", retry_after=float(asked) if asked.isdecimal() else fallback)


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
