from __future__ import annotations

import json
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func
import pytest

if TYPE_CHECKING:
    from tests.local.durable.conftest import App, Rig

Context = Any
Flow = Generator[Any, Any, Any]
BASE = "/runtime/webhooks/durabletask"

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")


def wait(context: Context) -> Flow:
    """Wait for an event; return the input and what came."""
    context.set_custom_status("waiting")
    came = yield context.wait_for_external_event("go")
    if came == "fail":
        raise ValueError("told to fail")
    return [context.get_input(), came]


class Script:
    """An HTTP function that does with its client whatever the test says."""

    def __init__(self) -> None:
        self.step: Callable[[Any], Any] = lambda _: None
        self.result: Any = None

    def build(self, app: App) -> None:
        """Register the orchestrator and the function."""

        async def use_client(req: func.HttpRequest, client: Any) -> func.HttpResponse:
            self.result = await self.step(client)
            if isinstance(self.result, str) and self.result.startswith("new-"):
                return client.create_check_status_response(req, self.result)  # type: ignore[no-any-return]
            return func.HttpResponse("ok")

        app.orchestrator(wait)
        app.client(use_client)


@pytest.fixture
def script() -> Script:
    """Return the script of the function."""
    return Script()


@pytest.fixture
def rig(make_rig: Callable[..., Rig], script: Script) -> Rig:
    """Return a hub with the waiting orchestrator and the scripted function."""
    return make_rig(script.build)


@pytest.fixture
def ask(rig: Rig, script: Script) -> Callable[[Callable[[Any], Any]], Any]:
    """Return a way to use the SDK's client inside of a function."""

    def ask_client(step: Callable[[Any], Any]) -> Any:
        script.step = step
        rig.host.invoke_http("GET", "/api/use_client")
        rig.hub.run_until_idle()
        return script.result

    return ask_client


Ask = Callable[[Callable[[Any], Any]], Any]


def http(rig: Rig, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """Send a request to the management API through the host, as a webhook's caller would."""
    sent = b"" if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    response = rig.host.invoke_http(method, BASE + path, kind | headers, sent)
    raw = response.get_body()
    return response.status_code, json.loads(raw) if raw else None


def test_client_starts_signals_and_reads_an_instance(rig: Rig, ask: Ask) -> None:
    """The SDK's unmodified client starts an instance, raises its event and reads input and output."""
    assert ask(lambda c: c.start_new("wait", "w", {"a": 1})) == "w"
    running = ask(lambda c: c.get_status("w", show_input=True))
    assert (running.runtime_status, running.custom_status) == (
        df.OrchestrationRuntimeStatus.Running,
        "waiting",
    )
    assert json.loads(running.input_) == {"a": 1}
    ask(lambda c: c.raise_event("w", "go", {"yes": True}))
    done = ask(lambda c: c.get_status("w"))
    assert done.runtime_status is df.OrchestrationRuntimeStatus.Completed
    assert done.output == [{"a": 1}, '{"yes": true}']  # the client's event data is JSON text, as on Azure
    assert done.created_time == rig.clock.now


def test_client_gets_the_management_links(rig: Rig, script: Script) -> None:
    """A starter's usual answer is 202 with links whose origin is that of the request."""
    script.step = lambda client: client.start_new("wait")
    response = rig.host.invoke_http("GET", "http://example.test/api/use_client")
    links = json.loads(response.get_body())
    assert response.status_code == 202
    assert links["id"] == "new-1"
    assert links["statusQueryGetUri"] == f"http://example.test{BASE}/instances/new-1"
    assert response.headers["Location"] == links["statusQueryGetUri"]
    assert links["sendEventPostUri"].endswith("/instances/new-1/raiseEvent/{eventName}")


def test_client_hears_why_a_start_is_refused(ask: Ask) -> None:
    """An unknown orchestrator, an id in use and an impossible id are refused with a reason."""
    with pytest.raises(Exception, match="no orchestrator function 'nothing'"):
        ask(lambda c: c.start_new("nothing"))
    ask(lambda c: c.start_new("wait", "w"))
    with pytest.raises(Exception, match="not finished already exists"):
        ask(lambda c: c.start_new("wait", "w"))
    with pytest.raises(Exception, match="an instance id has"):
        ask(lambda c: c.start_new("wait", "@entity"))


def test_client_replaces_a_finished_instance(ask: Ask) -> None:
    """As on Azure, a start on the id of a finished instance begins anew."""
    ask(lambda c: c.start_new("wait", "w", 1))
    ask(lambda c: c.raise_event("w", "go"))
    ask(lambda c: c.start_new("wait", "w", 2))
    status = ask(lambda c: c.get_status("w", show_input=True))
    assert (status.runtime_status, status.input_) == (df.OrchestrationRuntimeStatus.Running, "2")


def test_client_terminates_suspends_resumes_and_purges(ask: Ask) -> None:
    """The steering calls of the client reach the instance; for an ended one they are no error."""
    ask(lambda c: c.start_new("wait", "w"))
    ask(lambda c: c.suspend("w", "lunch"))
    assert ask(lambda c: c.get_status("w")).runtime_status is df.OrchestrationRuntimeStatus.Suspended
    ask(lambda c: c.resume("w", "back"))
    assert ask(lambda c: c.purge_instance_history("w")).instances_deleted == 0
    ask(lambda c: c.terminate("w", "enough & done"))
    ended = ask(lambda c: c.get_status("w"))
    assert (ended.runtime_status, ended.output) == (df.OrchestrationRuntimeStatus.Terminated, "enough & done")
    ask(lambda c: c.terminate("w", "again"))
    ask(lambda c: c.suspend("w", "again"))
    with pytest.raises(Exception, match="is gone"):
        ask(lambda c: c.raise_event("w", "go"))
    assert ask(lambda c: c.purge_instance_history("w")).instances_deleted == 1
    assert not ask(lambda c: c.get_status("w"))


def test_client_hears_of_an_instance_that_does_not_exist(ask: Ask) -> None:
    """Steering or signalling an unknown instance is an error, reading or purging it is not."""
    for call in (
        lambda c: c.raise_event("w", "go"),
        lambda c: c.terminate("w", ""),
        lambda c: c.suspend("w", ""),
        lambda c: c.resume("w", ""),
    ):
        with pytest.raises(Exception, match="No instance with ID"):
            ask(call)
    assert not ask(lambda c: c.get_status("w"))
    assert ask(lambda c: c.purge_instance_history("w")).instances_deleted == 0


def test_client_lists_and_purges_by_condition(rig: Rig, ask: Ask) -> None:
    """Instances are found by state, time and prefix, and purged by the same conditions."""
    ask(lambda c: c.start_new("wait", "a-1"))
    rig.clock.advance(hours=1)
    ask(lambda c: c.start_new("wait", "a-2"))
    ask(lambda c: c.start_new("wait", "b-1"))
    ask(lambda c: c.terminate("a-1", ""))
    running = df.OrchestrationRuntimeStatus.Running
    since = rig.clock.now - timedelta(minutes=1)

    def ids(found: Any) -> list[str]:
        return [status.instance_id for status in found]

    assert ids(ask(lambda c: c.get_status_all())) == ["a-1", "a-2", "b-1"]
    assert ids(ask(lambda c: c.get_status_by(runtime_status=[running]))) == ["a-2", "b-1"]
    assert ids(ask(lambda c: c.get_status_by(created_time_from=since))) == ["a-2", "b-1"]
    assert ids(ask(lambda c: c.get_status_by(created_time_to=since))) == ["a-1"]
    assert ids(ask(lambda c: c.get_status_by(instance_id_prefix="a-"))) == ["a-1", "a-2"]
    long_ago = since - timedelta(days=1)
    assert ask(lambda c: c.purge_instance_history_by(long_ago)).instances_deleted == 1
    assert ask(lambda c: c.purge_instance_history_by(long_ago)).instances_deleted == 0


def test_webhook_speaks_the_status_codes_of_the_extension(rig: Rig) -> None:
    """A caller of the HTTP API gets 202 while it runs, 200 when it has ended, 404, 410 and 400 otherwise."""
    assert http(rig, "GET", "/instances/w")[0] == 404
    status, links = http(rig, "POST", "/orchestrators/wait/w", {"from": "webhook"})
    assert (status, links["id"]) == (202, "w")
    assert http(rig, "GET", "/instances/w")[1]["runtimeStatus"] == "Pending"
    rig.hub.run_until_idle()
    assert http(rig, "GET", "/instances/w")[0] == 202
    assert http(rig, "POST", "/orchestrators/wait/w")[0] == 409
    assert http(rig, "POST", "/instances/w/raiseEvent/go", "x", **{"Content-Type": "text/plain"})[0] == 400
    assert http(rig, "POST", "/instances/w/raiseEvent/go", {"yes": True}) == (202, None)
    rig.hub.run_until_idle()
    status, shown = http(rig, "GET", "/instances/w")
    assert (status, shown["output"]) == (200, [{"from": "webhook"}, {"yes": True}])
    for operation in ("raiseEvent/go", "terminate", "suspend", "resume"):
        assert http(rig, "POST", f"/instances/w/{operation}", {})[0] == 410
        assert http(rig, "POST", f"/instances/nobody/{operation}", {})[0] == 404
    assert http(rig, "POST", "/instances/w/rewind")[0] == 501
    assert http(rig, "DELETE", "/instances/w") == (200, {"instancesDeleted": 1})
    assert http(rig, "DELETE", "/instances/w")[0] == 404


def test_failed_instance_is_200_unless_500_is_asked_for(rig: Rig) -> None:
    """A failure is an answer, not a server error, except for callers that want it to be one."""
    http(rig, "POST", "/orchestrators/wait/w")
    http(rig, "POST", "/instances/w/raiseEvent/go", "fail")
    rig.hub.run_until_idle()
    status, shown = http(rig, "GET", "/instances/w")
    assert (status, shown["runtimeStatus"]) == (200, "Failed")
    assert shown["output"] == "Orchestrator function 'wait' failed: told to fail"
    assert http(rig, "GET", "/instances/w?returnInternalServerErrorOnFailure=true")[0] == 500


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/orchestrators/unknown", 400),
        ("DELETE", "/instances", 400),
        ("GET", "/instances?top=many", 400),
        ("GET", "/instances?createdTimeFrom=yesterday", 400),
        ("GET", "/instances?runtimeStatus=Happy", 400),
        ("GET", "/nothing", 404),
        ("POST", "/instances/w/dance", 404),
        ("DELETE", "/orchestrators/wait", 404),
        ("PATCH", "/instances/w", 405),
    ],
)
def test_nonsense_is_refused(rig: Rig, method: str, path: str, status: int) -> None:
    """Requests that make no sense get a client error."""
    assert http(rig, method, path)[0] == status


def test_broken_json_is_refused(rig: Rig) -> None:
    """A body that is not JSON starts nothing."""
    response = rig.host.invoke_http("POST", f"{BASE}/orchestrators/wait/w", body="{broken")
    assert response.status_code == 400
    assert rig.hub.status("w") is None


def test_list_is_paged_by_a_continuation_token(rig: Rig) -> None:
    """Pages follow one another without gap or overlap until the token is empty."""
    for number in range(7):
        rig.hub.start("wait", f"w-{number}")
    seen, token = [], ""
    while True:
        headers = {"x-ms-continuation-token": token}
        page = rig.host.invoke_http("GET", f"{BASE}/instances?top=3", headers)
        seen += [item["instanceId"] for item in json.loads(page.get_body())]
        token = page.headers["x-ms-continuation-token"]
        if not token:
            break
    assert seen == [f"w-{number}" for number in range(7)]


def test_history_is_shown_on_demand_without_payloads(rig: Rig) -> None:
    """The status can carry the events of the history, and their payloads only when asked for."""
    http(rig, "POST", "/orchestrators/wait/w")
    http(rig, "POST", "/instances/w/raiseEvent/go", "secret")
    rig.hub.run_until_idle()
    plain = http(rig, "GET", "/instances/w?showHistory=true&showInput=false")[1]
    raised = next(event for event in plain["historyEvents"] if event.get("Name") == "go" and "Input" not in event)
    assert raised["EventType"] in {15, 101}
    full = http(rig, "GET", "/instances/w?showHistory=true&showHistoryOutput=true")[1]
    assert any(event.get("Input") == '"secret"' for event in full["historyEvents"])


def test_restart_begins_a_copy_or_the_same_id_anew(rig: Rig) -> None:
    """Restarting takes name and input of an instance, under a new id or its own once it has ended."""
    http(rig, "POST", "/orchestrators/wait/w", {"n": 1})
    status, links = http(rig, "POST", "/instances/w/restart")
    assert (status, rig.instance(links["id"]).input) == (202, '{"n": 1}')
    assert http(rig, "POST", "/instances/w/restart?restartWithNewInstanceId=false")[0] == 409
    rig.hub.terminate("w")
    assert http(rig, "POST", "/instances/w/restart?restartWithNewInstanceId=false")[0] == 202
    assert http(rig, "POST", "/instances/nobody/restart")[0] == 400
