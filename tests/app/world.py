"""A fabric for the tests of the use cases: SQLite behind the ports, real tools, a scripted model, a clock we turn.

A document's first word is the class that the model sees in it; `Ask` needs a human, `Pass` does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Never

from local.clock import VirtualClock
from local.sqlite.broker import Broker, Message
from local.wiring import TENANT, embedded
from shared.app.approvals import approval_id, decide_approval, request_approval
from shared.app.leases import lease_id
from shared.app.outcomes import fail_document, record_document
from shared.app.steps import StepRequest, run_step
from shared.app.tasks import dispatch, submit
from shared.core.admission import Submission
from shared.core.approval import Approval, Person, Vote
from shared.core.completion import Completion, Prompt, Usage
from shared.core.failure import Failure
from shared.core.routes import Route
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Permanent, Transient
from shared.events.catalog import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.sqlite.database import Database
    from shared.core.journal import Entry
    from shared.core.ledger import Lease
    from shared.core.task import Task
    from shared.core.workflow import Step
    from shared.errors import FabricError
    from shared.events.approval import Verdict
    from shared.events.catalog import AnyEvent
    from shared.events.document import DocumentRef
    from shared.ports import Ports

SOURCE = "/test"
FLOW = DOCUMENT_REVIEW
ENTITY = "package:x"
REVIEWER = Person(name="bob", roles=("reviewer",))
OWNER = Person(name="cid", roles=("owner",))
NEEDS = 'name = "t"\nthreshold = 0.5\nunknown_needs_approval = {unknown}\n'
CLASSES = (
    '[[classes]]\nname = "Pass"\nkeywords = ["pass"]\n'
    '[[classes]]\nname = "Ask"\nkeywords = ["ask"]\napproval = {approval}\n'
)


@dataclass
class ScriptedModels:
    """A model that sees what the document says; `faults` come first, one per call (None: answer)."""

    calls: list[str] = field(default_factory=list)
    faults: list[FabricError | None] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    model: str = "extractive-1"

    def complete(self, prompt: Prompt) -> Completion:
        """Answer the prompt, or fail as told."""
        self.calls.append(prompt.purpose)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        label = prompt.text.split(maxsplit=1)[0]
        known: dict[str, dict[str, Any]] = {
            "classify": {"label": label, "score": 0.9, "evidence": [{"what": "its first word", "quote": label}]},
            "summarise": {"quotes": [prompt.text.split(".", 1)[0] + "."]},
        }
        return Completion((known | self.answers)[prompt.purpose], Usage(self.model, prompt.tokens_in, 20))


class NoPipelines:
    """Nobody in these tests is reviewed on Azure's side."""

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Never:
        """Refuse."""
        raise AssertionError((workflow, name, given))


@dataclass
class World:
    """The fabric and the few things that a client, an engine and the brokers do with it."""

    database: Database
    models: ScriptedModels = field(default_factory=ScriptedModels)
    clock: VirtualClock = field(default_factory=VirtualClock)
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        self.ports = replace(embedded(self.database, NoPipelines(), self.clock.now), models=self.models)
        self.broker = Broker(self.database)
        self.store = self.ports

    def document(self, text: str, name: str = "LICENSE") -> DocumentRef:
        """Store a document."""
        return self.store.documents.write(text.encode(), "text/plain", name)

    def taxonomy(self, *, asks: bool) -> DocumentRef:
        """Store a taxonomy, whose class `Ask` needs a human or does not."""
        said = str(asks).lower()
        text = NEEDS.format(unknown="false") + CLASSES.format(approval=said)
        return self.store.documents.write(text.encode(), "application/toml", "taxonomy.toml")

    def submission(self, *texts: str, asks: bool = True, entity: str = ENTITY, **more: Any) -> Submission:
        """Return a submission of these texts."""
        said = texts or ("Pass it on. Keep the notice.",)
        refs = tuple(self.document(text, f"LICENSE.{number}") for number, text in enumerate(said))
        return Submission(entity=entity, documents=refs, taxonomy=self.taxonomy(asks=asks), **more)

    def submit(self, *texts: str, key: str = "k1", **more: Any) -> Task:
        """Submit these texts."""
        return submit(self.ports, TENANT, "ann", self.submission(*texts, **more), key, source=SOURCE)

    def placed(self, *texts: str, key: str = "k1", **more: Any) -> Task:
        """Submit these texts and place their task."""
        task = self.submit(*texts, key=key, **more)
        admitted = next(event for event in self.published(task.id) if event.type == "task.admitted")
        placed = dispatch(self.ports, admitted, source=SOURCE)
        assert placed is not None
        return placed

    def step(self, task: Task, name: str, results: Mapping[str, Any], document: int = 0, **more: Any) -> dict[str, Any]:
        """Run one step."""
        asked = StepRequest(tenant=TENANT, task=task.id, document=document, step=name, results=dict(results), **more)
        return run_step(self.ports, asked, source=SOURCE)

    def worked(self, task: Task, document: int = 0, *, until: str = "") -> dict[str, Any]:
        """Run a document's steps, each once, up to (not with) `until`, and return their results."""
        results: dict[str, Any] = {}
        for step in FLOW.steps:
            if step.name == until:
                break
            results[step.name] = self.step(task, step.name, results, document)
        return results

    def asked(self, *texts: str) -> tuple[Task, Approval]:
        """Submit texts whose first needs a human, work on it, and ask."""
        task = self.placed(*(texts or ("Ask me first. Then go on.",)))
        self.worked(task)
        return task, self.request(task)

    def request(self, task: Task, document: int = 0) -> Approval:
        """Ask for an approval."""
        return request_approval(self.ports, TENANT, task.id, document, source=SOURCE)

    def vote(
        self, approval: Approval, verdict: Verdict = "approved", by: Person = REVIEWER, digest: str = ""
    ) -> Approval:
        """Say something about an approval."""
        said = Vote(verdict=verdict, by=by, digest=digest or approval.digest, comment="seen")
        return decide_approval(self.ports, TENANT, approval.id, said, source=SOURCE)

    def record(self, task: Task, document: int = 0) -> Task:
        """Conclude a document."""
        return record_document(self.ports, TENANT, task.id, document, source=SOURCE)

    def give_up(self, task: Task, document: int = 0, reason: str = "there is no text in it") -> Task:
        """Fail a document."""
        return fail_document(self.ports, TENANT, task.id, document, Failure("extract", "empty", reason), source=SOURCE)

    def pipeline(self, task: Task, document: int) -> bool:
        """Do what Step Functions does with a document; False when a human has to be asked."""
        results: dict[str, Any] = {}
        for step in FLOW.steps:
            output = self._tried(task, step, results, document)
            if output is None:
                self.give_up(task, document)
                return True
            results[step.name] = output
        if results["policy"]["approval_required"]:
            return False
        self.record(task, document)
        return True

    def _tried(self, task: Task, step: Step, results: dict[str, Any], document: int) -> dict[str, Any] | None:
        for fallback in (False, True)[: 2 if step.fallback else 1]:
            for _ in range(step.retry.attempts):
                try:
                    return self.step(task, step.name, results, document, fallback=fallback)
                except Transient:
                    continue
                except Permanent:
                    break
        return None

    def load(self, task: Task) -> Task:
        """Return the task as it is stored."""
        return self.store.tasks.load(task.tenant, task.id)

    def load_id(self, task: str) -> Task:
        """Return a task by its id."""
        return self.store.tasks.load(TENANT, task)

    def lease(self, task: Task) -> Lease:
        """Return the task's lease as it is stored."""
        lease = self.store.ledger.lease(task.tenant, lease_id(task.id))
        assert lease is not None
        return lease

    def entry(self, task: Task, step: str, document: int = 0) -> Entry:
        """Return a step's entry in the journal."""
        entry = self.store.journal.find(task.tenant, task.id, document, step)
        assert entry is not None
        return entry

    def approval(self, task: Task, document: int = 0) -> Approval:
        """Return a document's approval as it is stored."""
        return self.store.approvals.find(task.tenant, approval_id(task.id, document))

    def messages(self, route: Route) -> list[Message]:
        """Return what waits in a broker."""
        return self.broker.take(route, float("inf"), 10_000)

    def published(self, task: str | None = None) -> list[AnyEvent]:
        """Return what was published for the record, of one task or all."""
        events = [parse(message.body) for message in self.messages(Route.RECORDS)]
        return [event for event in events if task in (None, event.taskid)]

    def told(self, task: Task) -> list[str]:
        """Return the types of what was published about a task."""
        return [event.type for event in self.published(task.id)]

    def unsent(self) -> list[AnyEvent]:
        """Return what is committed and not published."""
        return list(self.store.outbox.unsent(limit=10_000))

    def rows(self, table: str) -> int:
        """Return how many rows a table has."""
        count: int = self.database.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608  fixed words
        return count
