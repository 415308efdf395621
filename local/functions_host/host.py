"""The host: matches what arrives with a function, calls it, and lets the replay hub run the durable ones.

One thread at a time calls it, outside of any running event loop; async functions share one loop of the
host's own. An exception of a function is the caller's: a queue tries again, an HTTP server answers 500.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import azure.functions as func

from local.durable.hub import Hub, Options
from local.durable.management import ManagementApi
from local.durable.store import Store
from local.functions_host import bindings, index, routes
from local.functions_host.bindings import HttpInput, QueueInput
from shared.errors import NotFound

_ORIGIN = "http://127.0.0.1:7071"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the host takes from host.json."""

    route_prefix: str = "api"
    max_dequeue_count: int = 5

    @classmethod
    def read(cls, host_json: Path) -> Settings:
        """Read host.json; what it leaves out has the Functions host's default."""
        extensions = json.loads(host_json.read_text(encoding="utf-8")).get("extensions", {})
        return cls(
            route_prefix=extensions.get("http", {}).get("routePrefix", "api"),
            max_dequeue_count=extensions.get("queues", {}).get("maxDequeueCount", 5),
        )


class FunctionsHost:
    """A function app, running in this process."""

    def __init__(
        self,
        app: index.App | str,
        store: Store,
        now: Callable[[], datetime],
        *,
        settings: Settings | None = None,
        options: Options | None = None,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """`app` is an app object or the name of the module that has it as `app`."""
        loaded = importlib.import_module(app).app if isinstance(app, str) else app
        self.settings = settings or Settings()
        self.functions = index.read(loaded)
        self.hub = Hub(store, _Durable(self), now, options)
        self.management = ManagementApi(self.hub, new_id, origin=_ORIGIN)
        self._new_id = new_id
        self._loop: asyncio.AbstractEventLoop | None = None
        self._routes = self._read_routes()

    def close(self) -> None:
        """Close the event loop."""
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._loop = None

    # triggers

    def invoke_http(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | str = b""
    ) -> func.HttpResponse:
        """Answer a request to a function's route or to the durable management API."""
        raw = body.encode() if isinstance(body, str) else body
        absolute = url if "://" in url else f"{_ORIGIN}/{url.lstrip('/')}"
        path, _, query = absolute.split("://", 1)[1].partition("/")[2].partition("?")
        if self.management.serves(f"/{path}"):
            return self._manage(method, f"/{path}", query, raw, headers or {})
        return self._invoke_route(HttpInput(method, absolute, headers or {}, raw), f"/{path}")

    def invoke_queue(self, queue: str, message: QueueInput) -> None:
        """Hand a queue's message to the function that listens to it; raises what the function raises."""
        self.call(self._listening(queue), bindings.queue_message(message))

    def invoke(self, name: str, value: object) -> Any:  # noqa: ANN401  whatever the function returns
        """Hand a ready-made value to a function of any trigger."""
        if name not in self.functions:
            raise NotFound(f"no function '{name}'")
        return self.call(self.functions[name], value)

    # calling

    def call(self, function: index.Function, value: object) -> Any:  # noqa: ANN401  whatever it returns
        """Call a function with its trigger's value, its clients and its context."""
        given: dict[str, object] = {function.parameter: value}
        if function.clients or function.wants_context:
            given |= self._surroundings(function)
        returned = function.call(**given)
        return self._run(returned) if inspect.isawaitable(returned) else returned

    def _surroundings(self, function: index.Function) -> dict[str, object]:
        from local.functions_host.client import durable_client  # noqa: PLC0415  half a second, for durable apps only

        invocation = self._new_id()
        given: dict[str, object] = {name: durable_client(self.management, invocation) for name in function.clients}
        if function.wants_context:
            given["context"] = bindings.InvocationContext(function.name, invocation)
        return given

    def _run(self, awaitable: Any) -> Any:  # noqa: ANN401  whatever the function awaits and returns
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(awaitable)

    # finding

    def _read_routes(self) -> list[tuple[routes.Route, frozenset[str], index.Function]]:
        found = []
        for function in self.functions.values():
            if function.kind == "httpTrigger":
                prefix, own = self.settings.route_prefix, function.trigger["route"]
                route = routes.compile_route(f"{prefix}/{own}")
                methods = frozenset(_word(method) for method in function.trigger.get("methods") or ())
                found.append((route, methods, function))
        return sorted(found, key=lambda entry: entry[0].rank)

    def _invoke_route(self, request: HttpInput, path: str) -> func.HttpResponse:
        allowed: set[str] = set()
        for route, methods, function in self._routes:
            parameters = route.match(path)
            if parameters is None:
                continue
            if not methods or request.method.upper() in methods:
                given = bindings.http_request(request, parameters)
                return bindings.http_response(self.call(function, given))
            allowed |= methods
        if allowed:
            return func.HttpResponse(status_code=405, headers={"Allow": ", ".join(sorted(allowed))})
        return func.HttpResponse(status_code=404)

    def _manage(self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]) -> func.HttpResponse:
        answer = self.management.handle(method, path, query, body, headers)
        text = None if answer.body is None else json.dumps(answer.body)
        return func.HttpResponse(
            text, status_code=answer.status, headers=dict(answer.headers), mimetype="application/json"
        )

    def _listening(self, queue: str) -> index.Function:
        for function in self.functions.values():
            if function.kind == "queueTrigger" and function.trigger.get("queueName") == queue:
                return function
        raise NotFound(f"no queueTrigger listens to '{queue}'")


class _Durable:
    """The durable functions of the app, as the hub wants them: text in, text out."""

    def __init__(self, host: FunctionsHost) -> None:
        self._host = host
        self._orchestrators = _named(host.functions, "orchestrationTrigger", "orchestration")
        self._activities = _named(host.functions, "activityTrigger", "activity")

    def has_orchestrator(self, name: str) -> bool:
        return name in self._orchestrators

    def has_activity(self, name: str) -> bool:
        return name in self._activities

    def run_orchestrator(self, name: str, context: str) -> str:
        return str(self._host.call(self._orchestrators[name], func.OrchestrationContext(context)))

    def run_activity(self, name: str, input_: str | None) -> str:
        function = self._activities[name]
        return bindings.activity_output(self._host.call(function, bindings.activity_input(input_)))


def _named(functions: Mapping[str, index.Function], kind: str, setting: str) -> dict[str, index.Function]:
    """The functions of a kind by the name under which orchestrators call them."""
    chosen = [function for function in functions.values() if function.kind == kind]
    return {function.trigger.get(setting) or function.name: function for function in chosen}


def _word(method: object) -> str:
    """`HttpMethod.GET`, or the text it is made from, in capitals."""
    return str(getattr(method, "value", method)).upper()
