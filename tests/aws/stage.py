"""A stage for the Lambda handlers: their recorded envelopes in, SQLite behind the ports, a clock that stands still.

May know the handlers and the embedded ports; must not know what a test expects.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aws.handlers import dispatch, failure, ingress, publisher, record, step, tool
from local import asl
from local.clock import VirtualClock
from local.sqlite.database import Database
from local.wiring import TENANT, embedded
from shared.core.workflow import pipeline_input
from shared.errors import Permanent
from shared.events.catalog import AnyEvent, encode, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.core.task import Task
    from shared.events.document import DocumentRef
    from shared.ports import Ports

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples" / "aws"
PERSON = "ann"
TEXT = "The annual report lists revenue, revenue and growth. Growth was steady in every region of the company."
PLAIN = """
name = "plain"
threshold = 0.1
unknown_needs_approval = false

[[classes]]
name = "report"
keywords = ["report", "revenue", "growth"]
"""
STATE = ("tasks", "sequences", "inbox", "outbox", "journal", "approvals", "messages", "dead_letters")


def sample(name: str) -> Json:
    """Return a fresh copy of a recorded envelope."""
    return cast("Json", json.loads((SAMPLES / name).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Answer:
    """What the API answered."""

    status: int
    headers: Mapping[str, str]
    body: Json


@dataclass
class Letters:
    """Dead letters, kept in a list."""

    kept: list[tuple[str, str, str]] = field(default_factory=list)

    def bury(self, body: str, reason: str, origin: str) -> None:
        """Keep the letter."""
        self.kept.append((body, reason, origin))


class NoPipelines:
    """A place from which nobody runs pipelines."""

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse."""
        raise Permanent(f"{workflow} {name} {given}: not from here")


def http_event(route: str, *, changes: Json | None = None, **path: str) -> Json:
    """Return the recorded request with another route and other fields; dotted names reach into it."""
    event = sample("http_api.json")
    method, _, where = route.partition(" ")
    raw = where.format(**path)
    event |= {"routeKey": route, "rawPath": raw}
    event["requestContext"] |= {"routeKey": route}
    event["requestContext"]["http"] |= {"method": method, "path": raw}
    if path:
        event["pathParameters"] = dict(path)
    for name, value in (changes or {}).items():
        put(event, name, value)
    return event


def put(event: Json, name: str, value: object) -> None:
    """Set a field by its dotted name; None takes it away."""
    *parents, last = name.split(".")
    for parent in parents:
        event = event[parent]
    if value is None:
        event.pop(last, None)
    else:
        event[last] = value


def kinesis_event(records: Sequence[tuple[str, bytes]]) -> Json:
    """Return the recorded batch with other records: partition key and data of each."""
    batch = sample("kinesis.json")
    (like,) = batch["Records"]
    batch["Records"] = []
    for number, (key, data) in enumerate(records, start=1):
        made = copy.deepcopy(like)
        sequence = f"{49590338271490256608559692538361571095921575989136588898 + number}"
        made["kinesis"] |= {"partitionKey": key, "sequenceNumber": sequence, "data": base64.b64encode(data).decode()}
        made["eventID"] = f"shardId-000000000000:{sequence}"
        batch["Records"].append(made)
    return batch


def lane_event(bodies: Sequence[str]) -> Json:
    """Return the recorded batch of a lane with other messages, identified by their positions."""
    batch = sample("lane.json")
    (like,) = batch["Records"]
    batch["Records"] = [copy.deepcopy(like) | {"messageId": str(n), "body": body} for n, body in enumerate(bodies)]
    return batch


class Stage:
    """The handlers of one deployment."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = VirtualClock()
        self.letters = Letters()
        self.ports: Ports = replace(embedded(database, NoPipelines(), self.clock.now), dead_letters=self.letters)
        self.machine = asl.compile(json.loads((ROOT / "statemachines/document_review.asl.json").read_text()))

    def document(self, content: bytes | str = TEXT, name: str = "report.txt") -> DocumentRef:
        """Store a document and return its reference."""
        return self.ports.documents.write(
            content if isinstance(content, bytes) else content.encode(), "text/plain", name
        )

    def submission(self, **changes: Any) -> Json:
        """Return a submission that is in order, except for the changes; None takes a field away."""
        made: Json = {
            "entity": "package-a",
            "documents": [self.document().model_dump(mode="json")],
            "taxonomy": self.document(PLAIN, "plain.toml").model_dump(mode="json"),
        }
        return {name: value for name, value in (made | changes).items() if value is not None}

    def call(self, event: Json) -> Answer:
        """Send a request through the front door."""
        return _answer(ingress.handler(event, None))

    def call_tools(self, event: Json) -> Answer:
        """Send a request to the tools."""
        return _answer(tool.handler(event, None))

    def submit(self, body: Json | None = None, *, key: str = "key-1", **changes: Any) -> Answer:
        """Submit a task."""
        text = json.dumps(self.submission() if body is None else body)
        fields = {"body": text, "headers.idempotency-key": key, **changes}
        return self.call(http_event("POST /tasks", changes=fields))

    def submitted(self, *, key: str = "key-1", **changes: Any) -> Task:
        """Submit a task that is accepted, and return it."""
        answer = self.submit(self.submission(**changes), key=key)
        return self.ports.tasks.load(TENANT, answer.body["id"])

    def admitted(self, task: Task) -> AnyEvent:
        """Return the event that admitted a task, as the bus carries it."""
        return next(event for event in self.said(task) if event.type == "task.admitted")

    def said(self, task: Task) -> list[AnyEvent]:
        """Return the task's events, as they were published for the record."""
        rows = self.database.connection.execute("SELECT body FROM messages WHERE route = 'records' ORDER BY id")
        return [event for event in (parse(body) for (body,) in rows) if event.taskid == task.id]

    def dispatch(self, records: Sequence[tuple[str, bytes]]) -> list[str]:
        """Hand a batch to the dispatcher; return which records it wants again, as positions from 1."""
        event = kinesis_event(records)
        numbers = [made["kinesis"]["sequenceNumber"] for made in event["Records"]]
        told = dispatch.handler(event, None)["batchItemFailures"]
        return [str(numbers.index(failed["itemIdentifier"]) + 1) for failed in told]

    def placed(self, task: Task) -> Task:
        """Let the dispatcher place an admitted task."""
        self.dispatch([(task.entity, encode(self.admitted(task)).encode())])
        return self.ports.tasks.load(task.tenant, task.id)

    def run_pipeline(self, task: Task, *, seen: list[tuple[str, Json]] | None = None) -> asl.Execution:
        """Run the rendered state machine on a task's document, through the real handlers."""

        def invoke(function: str, payload: Any) -> Any:
            if seen is not None:
                seen.append((function, payload))
            return FUNCTIONS[function](payload, None)

        given = pipeline_input(task.tenant, task.id, 0)
        return self.machine.run(given, name=task.run_id, invoke=invoke, clock=self.clock)

    def publish(self) -> int:
        """Let the publisher relay what is unsent."""
        return int(publisher.handler(sample("schedule.json"), None)["EventsRelayed"])

    def written(self) -> dict[str, int]:
        """Count the rows of every table that holds state."""
        count = self.database.connection.execute
        return {table: count(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in STATE}  # noqa: S608


FUNCTIONS = {
    "${StepFunctionArn}": step.handler,
    "${RecordFunctionArn}": record.handler,
    "${FailureFunctionArn}": failure.handler,
}
NOTHING = dict.fromkeys(STATE, 0)


def _answer(told: Json) -> Answer:
    return Answer(told["statusCode"], told["headers"], json.loads(told["body"]))


def sha256(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
