from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, List  # noqa: UP035  the worker accepts typing.List only

import azure.durable_functions as df
import azure.functions as func
import pytest

from local.durable.store import Store
from local.functions_host import FunctionsHost, bindings
from local.functions_host.bindings import HubInput, QueueInput
from local.functions_host.host import Settings
from local.functions_host.routes import compile_route
from local.sqlite.database import Database
from shared.errors import NotFound

NOW = datetime(2025, 3, 1, tzinfo=UTC)

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")


@pytest.fixture
def blueprint() -> Any:
    """Return an empty blueprint."""
    return df.Blueprint()


@pytest.fixture
def serve(blueprint: Any) -> Iterator[Callable[..., FunctionsHost]]:
    """Return a way to host the blueprint, closed at the end."""
    hosts: list[FunctionsHost] = []

    def start(settings: Settings | None = None) -> FunctionsHost:
        app = df.DFApp()
        app.register_functions(blueprint)
        hosts.append(FunctionsHost(app, Store(Database(None)), lambda: NOW, settings=settings))
        return hosts[-1]

    yield start
    for host in hosts:
        host.close()


Serve = Callable[..., FunctionsHost]


def describe(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with what arrived."""
    seen = {
        "method": req.method,
        "url": req.url,
        "route": dict(req.route_params),
        "query": dict(req.params),
        "header": req.headers.get("X-Test"),
        "body": req.get_body().decode(),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


def test_http_function_sees_method_route_query_headers_and_body(blueprint: Any, serve: Serve) -> None:
    """A request arrives as azure-functions' own HttpRequest with decoded route parameters."""
    blueprint.route(route="tasks/{id}/notes", methods=["POST"])(describe)
    answer = serve().invoke_http("post", "/api/tasks/a%20b/notes?x=1&y=", {"x-test": "yes"}, "ünï")
    assert json.loads(answer.get_body()) == {
        "method": "POST",
        "url": "http://127.0.0.1:7071/api/tasks/a%20b/notes?x=1&y=",
        "route": {"id": "a b"},
        "query": {"x": "1", "y": ""},
        "header": "yes",
        "body": "ünï",
    }


def test_unknown_path_is_404_and_wrong_method_405(blueprint: Any, serve: Serve) -> None:
    """A path without a route is not found, a route without the method says which it allows."""
    blueprint.route(route="tasks", methods=["POST", "GET"])(describe)
    host = serve()
    assert host.invoke_http("GET", "/api/other").status_code == 404
    assert host.invoke_http("GET", "/tasks").status_code == 404
    refused = host.invoke_http("DELETE", "/api/tasks")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, POST")


def test_literal_routes_come_before_parameters(blueprint: Any, serve: Serve) -> None:
    """A route that names a segment wins over one that takes any, whatever their order in the app."""

    def anything(req: func.HttpRequest) -> str:
        return f"any {req.route_params['id']}"

    def latest(req: func.HttpRequest) -> str:
        return f"latest {dict(req.route_params)}"

    blueprint.route(route="tasks/{id}")(anything)
    blueprint.route(route="tasks/latest")(latest)
    host = serve()
    assert host.invoke_http("GET", "/api/tasks/latest").get_body() == b"latest {}"
    assert host.invoke_http("GET", "/api/tasks/7").get_body() == b"any 7"


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("a/{x}", "/a/b", {"x": "b"}),
        ("a/{x}", "/A/b/", {"x": "b"}),
        ("a/{x}", "/a/b/c", None),
        ("a/{x:int}", "/a/12", {"x": "12"}),
        ("a/{x:int}", "/a/b", None),
        ("a/{x?}", "/a", {}),
        ("a/{*rest}", "/a/b/c", {"rest": "b/c"}),
        ("a/{x}", "/a/b%2Fc", {"x": "b/c"}),
        ("", "/", {}),
    ],
)
def test_route_templates(template: str, path: str, expected: dict[str, str] | None) -> None:
    """Templates match as in the Functions host: case-insensitive, typed, optional and catch-all parameters."""
    assert compile_route(template).match(path) == expected


def test_unknown_route_syntax_is_refused_at_start() -> None:
    """A template that this host cannot match is an error when the app is loaded."""
    with pytest.raises(ValueError, match="length"):
        compile_route("a/{x:length}")


def test_async_functions_share_one_event_loop(blueprint: Any, serve: Serve) -> None:
    """Two calls of an async function run on the same loop, so that clients may be kept between them."""
    import asyncio  # noqa: PLC0415  for this test only

    loops: list[object] = []

    async def note(req: func.HttpRequest) -> str:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return str(req.method)

    blueprint.route(route="note")(note)
    host = serve()
    assert host.invoke_http("GET", "/api/note").get_body() == b"GET"
    assert host.invoke_http("PUT", "/api/note").get_body() == b"PUT"
    assert loops[0] is loops[1]


def test_function_without_answer_is_204(blueprint: Any, serve: Serve) -> None:
    """An HTTP function that returns nothing answers with no content."""

    def silent(req: func.HttpRequest) -> None:
        req.get_body()

    blueprint.route(route="silent")(silent)
    assert serve().invoke_http("GET", "/api/silent").status_code == 204


def test_queue_function_gets_a_real_message(blueprint: Any, serve: Serve) -> None:
    """A queue's message arrives with its body, id, dequeue count and times, through the SDK's converter."""
    seen: list[func.QueueMessage] = []

    def handle(msg: func.QueueMessage) -> None:
        seen.append(msg)

    blueprint.queue_trigger(arg_name="msg", queue_name="reviews", connection="Storage")(handle)
    serve().invoke_queue("reviews", QueueInput(b'{"n": 1}', "m-1", dequeue_count=3, inserted=NOW))
    (message,) = seen
    assert (message.get_json(), message.id, message.dequeue_count) == ({"n": 1}, "m-1", 3)
    assert message.insertion_time == NOW


def test_failure_of_a_queue_function_reaches_the_caller(blueprint: Any, serve: Serve) -> None:
    """Whoever delivers a message learns that it was not handled."""

    def handle(msg: func.QueueMessage) -> None:
        raise ValueError(msg.id)

    blueprint.queue_trigger(arg_name="msg", queue_name="reviews", connection="Storage")(handle)
    host = serve()
    with pytest.raises(ValueError, match="m-1"):
        host.invoke_queue("reviews", QueueInput("x", "m-1"))
    with pytest.raises(NotFound, match="nobody-listens"):
        host.invoke_queue("nobody-listens", QueueInput("x", "m-1"))


def test_queue_function_starts_an_orchestration_with_its_client(blueprint: Any, serve: Serve) -> None:
    """A queue trigger with a durable client starts an instance that runs to its end."""

    def shout(context: Any) -> str:
        return str(context.get_input()).upper()

    async def starter(msg: func.QueueMessage, client: Any, context: func.Context) -> None:
        assert context.function_name == "starter"
        await client.start_new("shout", msg.id, msg.get_body().decode())

    blueprint.orchestration_trigger(context_name="context")(shout)
    bound = blueprint.durable_client_input(client_name="client")(starter)
    blueprint.queue_trigger(arg_name="msg", queue_name="words", connection="Storage")(bound)
    host = serve()
    host.invoke_queue("words", QueueInput("hello", "m-9"))
    host.hub.run_until_idle()
    found = host.hub.status("m-9")
    assert found is not None
    assert found.output == '"HELLO"'


def test_async_activity_runs_on_the_loop(blueprint: Any, serve: Serve) -> None:
    """An activity may be async."""

    async def reverse(text: str) -> str:
        return text[::-1]

    def flow(context: Any) -> Any:
        return (yield context.call_activity("reverse", "abc"))

    blueprint.activity_trigger(input_name="text")(reverse)
    blueprint.orchestration_trigger(context_name="context")(flow)
    host = serve()
    host.hub.start("flow", "f")
    host.hub.run_until_idle()
    found = host.hub.status("f")
    assert found is not None
    assert found.output == '"cba"'


def test_timer_and_event_hub_functions_get_real_inputs(blueprint: Any, serve: Serve) -> None:
    """A tick says whether it is late; an event hub's batch keeps keys, numbers and bodies."""
    ticks: list[bool] = []
    batches: list[list[tuple[object, ...]]] = []

    def tick(timer: func.TimerRequest) -> None:
        ticks.append(timer.past_due)

    def take(events: List[func.EventHubEvent]) -> None:  # noqa: UP006  the worker accepts typing.List only
        batches.append([(event.get_body(), event.partition_key, event.sequence_number) for event in events])

    blueprint.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")(tick)
    blueprint.event_hub_message_trigger(
        arg_name="events", event_hub_name="facts", connection="Hub", cardinality="many"
    )(take)
    host = serve()
    host.invoke("tick", bindings.timer_request(past_due=True))
    batch = [HubInput(b"one", "k", 1, enqueued=NOW), HubInput(b"two", "k", 2, enqueued=NOW)]
    host.invoke("take", bindings.hub_events(batch))
    assert ticks == [True]
    assert batches == [[(b"one", "k", 1), (b"two", "k", 2)]]


def test_parameter_without_binding_is_refused_at_start(blueprint: Any, serve: Serve) -> None:
    """What the cloud's worker would refuse is refused here, with the function's name."""

    def odd(req: func.HttpRequest, extra: str) -> str:
        return f"{req.method} {extra}"

    blueprint.route(route="odd")(odd)
    with pytest.raises(ValueError, match=r"'odd'.* extra"):
        serve()


def test_binding_that_the_host_lacks_is_refused_at_start(blueprint: Any, serve: Serve) -> None:
    """A function that needs more than this host has is an error when the app is loaded."""

    def forward(req: func.HttpRequest, out: func.Out[str]) -> str:
        out.set(req.method)
        return "ok"

    bound = blueprint.queue_output(arg_name="out", queue_name="q", connection="Storage")(forward)
    blueprint.route(route="forward")(bound)
    with pytest.raises(ValueError, match=r"'forward'.* no queue binding"):
        serve()


def test_durable_client_needs_an_async_function(blueprint: Any, serve: Serve) -> None:
    """A sync function with a durable client fails in the cloud, and is refused here at start."""

    def sync(req: func.HttpRequest, client: Any) -> str:
        return f"{req.method} {client}"

    blueprint.route(route="sync")(blueprint.durable_client_input(client_name="client")(sync))
    with pytest.raises(ValueError, match=r"'sync'.* async"):
        serve()


def test_settings_come_from_host_json(tmp_path: Path, blueprint: Any, serve: Serve) -> None:
    """The route prefix and the dequeue limit are those of host.json, with the host's own defaults."""
    blueprint.route(route="here")(describe)
    file = tmp_path / "host.json"
    file.write_text('{"extensions": {"http": {"routePrefix": "v1"}}}')
    host = serve(Settings.read(file))
    assert host.invoke_http("GET", "/v1/here").status_code == 200
    assert host.invoke_http("GET", "/api/here").status_code == 404
    assert host.settings.max_dequeue_count == 5


def test_app_is_found_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host loads a function app by the name of its module."""
    source = (
        "import azure.functions as func\n"
        "def ping(req: func.HttpRequest) -> str:\n    return 'pong'\n"
        "app = func.FunctionApp()\n"
        "app.route(route='ping')(ping)\n"
    )
    (tmp_path / "app_by_name.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    host = FunctionsHost("app_by_name", Store(Database(None)), lambda: NOW)
    assert host.invoke_http("GET", "/api/ping").get_body() == b"pong"
