"""Each function may do what its handler does, and nothing else: its calls are noted and compared with its policies.

A scenario takes a handler down every path that asks another service for something: a first time, a repetition (which
publishes what its entity has unsent, wherever that goes), poison, and a document that waits for a person.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from aws.adapters.dynamo import _outgoing
from aws.handlers import dispatch, failure, forward, home, ingress, operator, publisher, record, run, step, tool
from local import asl
from local.clock import VirtualClock
from providers.deployments import Deployments
from shared.app import recent
from shared.app.approvals import request_approval
from shared.app.commit import change
from shared.app.parking import Wait, park
from shared.core.approval import withdraw
from shared.core.ledger import Draw
from shared.core.ledger_rows import encode as encode_row
from shared.core.routes import Route
from shared.core.workflow import pipeline_input
from shared.events.catalog import AnyEvent, Cause, encode, follow
from shared.events.task import TaskAdmitted, TaskPlaced
from shared.ports import Change
from tests.aws.formation import granted, of_type, polled
from tests.aws.stage import PLAIN, ROOT, TEXT, http_event, kinesis_event, lane_event, sample
from tests.lost import DRAW, lose_a_call

if TYPE_CHECKING:
    from shared.core.task import Task
    from tests.aws.cloud import Cloud
    from tests.aws.stage import Json

ASKING = PLAIN.replace('name = "report"', 'name = "report"\napproval = true')
PAGE = f"<!doctype html><html><body><p>{TEXT}</p></body></html>".encode()  # its text is written beside it
POISON = kinesis_event([("package-a", b"not JSON")])
# Asked for by nobody: with it S3 says of a missing document that it is missing, and not that it is forbidden.
UNSEEN = {("s3:ListBucket", "Documents")}
# Asked for by the providers' own client, which signs with the role's keys: tests/aws/test_models.py.
UNSEEN |= {("bedrock:InvokeModel", "BedrockModels")}
PEER = {"sub": "azure", "scope": "fabric"}


def submission(cloud: Cloud, taxonomy: str = PLAIN, key: str = "key-1", **more: str) -> Json:
    """Return the request that submits a task."""
    write = cloud.ports.documents.write
    asked = {
        "entity": f"package-{key}",
        "documents": [write(PAGE, "text/html").model_dump(mode="json")],
        "taxonomy": write(taxonomy.encode(), "text/plain").model_dump(mode="json"),
        **more,
    }
    return http_event("POST /tasks", changes={"body": json.dumps(asked), "headers.idempotency-key": key})


def placed(cloud: Cloud, taxonomy: str = PLAIN, **more: str) -> Task:
    """Return a task that was submitted and placed."""
    told = ingress.handler(submission(cloud, taxonomy, **more), None)
    dispatch.handler(cloud.work(), None)
    return cloud.ports.tasks.load("local", json.loads(told["body"])["id"])


def plant(cloud: Cloud, task: Task) -> list[AnyEvent]:
    """Leave events of the task's entity unsent that go all ways there are; return them."""
    cause = Cause("planted", task.tenant, task.id, task.entity, "/test")
    placed = TaskPlaced(cloud="aws", reason="", run=1, documents=1)
    facts = (
        TaskAdmitted(budget_micro_usd=1, reason=""),
        placed.model_copy(update={"priority": "interactive"}),
        placed,
        placed.model_copy(update={"cloud": "azure"}),
    )
    events = list(follow(cause, facts, after=900, at=cloud.ports.now()))
    for event in events:
        cloud.dynamo.put_item(TableName=cloud.settings["TABLE_NAME"], Item=_outgoing(event))
    return events


def stepped(task: Task) -> list[Json]:
    """Run the pipeline's steps, and nothing behind them, on the task's document; return what each was given."""
    calls: list[Json] = []

    def invoke(function: str, payload: Any) -> Any:
        if function != "${StepFunctionArn}":
            return {}
        calls.append(payload)
        return step.handler(payload, None)

    machine = asl.compile(json.loads((ROOT / "statemachines/document_review.asl.json").read_text()))
    machine.run(pipeline_input(task.tenant, task.id, 0), name=task.run_id, invoke=invoke, clock=VirtualClock())
    return calls


def waiting(cloud: Cloud) -> Task:
    """Return a task whose document waits for a person."""
    task = placed(cloud, ASKING)
    stepped(task)
    request_approval(cloud.ports, task.tenant, task.id, 0, source="/test")
    return cloud.ports.tasks.load(task.tenant, task.id)


def use_ingress(cloud: Cloud) -> Callable[[], None]:
    """Submit, submit again, look, list, and cancel what waits for a person."""
    task = waiting(cloud)
    unread = f"{PLAIN}# a process remembers the taxonomies it has read\n"
    fresh, again = submission(cloud, unread, key="key-2"), submission(cloud, ASKING)
    plant(cloud, task)

    def use() -> None:
        assert [ingress.handler(event, None)["statusCode"] for event in (fresh, again)] == [202, 202]
        assert ingress.handler(http_event("GET /tasks/{id}", id=task.id), None)["statusCode"] == 200
        assert ingress.handler(http_event("GET /tasks"), None)["statusCode"] == 200
        assert ingress.handler(http_event("POST /tasks/{id}/cancel", id=task.id), None)["statusCode"] == 200

    return use


def use_tool(cloud: Cloud) -> Callable[[], None]:
    """Call a tool that reads a document and writes one."""
    ref = cloud.ports.documents.write(PAGE, "text/html").model_dump(mode="json")
    body = json.dumps({"document": ref})
    event = http_event("POST /tools/{name}", name="extract", changes={"body": body})

    def use() -> None:
        assert tool.handler(event, None)["statusCode"] == 200

    return use


def use_dispatch(cloud: Cloud) -> Callable[[], None]:
    """Place a task, again after a crash, and bury poison."""
    told = ingress.handler(submission(cloud), None)
    work, task = cloud.work(), cloud.ports.tasks.load("local", json.loads(told["body"])["id"])

    def use() -> None:
        for batch in (work, POISON):
            assert dispatch.handler(batch, None) == {"batchItemFailures": []}
        plant(cloud, task)
        assert dispatch.handler(work, None) == {"batchItemFailures": []}

    return use


def use_run(cloud: Cloud) -> Callable[[], None]:
    """Start a task's pipeline, and bury poison."""
    task = placed(cloud)
    (_, event, *_) = plant(cloud, task)
    batch = lane_event([encode(event, "sqs"), "not JSON"])

    def use() -> None:
        assert run.handler(batch, None) == {"batchItemFailures": []}

    return use


def use_step(cloud: Cloud) -> Callable[[], None]:
    """Do each step of background work, and one again after a crash; ask for a provider's secret."""
    task = placed(cloud, priority="background")

    def use() -> None:
        (first, *_) = stepped(task)
        assert isinstance(cloud.ports.models, Deployments)
        assert "PROVIDER_KEY" not in cloud.ports.models.secrets
        plant(cloud, task)
        step.handler(first, None)

    return use


def use_record(cloud: Cloud) -> Callable[[], None]:
    """Conclude a review, again after a crash."""
    task = placed(cloud)
    stepped(task)
    asked = {"tenant": task.tenant, "task": task.id, "document": 0}

    def use() -> None:
        record.handler(asked, None)
        plant(cloud, task)
        record.handler(asked, None)

    return use


def use_failure(cloud: Cloud) -> Callable[[], None]:
    """Fail a document for which a person is waited, again after a crash."""
    task = waiting(cloud)
    why = {"extract": {"Error": "Permanent", "Cause": "[x] y"}}
    asked = {"tenant": task.tenant, "task": task.id, "document": 0, "failures": why}

    def use() -> None:
        failure.handler(asked, None)
        plant(cloud, task)
        failure.handler(asked, None)

    return use


def parked(cloud: Cloud) -> Task:
    """Return a task that is parked for want of money, and nobody who was asked for some has answered in time."""
    task = placed(cloud)
    cause = Cause("parked", task.tenant, task.id, task.entity, "/test")
    after = change(cloud.ports, cause, lambda now: park(cloud.ports, now, Wait("budget", "used up"), 0))
    (asked,) = cloud.ports.approvals.pending(task.tenant, limit=1)
    levels = asked.policy.levels[-1:]
    late = {"deadline": task.submitted_at, "policy": asked.policy.model_copy(update={"levels": levels})}
    moved = after.model_copy(update={"version": after.version + 1})
    cloud.ports.tasks.commit(Change(moved, after.version, (), approvals=(asked.model_copy(update=late),)))
    return moved


def use_publisher(cloud: Cloud) -> Callable[[], None]:
    """Send what a crash left unsent, and end a task that nobody granted more money."""
    task = parked(cloud)
    plant(cloud, task)

    def use() -> None:
        assert publisher.handler(sample("schedule.json"), None)["EventsRelayed"] == 4

    return use


def use_operator(cloud: Cloud) -> Callable[[], None]:
    """See and change everything, by every route, while a run is open."""
    task = placed(cloud)
    lose_a_call(cloud.ports, task)
    lost = {"tenant": task.tenant, "task": task.id, "draw": DRAW}
    role = {"requestContext.authorizer.jwt.claims": {"sub": "olga", "roles": "[operator]"}}
    everything = {"queryStringParameters": {"scope": "all"}}
    asked: Mapping[str, list[Json]] = {
        "GET /operator/policy": [{}],
        "PUT /operator/policy": [{"body": "[tenants.local]", "headers.if-match": '"0"'}],
        "GET /operator/tenants": [{}],
        "GET /operator/switches": [{}],
        "PUT /operator/switches": [{"body": '{"scope": "all", "reason": "a leak"}'}],
        "DELETE /operator/switches": [everything],
        "GET /operator/trail": [{}],
        "GET /operator/calls": [{"queryStringParameters": {"tenant": task.tenant, "task": task.id}}],
        "PUT /operator/calls": [{"body": json.dumps(lost | {"cost_micro_usd": 1, "reason": "the invoice"})}],
        "GET /operator/quiet": [everything, {"queryStringParameters": {"scope": "tenant", "name": "local"}}],
    }

    def use() -> None:
        for route, requests in asked.items():
            for changes in requests:
                assert operator.handler(http_event(route, changes=role | changes), None)["statusCode"] == 200

    assert set(asked) == set(operator.ROUTES)
    return use


def use_home(cloud: Cloud) -> Callable[[], None]:
    """Do every operation there is for another cloud."""
    task = waiting(cloud)
    (approval,) = cloud.ports.approvals.pending(task.tenant, limit=1)
    events = [event.model_dump(mode="json") for event in plant(cloud, task)]
    ways = (Route.WORK, Route.PIPELINE, Route.PIPELINE, Route.REVIEWS, Route.RECORDS)
    messages = [{"route": way, "event": event} for way, event in zip(ways, [*events, events[0]], strict=True)]
    moved = task.model_copy(update={"version": task.version + 1}).model_dump(mode="json")
    settled = withdraw(approval).model_dump(mode="json")
    last = cloud.ports.tasks.last_sequence(task.tenant, task.entity)
    numbered = [events[0] | {"sequence": last + 1}]
    document = {"tenant": task.tenant, "task": task.id, "document": 0}
    lease = {"tenant": task.tenant, "lease": "l"}
    draw = Draw("d", task.tenant, "l", 0, "classify", "extractive", 1, "0" * 64, ())
    one, entity = {"tenant": task.tenant, "task": task.id}, {"tenant": task.tenant, "entity": task.entity}
    asked: Mapping[str, Json] = {
        "tasks.load": one,
        "tasks.last_sequence": entity,
        "tasks.page": {"tenant": task.tenant, "limit": 1},
        "tasks.parked": {"limit": 1},
        "tasks.commit": {"task": moved, "expected": task.version, "events": numbered, "approvals": [settled]},
        "tasks.note": {"events": [events[0] | {"id": "noted", "partitionkey": "limits:acme", "sequence": 1}]},
        "outbox.unsent": {"limit": 10},
        "outbox.mark_sent": {"events": events},
        "journal.find": document | {"step": "extract"},
        "approvals.find": {"tenant": task.tenant, "approval": approval.id},
        "approvals.pending": {"tenant": task.tenant, "limit": 1},
        "bus.publish": {"messages": messages},
        "pipelines.look": document,
        "settings.read": {"name": "policy"},
        "ledger.account": {"tenant": task.tenant},
        "ledger.lease": lease,
        "ledger.draw": lease | {"draw": "d"},
        "ledger.post": {"account": None, "lease": None, "draw": encode_row(draw)},
        "ledger.leases": {"tenant": task.tenant, "limit": 1},
        "ledger.draws": lease | {"limit": 1},
        "ledger.overdue": {"limit": 1, "at": task.submitted_at.isoformat()},
    }

    def use() -> None:
        for operation, body in asked.items():
            told = ask_home(operation, body)
            assert told["statusCode"] == 200, (operation, told["body"])
        ask_home("pipelines.run", {"workflow": "document-review", "name": "n", "given": document})

    assert set(asked) | {"pipelines.run"} == set(home.OPERATIONS)
    return use


def ask_home(operation: str, body: Json) -> Json:
    """Ask the home as another cloud's function."""
    claims = {"requestContext.authorizer.jwt.claims": PEER, "body": json.dumps(body)}
    return home.handler(http_event("POST /fabric/{operation}", operation=operation, changes=claims), None)


@pytest.fixture
def neighbours(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    """Neighbours whose doors stay closed: nobody vouches for the forwarder, and no pipeline is waited for."""
    monkeypatch.setenv("REVIEWS_URL", "https://reviews.invalid/api/reviews")
    monkeypatch.setenv("REVIEWS_TOKEN", "entra:contoso/client-1/api://reviews/.default")
    monkeypatch.setenv("RECORDS_TOPIC", "projects/p/topics/t")
    monkeypatch.setenv("RECORDS_TOKEN", "google://iam.googleapis.com/projects/1/x")
    for call in ("sts.GetWebIdentityToken", "sfn.StartSyncExecution"):
        cloud.refuse(call)


def use_forward(cloud: Cloud) -> Callable[[], None]:
    """Fail to be vouched for, for each of two neighbours, and bury poison."""
    (like,) = sample("sqs.json")["Records"]
    queues = [cloud.settings[name].rpartition("/")[2] for name in ("REVIEWS_QUEUE_URL", "RECORDS_QUEUE_URL")]
    event = {"Records": [like | {"eventSourceARN": f"arn:aws:sqs:r:1:{queue}"} for queue in queues]}
    poison = {"Records": [event["Records"][0] | {"body": "not JSON"}]}

    def use() -> None:
        assert len(forward.handler(event, None)["batchItemFailures"]) == 2
        assert forward.handler(poison, None) == {"batchItemFailures": []}

    return use


SCENARIOS: Mapping[str, Callable[[Cloud], Callable[[], None]]] = {
    "IngressFunction": use_ingress,
    "ToolFunction": use_tool,
    "OperatorFunction": use_operator,
    "DispatchFunction": use_dispatch,
    "RunFunction": use_run,
    "StepFunction": use_step,
    "RecordFunction": use_record,
    "FailureFunction": use_failure,
    "PublisherFunction": use_publisher,
    "HomeFunction": use_home,
    "ForwardFunction": use_forward,
}


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("function", SCENARIOS)
def test_a_function_may_do_what_it_does_and_no_more(
    template: Json, cloud: Cloud, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a handler asks of other services, and Lambda for it, is what the function's policies grant."""
    monkeypatch.setattr(recent, "LOOKS", 0.0)  # what was looked up a moment ago is looked up here, too
    use = SCENARIOS[function](cloud)
    with cloud.needed() as needed:
        use()
    assert needed
    assert granted(template, function) - UNSEEN == needed | polled(template, function)


def test_no_function_is_forgotten(template: Json) -> None:
    """Each function of the template has a scenario here."""
    assert set(SCENARIOS) == set(of_type(template, "AWS::Serverless::Function"))
