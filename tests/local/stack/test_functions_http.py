from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

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
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw, headers = response.read(), {name.lower(): value for name, value in response.getheaders()}
        is_json = headers.get("content-type", "").startswith("application/json") and raw
        return response.status, json.loads(raw) if is_json else raw.decode(), headers
    finally:
        connection.close()


def with_client(port: int, use: Callable[[DurableOrchestrationClient], Awaitable[None]]) -> None:
    """Let the SDK's own client, over its own HTTP, be used."""
    _, binding, _ = ask(port, "GET", "/admin/durable/client")

    async def main() -> None:
        try:
            await use(DurableOrchestrationClient(json.dumps(binding)))
        finally:
            await http_utils._close_session()

    asyncio.run(main())


async def ended(client: DurableOrchestrationClient, instance: str) -> Any:
    """Return an instance's status once it has ended."""
    for _ in range(600):
        status = await client.get_status(instance)
        if status.runtime_status in ENDED:
            return status
        await asyncio.sleep(0.05)
    raise AssertionError(f"{instance} never ended")


def test_the_unmodified_client_leads_an_instance_to_its_end(port: int) -> None:
    """The SDK's client starts an instance over HTTP, sees it wait, raises its event and reads its output."""

    async def use(client: DurableOrchestrationClient) -> None:
        assert await client.start_new("greet", "one") == "one"
        waiting = await client.get_status("one", show_input=True)
        assert (waiting.name, waiting.instance_id) == ("greet", "one")
        await client.raise_event("one", "name", "Ann")
        status = await ended(client, "one")
        assert status.runtime_status is Status.Completed
        assert status.output == 'Hello "Ann"!'  # this client writes what it sends as JSON twice

    with_client(port, use)


def test_the_unmodified_client_stops_and_forgets(port: int) -> None:
    """The SDK's client suspends, resumes, terminates and purges; what was purged is not found any more."""

    async def use(client: DurableOrchestrationClient) -> None:
        await client.start_new("greet", "one")
        await client.suspend("one", "wait")
        assert (await client.get_status("one")).runtime_status is Status.Suspended
        await client.resume("one", "go on")
        await client.terminate("one", "enough")
        status = await ended(client, "one")
        assert (status.runtime_status, status.output) == (Status.Terminated, "enough")
        assert [found.instance_id for found in await client.get_status_by(runtime_status=[Status.Terminated])] == [
            "one"
        ]
        assert (await client.purge_instance_history("one")).instances_deleted == 1
        assert not await client.get_status("one")

    with_client(port, use)


def test_events_for_nobody_and_for_the_ended(port: int) -> None:
    """An event for an unknown instance is an error to the client, and so is one for an instance that has ended."""

    async def use(client: DurableOrchestrationClient) -> None:
        with pytest.raises(Exception, match="No instance with ID nobody found"):
            await client.raise_event("nobody", "name", "Ann")
        await client.start_new("greet", "one")
        await client.terminate("one", "enough")
        await ended(client, "one")
        with pytest.raises(Exception, match="completed or failed"):
            await client.raise_event("one", "name", "Ann")

    with_client(port, use)


def test_management_answers_with_the_extensions_statuses(port: int) -> None:
    """The management API speaks HTTP as the extension does: 202 with Location, 404, 410, 200 at the end."""
    base = "/runtime/webhooks/durabletask"
    status, links, headers = ask(port, "POST", f"{base}/orchestrators/greet/one")
    assert (status, headers["location"]) == (202, links["statusQueryGetUri"])
    assert links["statusQueryGetUri"] == f"http://127.0.0.1:{port}{base}/instances/one"
    assert ask(port, "GET", f"{base}/instances/one")[0] == 202
    assert ask(port, "GET", f"{base}/instances/nobody")[0] == 404
    assert ask(port, "POST", f"{base}/instances/one/terminate?reason=x")[0] == 202
    assert eventually(lambda: ask(port, "GET", f"{base}/instances/one")[0] == 200)
    assert ask(port, "POST", f"{base}/instances/one/terminate?reason=x")[0] == 410
    assert ask(port, "POST", f"{base}/orchestrators/nothing/two")[0] == 400


def test_a_function_starts_an_instance_and_links_to_it(port: int) -> None:
    """The links that a function hands out lead to this server."""
    status, links, _ = ask(port, "GET", "/api/start/one")
    assert status == 202
    assert links["sendEventPostUri"].startswith(f"http://127.0.0.1:{port}/")
    assert ask(port, "GET", "/runtime/webhooks/durabletask/instances/one")[1]["name"] == "greet"


def test_routes_answer_as_the_function_does(port: int) -> None:
    """A route's status, body and headers arrive; other methods and paths are refused."""
    status, text, headers = ask(port, "GET", "/api/echo/hi%20there")
    assert (status, text, headers["x-said"]) == (201, "hi there", "yes")
    assert ask(port, "POST", "/api/echo/hi")[0] == 405
    assert ask(port, "GET", "/nowhere")[0] == 404


def test_a_failing_function_says_nothing_of_why(port: int, supervise: MakeSupervisor) -> None:
    """What a function raises is a 500 without a body, and its words are not in the log."""
    assert ask(port, "GET", "/api/broken?q=private")[:2] == (500, "")
    log = supervise().log("functions").read_text()
    assert "RuntimeError" in log
    assert "private" not in log


def test_activities_run_beside_each_other(port: int) -> None:
    """Two activities that wait for each other both come to their end."""

    async def use(client: DurableOrchestrationClient) -> None:
        await client.start_new("gather", "one")
        assert (await ended(client, "one")).output == ["a", "b"]

    with_client(port, use)


def test_instances_survive_a_kill(port: int, supervise: MakeSupervisor, folder: Path) -> None:
    """An instance that waited when the host was killed hears its event from the next host."""
    base = "/runtime/webhooks/durabletask"
    ask(port, "POST", f"{base}/orchestrators/greet/one")
    running = state.load(folder).entries["functions"].process
    assert running is not None
    processes.kill([running.pid])
    supervise(functions("durable_app")).up(keep=True)
    assert ask(port, "POST", f"{base}/instances/one/raiseEvent/name", "Ann")[0] == 202
    assert eventually(lambda: ask(port, "GET", f"{base}/instances/one")[0] == 200)
    assert ask(port, "GET", f"{base}/instances/one")[1]["output"] == "Hello Ann!"


def test_admin_knows_what_it_may_run(port: int) -> None:
    """By hand only functions with a trigger for it are run; the others are refused, and unknown ones not found."""
    assert ask(port, "POST", "/admin/functions/nothing", {"input": ""})[0] == 404
    assert ask(port, "POST", "/admin/functions/hello", {"input": ""})[0] == 400
    assert {"name": "hello", "trigger": "activityTrigger"} in ask(port, "GET", "/admin/functions")[1]


def test_it_listens_on_loopback_only(port: int) -> None:
    """The host answers on 127.0.0.1 and on no other address of this machine."""
    assert sockets.listens(port)
    with pytest.raises(OSError, match="refused"):
        HTTPConnection("127.0.0.2", port, timeout=5).connect()
