"""HTTP in front of the host: the app's routes, the durable management API, and the admin endpoint.

May know aiohttp and the host; everything that runs a function does so in a thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.functions_host import bindings
from local.functions_host.bindings import HubInput, QueueInput
from local.stack.functions.host import where

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.functions import HttpResponse

    from local.stack.functions.host import SharedHost

_MOST_BYTES = 100 * 1024 * 1024  # the Functions host's own limit
_log = logging.getLogger(__name__)


class Server:
    """The host's HTTP side."""

    def __init__(self, host: SharedHost) -> None:
        self._host = host
        self._running: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_get("/admin/host/status", self._status)
        app.router.add_get("/admin/functions", self._listing)
        app.router.add_get("/admin/durable/client", self._binding)
        app.router.add_post("/admin/functions/{name}", self._trigger)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.on_shutdown.append(self._finish)
        return app

    async def _finish(self, _: web.Application) -> None:
        """Wait for functions that were triggered by hand."""
        await asyncio.gather(*self._running)

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response({"state": "Running", "functions": len(self._host.functions)})

    async def _listing(self, _: web.Request) -> web.Response:
        found = [{"name": one.name, "trigger": one.kind} for one in self._host.functions.values()]
        return web.json_response(found)

    async def _binding(self, _: web.Request) -> web.Response:
        """Answer with the text that the SDK's durable client is made from."""
        return web.json_response(self._host.management.client_binding())

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = dict(request.headers)
        try:
            answer = await asyncio.to_thread(self._invoke, request.method, str(request.url), headers, body)
        except Exception as error:  # noqa: BLE001  what a function raises is its own failure, not the server's
            _log.warning("%s %s failed: %s", request.method, _route(request.path), where(error))
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        return web.Response(
            status=answer.status_code,
            body=answer.get_body(),
            headers={name: value for name, value in answer.headers.items() if name.lower() != "content-length"},
            content_type=None if "content-type" in answer.headers else answer.mimetype,
        )

    def _invoke(self, method: str, url: str, headers: dict[str, str], body: bytes) -> HttpResponse:
        with self._host.turns.taken():
            return self._host.invoke_http(method, url, headers, body)

    async def _trigger(self, request: web.Request) -> web.Response:
        """Run a function without its trigger; like the Functions host, answer before it has ended.

        https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http
        """
        name = request.match_info["name"]
        function = self._host.functions.get(name)
        if function is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        raw = await request.read()
        given = json.loads(raw).get("input") if raw else None
        trigger = _TRIGGERS.get(function.kind)
        if trigger is None:
            return web.json_response(
                {"Message": f"a {function.kind} is not run by hand"}, status=HTTPStatus.BAD_REQUEST
            )
        task = asyncio.create_task(self._run(name, trigger(given)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _run(self, name: str, value: object) -> None:
        def work() -> None:
            with self._host.turns.taken():
                self._host.invoke(name, value)

        try:
            await asyncio.to_thread(work)
        except Exception as error:  # noqa: BLE001  it was answered for already; the log is where to look
            _log.warning("function %s failed: %s", name, where(error))


def _route(path: str) -> str:
    """Return a path as a log may say it: what follows `links/` decides."""
    before, found, _ = path.partition("/links/")
    return before + found


def _queue(given: Any) -> object:  # noqa: ANN401  any JSON value
    body = given if isinstance(given, str) else json.dumps(given)
    return bindings.queue_message(QueueInput(body, "by-hand"))


def _hub(given: Any) -> object:  # noqa: ANN401  any JSON value
    body = given if isinstance(given, str) else json.dumps(given)
    return bindings.hub_events([HubInput(body.encode())])


def _timer(_: Any) -> object:  # noqa: ANN401  what is given to a timer says nothing
    return bindings.timer_request(past_due=False)


_TRIGGERS: dict[str, Callable[[Any], object]] = {
    "queueTrigger": _queue,
    "eventHubTrigger": _hub,
    "timerTrigger": _timer,
}
