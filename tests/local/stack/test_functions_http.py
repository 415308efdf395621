from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import asyncio
import pytest
from azure.durable_functions import DurableOrchestrationClient, OrchestrationRuntimeStatus
from azure.durable_functions.models.utils import http_utils

from local.stack import processes, sockets, state
from tests.local.stack.serving import eventually, functions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.stack.conftest import MakeSupervisor

Status = OrchestrationRuntimeStatus
ENDED = {Status.Completed, Status.Failed, Status.Terminated}


@pytest.fixture
def port(supervise: MakeSupervisor, folder: Path) -> int:
    """Serve the durable app and return its port."""
    supervise(functions("durable_app")).up()
    return state.load(folder).entries["functions"].ports["http"]


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, Any, dict[str, str]]:
    """Send a request; return status, answer (decoded if it is JSON) and headers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw, headers = response.read(), {name.lower(): value for name, value in response.getheaders()}
        is_json = headers.get("content-type", "").startswith("application/json") and raw
        return response.status, json.loads(raw) if is_json else raw.decode(), headers
    finally:
        connection.close()
