"""Messages that start, wake and stop reviews, and those that cannot be obeyed."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from azure.durable_functions import OrchestrationRuntimeStatus

from azure.fabric import names
from azure.fabric.handlers import start
from azure.fabric.handlers.start import obey
from local.sqlite.broker import Broker
from shared.core import workflow as workflows
from shared.core.routes import Route
from shared.errors import NotFound, Permanent, Transient
from shared.events.catalog import parse
from tests.azure.stage import NOON, Stage, principal
from tests.local.stage import fabric, write_corpus

if TYPE_CHECKING:
    from pathlib import Path

    from azure.functions import HttpResponse

REVIEW = "t1.1"
Running = OrchestrationRuntimeStatus.Running


def message(stage: Stage, kind: str) -> dict[str, Any]:
    """Take the queue's message of a kind."""
    assert isinstance(stage.ports.bus, Broker)
    bodies = [json.loads(row.body) for row in stage.ports.bus.take(Route.REVIEWS, NOON.timestamp(), 100)]
    return next(body for body in bodies if body["type"] == kind)


def post(stage: Stage, body: object, tenant: str = "local") -> HttpResponse:
    """Post an event as a service of a tenant."""
    headers = {"X-MS-CLIENT-PRINCIPAL": principal("dispatcher", [], tenant)}
    raw = body if isinstance(body, bytes | str) else json.dumps(body)
    return stage.host.invoke_http("POST", "/api/reviews", headers, raw)


def code_of(response: HttpResponse) -> tuple[int, str]:
    """Return a problem's status and code."""
    return response.status_code, json.loads(response.get_body())["code"]


def test_a_review_starts_once(stage: Stage) -> None:
    """A placed task starts the review that its run names, and a second message finds it there."""
    stage.place(2)
    placed = message(stage, "task.placed")
    first, again = post(stage, placed), post(stage, placed)
    assert (first.status_code, again.status_code) == (202, 202)
    assert json.loads(first.get_body()) == {"review": REVIEW, "done": "started"}
    assert json.loads(again.get_body()) == {"review": REVIEW, "done": "was Pending already"}


def test_a_finished_review_is_not_started_again(stage: Stage) -> None:
    """A message that comes after the review ended starts nothing."""
    stage.script.asks = frozenset()
    stage.place(2)
    placed = message(stage, "task.placed")
    stage.settle()
    assert json.loads(post(stage, placed).get_body())["done"] == "was Completed already"
    assert len(stage.script.names) == 2


def test_a_stopped_review_is_not_started_again(stage: Stage) -> None:
    """A message that comes after the cancellation starts nothing."""
    stage.place(2)
    placed = message(stage, "task.placed")
    stage.settle()
    stage.cancel()
    stage.settle()
    assert json.loads(post(stage, placed).get_body())["done"] == "was Terminated already"


def test_a_cancellation_twice_is_one(stage: Stage) -> None:
    """Stopping a stopped review stops nothing."""
    stage.place(2)
    stage.settle()
    stage.cancel()
    cancelled = message(stage, "task.cancelled")
    assert json.loads(post(stage, cancelled).get_body())["done"] == "stopped 2"
    assert json.loads(post(stage, cancelled).get_body())["done"] == "stopped 0"


def decided(stage: Stage) -> dict[str, Any]:
    """Let a batch wait and be decided, and return the message that tells."""
    stage.place(2)
    stage.settle()
    assert stage.say("approved", "bob:reviewer", stage.approval()) == 200
    return message(stage, "approval.decided")


def test_a_decision_wakes_its_checkpoint_once(stage: Stage) -> None:
    """A decision wakes the checkpoint of its document, and finds it gone the second time."""
    said = decided(stage)
    assert json.loads(post(stage, said).get_body())["done"] == "woken"
    stage.settle()
    assert json.loads(post(stage, said).get_body())["done"] == "was Completed already"


def test_a_decision_that_nothing_waits_for_comes_again(stage: Stage) -> None:
    """A decision whose checkpoint does not exist (yet) is raised, so that the queue delivers it again."""
    said = decided(stage)
    said["data"]["document"] = 1
    with pytest.raises(Transient, match=r"nothing waits at t1\.1\.approval\.1 yet"):
        stage.queue(json.dumps(said))
    assert code_of(post(stage, said)) == (503, "try-later")


def changed(body: dict[str, Any], **fields: object) -> str:
    """Return the message with other fields; a field that is None is left out."""
    return json.dumps({name: value for name, value in {**body, **fields}.items() if value is not None})


BAD_FIELDS: dict[str, tuple[dict[str, object], str]] = {
    "no tenant": ({"tenant": None}, "invalid"),
    "a tenant with a slash": ({"tenant": "../local"}, "invalid"),
    "a task with a slash": ({"taskid": "t1/../t2"}, "invalid"),
    "a task that is a number": ({"taskid": 1}, "invalid"),
    "no sequence": ({"sequence": None}, "invalid"),
    "a time without zone": ({"time": "2026-03-02T12:00:00"}, "invalid"),
    "no data": ({"data": None}, "invalid"),
    "data of another type": ({"data": {"verdict": "approved"}}, "invalid"),
    "a run of text": ({"data": {"cloud": "azure", "reason": "", "run": "first", "documents": 2}}, "invalid"),
    "no documents": ({"data": {"cloud": "azure", "reason": "", "run": 1, "documents": 0}}, "invalid"),
    "an unknown type": ({"type": "task.teleported"}, "unknown-event-type"),
    "a later version": ({"dataschema": "urn:agentfabric:task.placed:9"}, "unknown-version"),
    "another cloud's task": ({"data": {"cloud": "aws", "reason": "", "run": 1, "documents": 2}}, "not-for-reviews"),
}
BAD_BODIES: dict[str, tuple[str | bytes, int, str]] = {
    "empty": ("", 400, "broken-json"),
    "text": ("start it", 400, "broken-json"),
    "binary": (b"\x00\xff\xfe", 400, "broken-json"),
    "a list": ("[]", 400, "broken-json"),
    "too deep": ('{"data": ' + "[" * 999 + "]" * 999 + "}", 400, "too-deep"),
    "a key twice": ('{"type": "task.placed", "type": "task.placed"}', 400, "duplicate-key"),
    "too large": (" " * (48 * 1024 + 1), 413, "oversize"),
}


@pytest.mark.parametrize("bad", BAD_FIELDS)
def test_a_bad_event_is_refused_by_queue_and_http(stage: Stage, bad: str) -> None:
    """An event out of shape is raised to the queue, is a 400 over HTTP, and starts nothing."""
    fields, code = BAD_FIELDS[bad]
    stage.place(2)
    body = changed(message(stage, "task.placed"), **fields)
    with pytest.raises(Permanent) as refused:
        stage.queue(body)
    assert refused.value.code == code
    assert post(stage, body).status_code == 400
    assert stage.host.hub.status(REVIEW) is None


@pytest.mark.parametrize("bad", BAD_BODIES)
def test_a_bad_body_is_refused_by_queue_and_http(stage: Stage, bad: str) -> None:
    """What is no event at all is raised to the queue and explained over HTTP."""
    body, status, code = BAD_BODIES[bad]
    with pytest.raises(Permanent) as refused:
        stage.queue(body)
    assert refused.value.code == code
    assert code_of(post(stage, body)) == (status, code)


def test_an_event_that_is_none_of_its_business_is_refused(stage: Stage) -> None:
    """An event that asks nothing of a review does not belong into this queue, and the refusal says so."""
    stage.place(2)
    (other,) = stage.events("task.submitted")
    with pytest.raises(Permanent, match=r"known: task\.placed, approval\.decided, task\.cancelled"):
        stage.queue(other.model_dump_json())


def test_another_tenants_event_is_refused(stage: Stage) -> None:
    """Over HTTP an event must belong to the caller's tenant, and its task, too."""
    stage.place(2)
    placed = message(stage, "task.placed")
    assert code_of(post(stage, placed, tenant="stranger")) == (403, "unknown-tenant")
    assert code_of(post(stage, changed(placed, tenant="other"))) == (400, "wrong-tenant")
    assert code_of(post(stage, changed(placed, taskid="t2"))) == (404, "not-found")
    assert stage.host.hub.status(REVIEW) is None


def test_names_lead_from_a_decision_to_its_checkpoint() -> None:
    """The names of a run's instances begin with the run, and another run's do not."""
    review = names.review("t1", 1)
    assert names.checkpoint(review, 3) == "t1.1.approval.3"
    assert names.document(review, 3).startswith(names.parts_of(review))
    assert not names.document(names.review("t1", 11), 3).startswith(names.parts_of(review))


class Hub:
    """A hub as Azure's is: terminating an instance leaves those running that it started."""

    def __init__(self, *instances: str) -> None:
        self.running = list(instances)

    async def get_status(self, instance: str) -> SimpleNamespace:
        """Return how an instance stands."""
        return SimpleNamespace(runtime_status=Running if instance in self.running else None)

    async def get_status_by(self, *, runtime_status: list[object], instance_id_prefix: str) -> list[SimpleNamespace]:
        """Return the running instances whose ids begin so."""
        assert Running in runtime_status
        return [SimpleNamespace(instance_id=one) for one in self.running if one.startswith(instance_id_prefix)]

    async def terminate(self, instance: str, reason: str) -> None:
        """Stop one instance, and no other."""
        assert reason == "no longer needed"
        self.running.remove(instance)


def test_stopping_a_review_stops_its_parts_one_by_one(stage: Stage) -> None:
    """Where the hub leaves the parts of a terminated review running, each is terminated by its own name."""
    stage.place(2)
    stage.cancel()
    hub = Hub("t1.1", "t1.1.approval.0", "t1.1.document.1", "t1.11", "t1.11.approval.0")
    event = parse(json.dumps(message(stage, "task.cancelled")))
    assert asyncio.run(obey(hub, event)) == "stopped 3"
    assert hub.running == ["t1.11", "t1.11.approval.0"]


CANARY = "the secret text of a document"


@pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError(CANARY), "ValueError"), (Permanent("no such thing", code="not-found"), "Permanent: no such thing")],
)
def test_a_dead_letter_says_why_but_quotes_no_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """On a laptop a message that cannot be obeyed is kept with its verdict's sentence, or with a defect's type."""

    async def broken(*_: object) -> str:
        raise error

    monkeypatch.setattr(start, "obey", broken)
    with fabric() as opened:
        opened.submit(write_corpus(tmp_path, {"a.txt": "one", "b.txt": "two"}), entity="batch")
        opened.engine.work()
        assert [(route, why) for route, _, _, why in opened.dead_letters()] == [("reviews", reason)]


def test_a_task_of_no_known_workflow_is_not_started(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task whose workflow is not in the table is raised to the queue, and starts nothing."""
    stage.place(2)
    body = json.dumps(message(stage, "task.placed"))
    monkeypatch.setattr(workflows, "WORKFLOWS", {})
    with pytest.raises(NotFound, match="no workflow 'document-review'"):
        stage.queue(body)
    assert stage.host.hub.status(REVIEW) is None
