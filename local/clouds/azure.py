"""Azure on a laptop: the real function app behind an in-process Functions host with its replay hub."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from local.durable.store import Store
from local.functions_host import FunctionsHost
from local.functions_host.bindings import QueueInput
from local.functions_host.host import Settings
from local.sqlite.broker import Message
from local.sqlite.database import Database
from local.wiring import TENANT
from shared.errors import FabricError

_HOST_JSON = Path(__file__).parents[2] / "host.json"
_QUEUE = "reviews"
_SUBJECT = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"  # what App Service makes of `sub`
_UNITS_A_TURN = 200


class _Loaded:
    """The function app, whose functions the SDK hands out only once per process."""

    def __init__(self) -> None:
        self._functions = list(importlib.import_module("function_app").app.get_functions())

    def get_functions(self) -> Sequence[Any]:
        """Return the functions."""
        return self._functions


_app = cache(_Loaded)


class Azure:
    """The review functions and the orchestrations behind them; started when something is first asked of it."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._started: FunctionsHost | None = None

    @property
    def host(self) -> FunctionsHost:
        """The Functions host."""
        if self._started is None:
            settings = Settings.read(_HOST_JSON)
            self._started = FunctionsHost(_app(), Store(self._database), self._now, settings=settings)
        return self._started

    def close(self) -> None:
        """Stop the host."""
        if self._started is not None:
            self._started.close()

    def recover(self) -> None:
        """Take back what a dead engine was at."""
        self.host.hub.recover()

    def turn(self, together: Callable[[], AbstractContextManager[object]] = nullcontext) -> bool:
        """Run some episodes and activities that are due, each inside `together`; False when there were none."""
        for unit in range(_UNITS_A_TURN):
            with together():
                if not self.host.hub.run_once():
                    return unit > 0
        return True

    def next_due(self) -> float | None:
        """Return when an orchestration wants to go on, in seconds since the epoch."""
        due = self.host.hub.next_due()
        return due.timestamp() if due else None

    def deliver_review(self, message: Message) -> str | None:
        """Hand a queue message over; return what went wrong, or None."""
        try:
            self.host.invoke_queue(_QUEUE, QueueInput(message.body, str(message.id), message.attempts + 1))
        except FabricError as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001  like the Functions host: any exception is another delivery
            return type(error).__name__  # its text may quote a document
        return None

    def call(
        self,
        method: str,
        path: str,
        *,
        person: str,
        roles: Sequence[str],
        body: str = "",
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a request as a signed-in person; return the status and the JSON answer."""
        url = f"{path}?{urlencode(query)}" if query else path
        headers = {"X-MS-CLIENT-PRINCIPAL": principal(person, roles), "Content-Type": "application/json"}
        response = self.host.invoke_http(method, url, headers, body)
        return response.status_code, json.loads(response.get_body() or b"{}")


def principal(person: str, roles: Sequence[str]) -> str:
    """Return a signed-in person's header; the person is who the other clouds are told of as a token's `sub`.

    https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """
    claims = [{"typ": _SUBJECT, "val": person}, {"typ": "name", "val": person}, {"typ": "tenant", "val": TENANT}]
    claims += [{"typ": "roles", "val": role} for role in roles]
    principal = {"auth_typ": "aad", "claims": claims, "name_typ": "name", "role_typ": "roles"}
    return base64.b64encode(json.dumps(principal).encode()).decode()
