"""A function app with a durable workflow, a route that fails, and nothing that needs a storage account."""

import threading
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()
meeting = threading.Barrier(2)


def greet(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Wait for a name and greet it."""
    context.set_custom_status("waiting")
    name = yield context.wait_for_external_event("name")
    return (yield context.call_activity("hello", name))


def hello(name: str) -> str:
    """Greet."""
    return f"Hello {name}!"


def gather(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Let two activities meet."""
    return (yield context.task_all([context.call_activity("meet", name) for name in ("a", "b")]))


def meet(name: str) -> str:
    """Wait until the other one is here, too."""
    meeting.wait(timeout=20)
    return name


def echo(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with the word."""
    return func.HttpResponse(req.route_params["word"], status_code=201, headers={"X-Said": "yes"})


def broken(req: func.HttpRequest) -> func.HttpResponse:
    """Fail."""
    raise RuntimeError(f"secret words of {req.url}")


async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start the workflow from inside the app."""
    instance = await client.start_new("greet", req.route_params["instance"])
    answer: func.HttpResponse = client.create_check_status_response(req, instance)
    return answer


for _orchestrator in (greet, gather):
    app.orchestration_trigger(context_name="context")(_orchestrator)
for _activity in (hello, meet):
    app.activity_trigger(input_name="name")(_activity)
app.route(route="echo/{word}", methods=["GET"])(echo)
app.route(route="broken")(broken)
app.route(route="start/{instance}")(app.durable_client_input(client_name="client")(start))
