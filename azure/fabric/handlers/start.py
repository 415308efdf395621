"""Starting, waking and stopping reviews: from the queue `reviews`, or by HTTP with the same event as the body.

Doing it twice is doing it once. A message that cannot be obeyed is raised: the host delivers it again and, after
`maxDequeueCount` (host.json) deliveries, moves it to `reviews-poison`, where a person finds it.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from azure.fabric import names, wiring
from azure.fabric.wire import Review, answer, answered_later, body_of, event_of, tenant_spoken_for
from shared.core.admission import tenant_policy
from shared.core.workflow import workflow
from shared.errors import Permanent, Transient
from shared.events.catalog import AnyEvent

Status = df.OrchestrationRuntimeStatus
_ACTIVE = [Status.Pending, Status.Running, Status.Suspended]

logger = logging.getLogger(__name__)
blueprint = df.Blueprint()


async def on_review_message(message: func.QueueMessage, client: df.DurableOrchestrationClient) -> None:
    """Obey one message of the queue."""
    event = event_of(message.get_body())
    logger.info("%s of %s: %s", event.type, event.taskid, await obey(client, event))


async def post_review(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Obey the event in the request's body: 202, or what is wrong with it."""
    return await answered_later(_post(req, client))


async def _post(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    tenant = tenant_spoken_for(req.headers, vouched=wiring.identity_is_vouched_for())
    ports = wiring.ports()
    if tenant is not None:
        tenant_policy(ports.tenants, tenant)
    event = event_of(body_of(req), tenant=tenant)
    tenant_policy(ports.tenants, event.tenant)
    ports.tasks.load(event.tenant, event.taskid)  # NotFound: the body's tenant may be right and its task another's
    done = await obey(client, event)
    return answer(202, {"review": _review(event), "done": done})


async def obey(client: df.DurableOrchestrationClient, event: AnyEvent) -> str:
    """Do what the event asks of a review and say what that was; Permanent when it asks nothing of one."""
    act = _ACTS.get(event.type)
    if act is None:
        what = f"{event.type} starts, wakes or stops no review; known: {', '.join(_ACTS)}"
        raise Permanent(what, code="not-for-reviews", where="type")
    return await act(client, event)


async def _start(client: df.DurableOrchestrationClient, event: AnyEvent) -> str:
    placed = event.data
    if placed.cloud != "azure":
        raise Permanent(f"the task was placed on {placed.cloud}", code="not-for-reviews", where="data.cloud")
    review = _review(event)
    known = await _asked_hub(client.get_status(review))
    if known and known.runtime_status is not Status.Failed:
        return f"was {known.runtime_status.value} already"
    if placed.run > 1:  # the task was parked; what its last run still waits for, this one waits for
        await _end(client, names.review(event.taskid, placed.run - 1), "the task goes on in another run")
    flow = workflow(wiring.ports().tasks.load(event.tenant, event.taskid).workflow)
    given = Review(
        tenant=event.tenant, task=event.taskid, run=placed.run, workflow=flow.name, documents=placed.documents
    )
    await _asked_hub(client.start_new(names.REVIEW, instance_id=review, client_input=given))
    return "started"


async def _wake(client: df.DurableOrchestrationClient, event: AnyEvent) -> str:
    decided = event.data
    checkpoint = names.checkpoint(_review(event), decided.document)
    known = await _asked_hub(client.get_status(checkpoint))
    if not known:
        raise Transient(f"nothing waits at {checkpoint} yet", retry_after=5)
    if known.runtime_status not in _ACTIVE:
        return f"was {known.runtime_status.value} already"
    await _asked_hub(client.raise_event(checkpoint, names.decided(decided.approval), {"event": event.id}))
    return "woken"


async def _stop(client: df.DurableOrchestrationClient, event: AnyEvent) -> str:
    """Stop a review; one that is not there yet will find its task over when it starts, and ends by itself."""
    return f"stopped {await _end(client, _review(event), event.data.reason[:200] or 'cancelled')}"


async def _end(client: df.DurableOrchestrationClient, review: str, reason: str) -> int:
    """End a review and its parts: terminating a parent leaves its sub-orchestrations running."""
    parts = await _asked_hub(client.get_status_by(runtime_status=_ACTIVE, instance_id_prefix=names.parts_of(review)))
    known = await _asked_hub(client.get_status(review))
    active = [review] if known and known.runtime_status in _ACTIVE else []
    for instance in (*active, *(part.instance_id for part in parts)):
        await _asked_hub(client.terminate(instance, reason))
    return len(active) + len(parts)


def _review(event: AnyEvent) -> str:
    return names.review(event.taskid, event.data.run)


async def _asked_hub(request: Awaitable[Any]) -> Any:  # noqa: ANN401  the SDK ships no types
    """Return the hub's answer; whatever it refuses now (a lost race, a restart) is worth asking again."""
    try:
        return await request
    except Exception as error:
        raise Transient(f"the durable hub refused: {type(error).__name__}: {error}"[:300], retry_after=5) from error


_ACTS: dict[str, Callable[[Any, AnyEvent], Awaitable[str]]] = {
    "task.placed": _start,
    "approval.decided": _wake,
    "task.cancelled": _stop,
}

blueprint.queue_trigger(arg_name="message", queue_name=names.REVIEWS_QUEUE, connection=names.STORAGE)(
    blueprint.durable_client_input(client_name="client")(on_review_message)
)
# Anonymous to the host, because App Service authentication stands in front; a function's key would be a static one.
blueprint.route(route="reviews", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)(
    blueprint.durable_client_input(client_name="client")(post_review)
)
