"""A stage for the review functions: the real SDK and function app, SQLite behind the ports, a clock we turn.

Only AWS is played: `Script` stands for its pipelines, and writes down what they would.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from azure.fabric import names, wiring
from azure.fabric.handlers import activities, approvals, links, review, start
from local.durable.store import Store
from local.functions_host.bindings import QueueInput
from local.functions_host.host import FunctionsHost, Settings
from local.sqlite.broker import Broker
from local.wiring import TENANT, embedded
from shared.app.commit import change, create
from shared.app.outcomes import record_document
from shared.core import stepping
from shared.core import task as tasks
from shared.core.routes import Route
from shared.core.stepping import Call
from shared.core.task import Task
from shared.core.workflow import workflow
from shared.events.catalog import Cause, parse
from shared.events.document import DocumentRef

if TYPE_CHECKING:
    from pathlib import Path

    from azure.functions import HttpResponse

    from local.sqlite.database import Database
    from shared.core.approval import Approval
    from shared.core.decision import Decision
    from shared.events.catalog import AnyEvent
    from shared.ports import Ports

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOURCE = "/test"


@dataclass
class Clock:
    """Time, turned by hand."""

    at: datetime = NOON

    def now(self) -> datetime:
        """Return the time."""
        return self.at


@dataclass
class Script:
    """The short pipelines as AWS runs them: `asks` lists the documents that need a human.

    `failures` are raised, one per attempt, before a document's pipeline succeeds.
    """

    asks: frozenset[int] = frozenset()
    failures: dict[int, list[Exception]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    ports: Ports | None = None

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Walk a document through the workflow's steps and return the pipeline's output."""
        self.names.append(name)
        document = given["document"]
        waiting = self.failures.get(document, [])
        if waiting:
            raise waiting.pop(0)
        assert self.ports is not None
        results = outputs(asks=document in self.asks)
        task = self.ports.tasks.load(given["tenant"], given["task"])
        if self.ports.journal.find(task.tenant, task.id, document, "policy") is None:
            write_journal(self.ports, task, workflow, document, results)
        if document not in self.asks:
            record_document(self.ports, task.tenant, task.id, document, source="/aws")
        return {**given, "results": results}


def outputs(*, asks: bool) -> dict[str, dict[str, Any]]:
    """Return what the tools say of a document."""
    label = "GPL-3.0" if asks else "MIT"
    return {
        "extract": {"text": "words"},
        "classify": {"label": label, "score": 0.97, "evidence": [{"what": "similar", "weight": 0.9}]},
        "summarise": {"summary": f"It is under {label}."},
        "policy": {"approval_required": asks, "reason": "copyleft" if asks else "permissive"},
    }


def write_journal(ports: Ports, task: Task, flow: str, document: int, results: dict[str, dict[str, Any]]) -> None:
    """Write the steps of a document as if their tools had run."""
    for step in workflow(flow).steps:
        cause = begin(ports, task, Call(document, step.name, {"document": document}))
        entry = ports.journal.find(task.tenant, task.id, document, step.name)
        assert entry is not None

        def finish(current: Task, entry: Any = entry, name: str = step.name) -> Decision:
            return stepping.finish(current, entry, results[name])

        change(ports, Cause(f"{cause}.finish", task.tenant, task.id, task.entity, SOURCE), finish)


def begin(ports: Ports, task: Task, call: Call) -> str:
    """Write the intent of a step as if its tool were about to run; return what causes it."""

    def start(current: Task) -> Decision:
        return stepping.start(current, workflow(current.workflow).step(call.step), call, None, most=0)

    cause = f"{task.id}.{call.document}.{call.step}"
    change(ports, Cause(f"{cause}.start", task.tenant, task.id, task.entity, SOURCE), start)
    return cause


def app() -> df.DFApp:
    """Return the function app's functions in an app of their own: an app hands them out only once."""
    wiring.refuse_objects_in_json()
    made = df.DFApp()
    for part in (start, review, activities, approvals, links):
        made.register_functions(part.blueprint)
    return made


class Stage:
    """The fabric with its Azure side at work."""

    def __init__(self, database: Database, root: Path, script: Script) -> None:
        self.clock = Clock()
        self.script = script
        self.database = database
        self.ports = embedded(database, script, self.clock.now)
        script.ports = self.ports
        self.root = root
        self.host = self._started()

    def _started(self) -> FunctionsHost:
        settings = Settings.read(self.root / "host.json")
        return FunctionsHost(app(), Store(self.database), self.clock.now, settings=settings)

    def close(self) -> None:
        """Stop the host."""
        self.host.close()

    def crash(self) -> None:
        """Lose the host and all it had in memory, and start it again from what was written."""
        self.host.close()
        self.host = self._started()
        self.host.hub.recover()

    # tasks

    def place(self, documents: int, name: str = "t1") -> Task:
        """Submit a task and place it on Azure; its event waits in the queue."""
        refs = tuple(reference(f"{name}-{number}.txt") for number in range(documents))
        fresh = Task(
            id=name,
            tenant=TENANT,
            entity=f"package:{name}",
            workflow="document-review",
            documents=refs,
            taxonomy=reference("taxonomy.toml"),
            may_ask=True,
            budget=1_000_000,
            submitted_by="ann",
            submitted_at=self.clock.now(),
        )
        cause = Cause(f"submit-{name}", TENANT, name, fresh.entity, SOURCE)
        create(self.ports, cause, lambda: tasks.submit(fresh), claim=f"submit:{name}")
        return change(self.ports, Cause(f"place-{name}", TENANT, name, fresh.entity, SOURCE), tasks.place)

    def cancel(self, name: str = "t1") -> Task:
        """Cancel a task; its event waits in the queue."""
        task = self.task(name)
        cause = Cause(f"cancel-{name}", TENANT, name, task.entity, SOURCE)
        return change(self.ports, cause, lambda now: tasks.cancel(now, "ann", "no longer needed"))

    def task(self, name: str = "t1") -> Task:
        """Return the task as it is stored."""
        return self.ports.tasks.load(TENANT, name)

    def approval(self, name: str = "t1", document: int = 0) -> Approval:
        """Return a document's approval."""
        found = self.ports.approvals.pending(TENANT, limit=100)
        return next(one for one in found if (one.task, one.document) == (name, document))

    def events(self, *types: str) -> list[AnyEvent]:
        """Return what was published for the record, of these types."""
        broker = self.ports.bus
        assert isinstance(broker, Broker)
        rows = broker.take(Route.RECORDS, NOON.timestamp() * 2, 10_000)
        return [event for row in rows if (event := parse(row.body)).type in types]

    # time

    def deliver(self, *, times: int = 1, forget: bool = True) -> None:
        """Hand the queue's messages to the function that listens, each as often as asked."""
        broker = self.ports.bus
        assert isinstance(broker, Broker)
        for message in broker.take(Route.REVIEWS, self.clock.now().timestamp(), 100):
            for delivery in range(times):
                self.queue(message.body, count=delivery + 1)
            if forget:
                broker.done([message])

    def queue(self, body: str | bytes, count: int = 1) -> None:
        """Deliver one message of the queue `reviews`."""
        self.host.invoke_queue(names.REVIEWS_QUEUE, QueueInput(body, "m1", count))

    def settle(self, *, times: int = 1) -> None:
        """Deliver and work until nothing is due at this moment."""
        while True:
            self.deliver(times=times)
            if self.host.hub.run_until_idle() == 0:
                return

    def wait(self, **duration: float) -> None:
        """Let time pass, with everything happening when it is due."""
        end = self.clock.at + timedelta(**duration)
        self.settle()
        while (due := self.host.hub.next_due()) is not None and due <= end:
            self.clock.at = max(due, self.clock.at)
            self.settle()
        self.clock.at = end
        self.settle()

    # people

    def ask(self, method: str, path: str, body: object = None, who: str | None = None) -> HttpResponse:
        """Send a request as somebody (a name with roles, `bob:reviewer`), or as nobody."""
        headers = {"X-MS-CLIENT-PRINCIPAL": principal(*_split(who))} if who else {}
        raw = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.host.invoke_http(method, path, headers, b"" if body is None else raw)

    def say(self, verdict: str, who: str, approval: Approval, digest: str | None = None) -> int:
        """Vote as somebody and return the status."""
        body = {"verdict": verdict, "digest": digest or approval.digest, "comment": "seen"}
        return int(self.ask("POST", f"/api/approvals/{approval.id}/decision", body, who).status_code)

    def status(self, instance: str) -> tuple[str, Any]:
        """Return how an instance stands, and its output."""
        found = self.host.hub.status(instance)
        assert found is not None
        return found.status.value, None if found.output is None else json.loads(found.output)


def reference(name: str) -> DocumentRef:
    """Return a reference to a document nobody reads."""
    return DocumentRef(uri=f"blob:{name}", sha256="0" * 64, size=5, name=name)


def principal(name: str, roles: Sequence[str], tenant: str = TENANT) -> str:
    """Return the header that App Service authentication sets."""
    subject = ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", name)
    claims = [subject, ("name", name), ("tenant", tenant), *(("roles", role) for role in roles)]
    content = {
        "auth_typ": "aad",
        "name_typ": "name",
        "role_typ": "roles",
        "claims": [{"typ": typ, "val": value} for typ, value in claims],
    }
    return base64.b64encode(json.dumps(content).encode()).decode()


def _split(who: str) -> tuple[str, list[str]]:
    name, _, roles = who.partition(":")
    return name, roles.split(",") if roles else []
