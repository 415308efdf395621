"""The service behind HTTP on 127.0.0.1, and `/_models/…` to steer it and to see what was asked.

May know aiohttp and the clock; what is answered is the service's business, how and when bytes are sent is decided
in its replies. A client that goes away is not waited for.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.model_server import scenario
from local.model_server.clock import Clock, RealClock, VirtualClock
from local.model_server.exchange import Call, Reply
from local.model_server.service import MOST_BYTES, ModelService
from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOST = "127.0.0.1"
HEALTH = "/_models/health"
SECONDS = "x-model-server-seconds"  # when the first byte was due, which a virtual clock does not wait for
_PATIENCE = 3600.0  # how long a request that gets no answer is held
_TICK = 0.1  # seconds between two drops of a slow drip
_GRACE = 1.0  # seconds that requests under way get when the server ends


class _Moment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    now: float = Field(allow_inf_nan=False)


class Server:
    """The HTTP side. A scenario put at run time is kept in `keep`: a server started again begins it anew."""

    def __init__(self, service: ModelService, clock: Clock, keep: Path | None = None) -> None:
        self._service = service
        self._clock = clock
        self._keep = keep

    def app(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=2 * MOST_BYTES, middlewares=[_worded])
        app.router.add_get(HEALTH, self._health)
        app.router.add_get("/_models/scenario", self._scenario)
        app.router.add_put("/_models/scenario", self._use)
        app.router.add_get("/_models/log", self._log)
        app.router.add_delete("/_models/log", self._forget)
        app.router.add_post("/_models/clock", self._set)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    # steering

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"now": self._clock.now(), "virtual": isinstance(self._clock, VirtualClock)})

    async def _scenario(self, _: web.Request) -> web.Response:
        return web.json_response(self._service.scenario.model_dump(exclude_defaults=True))

    async def _use(self, request: web.Request) -> web.Response:
        toml = request.content_type == "application/toml"
        given = scenario.read((await request.read()).decode(), toml=toml)
        self._service.use(given, self._clock.now())
        if self._keep is not None:
            begun = self._keep.with_suffix(".new")
            begun.write_text(given.model_dump_json(exclude_unset=True), encoding="utf-8")
            begun.replace(self._keep)  # at once: a kill in between leaves the old one
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _log(self, request: web.Request) -> web.Response:
        wanted = request.query
        entries = self._service.log.entries(
            deployment=wanted.get("deployment", ""),
            after=_number(wanted.get("after", "0")),
            limit=_number(wanted["limit"]) if "limit" in wanted else None,
        )
        return web.json_response({"requests": [asdict(entry) for entry in entries]})

    async def _forget(self, _: web.Request) -> web.Response:
        self._service.log.clear()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _set(self, request: web.Request) -> web.Response:
        try:
            moment = _Moment.model_validate_json(await request.read())
        except ValidationError as error:
            raise Permanent('say when: {"now": seconds}') from error
        self._clock.move_to(moment.now)
        return web.json_response({"now": self._clock.now()})

    # serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            method=request.method,
            path=request.rel_url.raw_path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        return await self._send(request, self._service.reply(call, self._clock.now()))

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        await self._clock.pause(min(reply.first_byte, _PATIENCE))
        told = {SECONDS: f"{reply.first_byte:.6f}"} if math.isfinite(reply.first_byte) else {}
        response = web.StreamResponse(status=reply.status, headers={**reply.headers, **told})
        if reply.ending == "silence":
            return _cut(request, response)
        if reply.length is None:
            response.enable_chunked_encoding()
        response.content_length = reply.length
        await response.prepare(request)
        await self._write(response, reply)
        if reply.ending == "broken":
            return _cut(request, response)
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, reply: Reply) -> None:
        if reply.bytes_per_second is None:
            for chunk in reply.chunks:
                await response.write(chunk)
            return
        content = reply.content
        size = max(1, round(reply.bytes_per_second * _TICK))
        for at in range(0, len(content), size):
            drop = content[at : at + size]
            await response.write(drop)
            await self._clock.pause(len(drop) / reply.bytes_per_second)


def _cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection; what was written before is sent."""
    if request.transport is not None:
        request.transport.close()
    return response


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Permanent(f"{text!r} is no number")
    return int(text)


@web.middleware
async def _worded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer what cannot be done with 400 and a sentence."""
    try:
        return await handler(request)
    except Permanent as error:
        said: dict[str, Any] = {"error": {"code": error.code, "message": str(error)}}
        return web.Response(status=HTTPStatus.BAD_REQUEST, text=json.dumps(said), content_type="application/json")


def run(server: Server, port: int) -> None:
    """Serve until stopped."""
    web.run_app(
        server.app(),
        host=HOST,
        port=port,
        print=None,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GRACE,
    )


@contextmanager
def served(service: ModelService, clock: Clock | None = None) -> Iterator[str]:
    """Serve in the background inside the block, on a free port; yields the address."""
    loop = asyncio.new_event_loop()
    app = Server(service, clock or RealClock()).app()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_GRACE)
    address = loop.run_until_complete(_started(runner))
    thread = threading.Thread(target=loop.run_forever, name="model-server", daemon=True)
    thread.start()
    try:
        yield address
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _started(runner: web.AppRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    return f"http://{HOST}:{runner.addresses[0][1]}"
