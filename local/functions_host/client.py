"""The SDK's own DurableOrchestrationClient, with requests that stay in this process.

The client keeps its transport in three attributes of the instance; they are the only thing replaced. May
know the client and the management API; must not know the hub.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from azure.durable_functions import DurableOrchestrationClient

if TYPE_CHECKING:
    from local.durable.management import ManagementApi

_JSON = {"content-type": "application/json"}


def durable_client(api: ManagementApi, invocation_id: str) -> DurableOrchestrationClient:
    """Return a client whose requests go to the management API."""
    client = DurableOrchestrationClient(json.dumps(api.client_binding()), invocation_id)
    transport = _Transport(api)
    client._post_async_request = transport.post  # noqa: SLF001  the seam the SDK has
    client._get_async_request = transport.get  # noqa: SLF001  likewise
    client._delete_async_request = transport.delete  # noqa: SLF001  likewise
    return client


class _Transport:
    """Answers like the SDK's HTTP helpers: a status and the decoded body."""

    def __init__(self, api: ManagementApi) -> None:
        self._api = api

    async def post(
        self,
        url: str,
        data: object = None,
        trace_parent: str | None = None,
        trace_state: str | None = None,
        function_invocation_id: str | None = None,
    ) -> list[object]:
        """Send `data` as JSON; the trace and invocation ids have no reader here."""
        del trace_parent, trace_state, function_invocation_id
        return self._ask("POST", url, b"" if data is None else json.dumps(data).encode())

    async def get(self, url: str, function_invocation_id: str | None = None) -> list[object]:
        """Ask for `url`; an empty answer is an empty text, as the SDK has it."""
        del function_invocation_id
        status, body = self._ask("GET", url)
        return [status, "" if body is None else body]

    async def delete(self, url: str, function_invocation_id: str | None = None) -> list[object]:
        """Delete `url`."""
        del function_invocation_id
        return self._ask("DELETE", url)

    def _ask(self, method: str, url: str, body: bytes = b"") -> list[object]:
        parts = urlsplit(url)
        answer = self._api.handle(method, parts.path, parts.query, body, _JSON)
        return [answer.status, answer.body]
