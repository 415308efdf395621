"""The durable extension's HTTP management API as a pure function of its request.

Answers with the extension's status codes, so that the SDK's client and a webhook's caller find what they
would find on Azure. Differs in two places: starting an instance that is not finished is refused with 409
(a finished one is replaced), and rewinding is not offered (501).

May know the hub. Must not know sockets: the client reaches it in process, a server may put it on a port.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from local.durable.hub import Hub
from local.durable.protocol import from_text, to_text
from local.durable.records import Instance, Query, Status
from shared.errors import NotFound, Permanent

BASE = "/runtime/webhooks/durabletask"
_PLACEHOLDER = "INSTANCEID"
_ALL = 1_000_000
_OPERATIONS = ("terminate", "suspend", "resume", "restart", "rewind")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response; `body` is sent as JSON, None as nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Request:
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str]

    def flag(self, name: str, *, default: bool = False) -> bool:
        return self.query.get(name.lower(), str(default)).lower() == "true"

    def time(self, name: str) -> int | None:
        text = self.query.get(name.lower())
        return None if text is None else from_text(text)


class ManagementApi:
    """Starting, asking, steering and purging instances over HTTP."""

    def __init__(self, hub: Hub, new_id: Callable[[], str], *, origin: str, task_hub: str = "local") -> None:
        self._hub = hub
        self._new_id = new_id
        self._base = origin + BASE
        self._task_hub = task_hub

    def serves(self, path: str) -> bool:
        """Whether a path belongs to this API."""
        return path.startswith(f"{BASE}/")

    def client_binding(self) -> dict[str, object]:
        """Return what the extension hands to a durable client."""
        return {
            "taskHubName": self._task_hub,
            "creationUrls": {
                "createNewInstancePostUri": f"{self._base}/orchestrators/{{functionName}}[/{{instanceId}}]"
            },
            "managementUrls": self.links(_PLACEHOLDER),
            "baseUrl": self._base,
            "requiredQueryStringParameters": "",
            "rpcBaseUrl": f"{self._base}/",
        }

    def links(self, instance: str) -> dict[str, str]:
        """Return the addresses that manage an instance."""
        own = f"{self._base}/instances/{instance}"
        steering = {f"{verb}PostUri": f"{own}/{verb}?reason={{text}}" for verb in _OPERATIONS}
        return {
            "id": instance,
            "statusQueryGetUri": own,
            "sendEventPostUri": f"{own}/raiseEvent/{{eventName}}",
            "purgeHistoryDeleteUri": own,
            **steering,
            "restartPostUri": f"{own}/restart",
        }

    def handle(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Answer a request; an unknown address is 404, nonsense is 400."""
        parts = [unquote(part) for part in path.removeprefix(BASE).split("/") if part]
        values = {name.lower(): found[-1] for name, found in parse_qs(query, keep_blank_values=True).items()}
        given = {name.lower(): value for name, value in (headers or {}).items()}
        try:
            return self._route(method.upper(), parts, _Request(values, body, given))
        except NotFound:
            return Answer(HTTPStatus.NOT_FOUND)
        except (Permanent, ValueError) as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))

    def _route(self, method: str, parts: Sequence[str], request: _Request) -> Answer:
        answers = {"GET": self._get, "POST": self._post, "DELETE": self._delete}
        return answers[method](parts, request) if method in answers else Answer(HTTPStatus.METHOD_NOT_ALLOWED)

    def _get(self, parts: Sequence[str], request: _Request) -> Answer:
        match parts:
            case ["instances"]:
                return self._list(request)
            case ["instances", instance]:
                return self._status(instance, request)
        return Answer(HTTPStatus.NOT_FOUND)

    def _delete(self, parts: Sequence[str], request: _Request) -> Answer:
        match parts:
            case ["instances"]:
                return self._purge_many(request)
            case ["instances", instance]:
                return self._purge(instance)
        return Answer(HTTPStatus.NOT_FOUND)

    def _post(self, parts: Sequence[str], request: _Request) -> Answer:
        match parts:
            case ["orchestrators", name]:
                return self._start(name, self._new_id(), request)
            case ["orchestrators", name, instance]:
                return self._start(name, instance, request)
            case ["instances", instance, "raiseEvent", name]:
                return self._raise_event(instance, name, request)
            case ["instances", instance, operation]:
                return self._operate(instance, operation, request)
        return Answer(HTTPStatus.NOT_FOUND)

    def _start(self, name: str, instance: str, request: _Request) -> Answer:
        version = request.query.get("version")
        if self._hub.start(name, instance, _input(request.body), version=version, replace_finished=True):
            return self._accepted(instance)
        return _refusal(HTTPStatus.CONFLICT, f"an instance '{instance}' that is not finished already exists")

    def _accepted(self, instance: str) -> Answer:
        links = self.links(instance)
        return Answer(HTTPStatus.ACCEPTED, links, {"Location": links["statusQueryGetUri"], "Retry-After": "10"})

    def _status(self, instance: str, request: _Request) -> Answer:
        found = self._hub.status(instance)
        if found is None:
            return Answer(HTTPStatus.NOT_FOUND)
        shown = _shown(found, with_input=request.flag("showInput", default=True))
        if request.flag("showHistory"):
            shown["historyEvents"] = self._history(instance, outputs=request.flag("showHistoryOutput"))
        if not found.status.finished:
            return Answer(
                HTTPStatus.ACCEPTED,
                shown,
                {"Location": self.links(instance)["statusQueryGetUri"], "Retry-After": "5"},
            )
        failed = found.status is Status.FAILED and request.flag("returnInternalServerErrorOnFailure")
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR if failed else HTTPStatus.OK, shown)

    def _history(self, instance: str, *, outputs: bool) -> list[dict[str, object]]:
        events = [json.loads(body) for body in self._hub.history(instance)]
        hidden = () if outputs else ("Result", "Input")
        return [{name: value for name, value in event.items() if name not in hidden} for event in events]

    def _list(self, request: _Request) -> Answer:
        size = int(request.query.get("top", "100"))
        token = request.headers.get("x-ms-continuation-token", "")
        page = self._hub.instances(replace(_query(request), limit=size, after=_position(token)))
        shown = [_shown(found, with_input=request.flag("showInput")) for found in page]
        more = _token(page[-1]) if page and len(page) == size else ""
        return Answer(HTTPStatus.OK, shown, {"x-ms-continuation-token": more})

    def _purge(self, instance: str) -> Answer:
        if self._hub.status(instance) is None:
            return Answer(HTTPStatus.NOT_FOUND)
        return Answer(HTTPStatus.OK, {"instancesDeleted": self._hub.purge(instance)})

    def _purge_many(self, request: _Request) -> Answer:
        query = _query(request)
        if query.created_from is None:
            return _refusal(HTTPStatus.BAD_REQUEST, "Please provide value for 'createdTimeFrom' parameter.")
        deleted = self._hub.purge(replace(query, limit=_ALL))
        return Answer(HTTPStatus.OK if deleted else HTTPStatus.NOT_FOUND, {"instancesDeleted": deleted})

    def _raise_event(self, instance: str, name: str, request: _Request) -> Answer:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._hub.status(instance) is not None and media_type != "application/json":
            return _refusal(HTTPStatus.BAD_REQUEST, "Only application/json request content is supported")
        data = json.dumps(json.loads(request.body or b"null"))
        return _taken(taken=self._hub.raise_event(instance, name, data))

    def _operate(self, instance: str, operation: str, request: _Request) -> Answer:
        match operation:
            case "terminate":
                return _taken(taken=self._hub.terminate(instance, request.query.get("reason", "")))
            case "suspend":
                return _taken(taken=self._hub.suspend(instance))
            case "resume":
                return _taken(taken=self._hub.resume(instance))
            case "restart":
                return self._restart(instance, anew=request.flag("restartWithNewInstanceId", default=True))
            case "rewind":
                return _refusal(HTTPStatus.NOT_IMPLEMENTED, "the local replay hub does not rewind")
        return Answer(HTTPStatus.NOT_FOUND)

    def _restart(self, instance: str, *, anew: bool) -> Answer:
        found = self._hub.status(instance)
        if found is None:
            return _refusal(HTTPStatus.BAD_REQUEST, "InstanceId does not match a valid orchestration instance.")
        chosen = self._new_id() if anew else instance
        if self._hub.start(found.name, chosen, found.input, version=found.version, replace_finished=True):
            return self._accepted(chosen)
        return _refusal(HTTPStatus.CONFLICT, f"the instance '{instance}' is not finished")


def _taken(*, taken: bool) -> Answer:
    return Answer(HTTPStatus.ACCEPTED if taken else HTTPStatus.GONE)


def _refusal(status: HTTPStatus, reason: str) -> Answer:
    return Answer(status, {"Message": reason, "ExceptionMessage": reason})


def _input(body: bytes) -> str | None:
    """Return the orchestrator's input as JSON text; the SDK's client sends that text as a JSON string."""
    if not body:
        return None
    value = json.loads(body)
    return value if isinstance(value, str) else json.dumps(value)


def _shown(instance: Instance, *, with_input: bool) -> dict[str, object]:
    """Return the status as the extension shows it."""
    return {
        "name": instance.name,
        "instanceId": instance.id,
        "runtimeStatus": str(instance.status),
        "input": instance.input if with_input else None,
        "customStatus": _loaded(instance.custom_status),
        "output": _loaded(instance.output),
        "createdTime": to_text(instance.created),
        "lastUpdatedTime": to_text(instance.updated),
    }


def _loaded(text: str | None) -> object:
    return None if text is None else json.loads(text)


def _query(request: _Request) -> Query:
    names = [name for name in request.query.get("runtimestatus", "").split(",") if name]
    return Query(
        created_from=request.time("createdTimeFrom"),
        created_to=request.time("createdTimeTo"),
        statuses=tuple(Status(name) for name in names),
        prefix=request.query.get("instanceidprefix", ""),
    )


def _token(last: Instance) -> str:
    return base64.urlsafe_b64encode(json.dumps([last.created, last.id]).encode()).decode()


def _position(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    created, instance = json.loads(base64.urlsafe_b64decode(token))
    return int(created), str(instance)
