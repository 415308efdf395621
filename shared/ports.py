"""What is needed from the outside, as Protocols, and the one record that carries them.

Grows only when a use case needs it. Adapters do what they are told, once: no retries, no decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from shared.core.approval import Approval
    from shared.core.completion import Completion, Prompt
    from shared.core.gate import Gate
    from shared.core.health import Health, Outcome
    from shared.core.journal import Entry
    from shared.core.ledger import Account, Draw, Lease, Posting
    from shared.core.likeness import Near, Place, Vector
    from shared.core.policy import Policy, TenantPolicy
    from shared.core.recording import AuditRow, BillingRow, EntityRecord, Parked, Verdict
    from shared.core.routes import Route
    from shared.core.routing import Route as Deployment
    from shared.core.spans import Span
    from shared.core.task import Task
    from shared.events.catalog import AnyEvent
    from shared.events.document import DocumentRef


@dataclass(frozen=True, slots=True)
class Change:
    """Everything one decision writes, in one transaction.

    `expected` is the version the task had when it was decided on (0: new); `claim` names the message
    that asked for it. The events' first number says how far the entity's sequence was. `posting` is as in
    `Ledger.post`: who keeps tasks keeps the ledger, too.
    """

    task: Task
    expected: int
    events: tuple[AnyEvent, ...]
    claim: str | None = None
    entry: Entry | None = None
    approvals: tuple[Approval, ...] = ()
    posting: Posting | None = None


class Tasks(Protocol):
    """The control state of tasks, transactional."""

    def load(self, tenant: str, task: str) -> Task:
        """Return the task; NotFound when the tenant has none of that id."""
        ...

    def last_sequence(self, tenant: str, entity: str) -> int:
        """Return the number of the entity's latest event, 0 when it has none."""
        ...

    def commit(self, change: Change) -> None:
        """Write all of it or nothing.

        Raises Conflict when the task's version, the entity's sequence or a row of the ledger moved on, Duplicate when
        the claim is taken.
        """
        ...

    def note(self, events: tuple[AnyEvent, ...]) -> None:
        """Write events of one entity that change no task into the outbox, all or none; Conflict as in `commit`."""
        ...

    def page(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` tasks in the order of their ids, those after the id `after`."""
        ...

    def parked(self, *, limit: int, after: str = "") -> Sequence[Task]:
        """Return up to `limit` parked tasks of any tenant, those that wait longest first.

        `after` is the `Task.in_line` of one, perhaps parked no more: those behind it are returned.
        """
        ...


class Outbox(Protocol):
    """Events committed and not yet known to be published."""

    def unsent(self, *, limit: int, tenant: str | None = None, entity: str | None = None) -> Sequence[AnyEvent]:
        """Return the oldest unsent events, an entity's in its order."""
        ...

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Note that these were published; doing it twice is doing it once."""
        ...


class Bus(Protocol):
    """The way to every destination."""

    def publish(self, messages: Sequence[tuple[Route, AnyEvent]]) -> None:
        """Hand all messages over, an entity's in order; Transient when any of them may not have arrived."""
        ...


class Journal(Protocol):
    """Results of paid calls. Entries are written by `Tasks.commit`."""

    def find(self, tenant: str, task: str, document: int, step: str) -> Entry | None:
        """Return the step's entry, or None when it never started."""
        ...


class Approvals(Protocol):
    """Decisions people owe. Approvals are written by `Tasks.commit`."""

    def find(self, tenant: str, approval: str) -> Approval:
        """Return the approval; NotFound when the tenant has none of that id."""
        ...

    def pending(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Approval]:
        """Return up to `limit` undecided approvals in the order of their ids, those after the id `after`."""
        ...


class Documents(Protocol):
    """Document bytes by reference."""

    def read(self, ref: DocumentRef) -> bytes:
        """Return the bytes; Permanent when missing, changed since referenced, too large, or out of bounds."""
        ...

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Store bytes under their own hash and return the reference; writing twice is writing once."""
        ...


class Models(Protocol):
    """A language model, any provider's."""

    def complete(self, prompt: Prompt) -> Completion:
        """Answer; Transient when throttled or down, Permanent when the prompt can never be answered."""
        ...


class Ledger(Protocol):
    """Accounts of tenants, leases of runs, draws of calls. What to write is decided by `core.ledger`."""

    def account(self, tenant: str) -> Account:
        """Return the tenant's account; one that was never written is empty, at version 0."""
        ...

    def lease(self, tenant: str, lease: str) -> Lease | None:
        """Return the lease, or None when there never was one of that id."""
        ...

    def draw(self, tenant: str, lease: str, draw: str) -> Draw | None:
        """Return the draw, or None when there never was one of that id."""
        ...

    def post(self, posting: Posting) -> None:
        """Write all rows or none; Conflict unless each is stored at one version less than it brings (0: not at all)."""
        ...

    def leases(self, tenant: str, *, limit: int, after: str = "") -> Sequence[Lease]:
        """Return up to `limit` of the tenant's leases in the order of their ids, those after the id `after`."""
        ...

    def draws(self, tenant: str, lease: str, *, limit: int, after: str = "") -> Sequence[Draw]:
        """Return up to `limit` of the lease's draws in the order of their ids, those after the id `after`."""
        ...

    def overdue(self, at: datetime, *, limit: int) -> Sequence[Lease]:
        """Return up to `limit` leases of any tenant, open or closing, whose time is over by `at`, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """A text that operators change while the fabric runs; `version` counts its writes (0: never written)."""

    name: str
    text: str = ""
    version: int = 0


class Settings(Protocol):
    """What operators change while the fabric runs: the policy, the switches."""

    def read(self, name: str) -> Setting:
        """Return the setting; an empty one at version 0 when nobody wrote it."""
        ...

    def write(self, setting: Setting) -> None:
        """Write it; Conflict unless it is stored at one version less than it brings."""
        ...


class Cache(Protocol):
    """Answers that may be given again. Losing one costs money, never correctness."""

    def get(self, tenant: str, key: str, at: datetime) -> str | None:
        """Return what was kept under the key and has not expired, or None."""
        ...

    def put(self, tenant: str, key: str, text: str, expires: datetime) -> None:
        """Keep a text until it expires; the latest one stands."""
        ...


class Embedder(Protocol):
    """Texts as points: the more alike two texts are, the nearer to each other they lie."""

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return a point at unit length for each text; Transient or Permanent when it cannot."""
        ...


class Nearby(Protocol):
    """Which answered texts lie near a new one, each tenant's apart. Forgetting one costs money, never correctness."""

    def place(self, text: str) -> Place:
        """Return where the text lies; what the embedder raises when it cannot tell."""
        ...

    def find(self, tenant: str, question: str, place: Place, least: float) -> Near | None:
        """Return the nearest text that the tenant asked this question about, if it is at least so similar."""
        ...

    def keep(self, tenant: str, question: str, place: Place, key: str) -> None:
        """Remember that the answer about this text is kept under the key."""
        ...


class Learned(Protocol):
    """What this process has learned about its deployments, by their names; its threads share it."""

    @property
    def health(self) -> Mapping[str, Health]:
        """Return how the deployments are that were asked before."""
        ...

    def gate(self, deployment: str) -> Gate:
        """Return a deployment's gate as it is."""
        ...

    def enter(self, route: Deployment, now: float, rank: int) -> float:
        """Let a call through the deployment's gate and return 0, or the seconds to wait."""
        ...

    def leave(self, route: Deployment, outcome: Outcome, now: float) -> None:
        """Learn from a call's end."""
        ...


class Pipelines(Protocol):
    """The short pipelines on AWS."""

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run to the end and return the output; its failure is raised as Permanent, a passing one as Transient."""
        ...


Cursor = tuple[str, int]  # what a page of a tenant's rows comes after: an entity and a number in it
START: Cursor = ("", 0)


class Records(Protocol):
    """The system of record."""

    def apply(self, event: AnyEvent, at: datetime) -> Verdict:
        """Record the event by `core.recording.decide`, all rows in one transaction."""
        ...

    def park(self, poison: Parked) -> Verdict:
        """Keep a message that cannot be read, by `core.recording.keep`, holding back its entity alone."""
        ...

    def skip(self, tenant: str, entity: str, sequence: int, *, by: str, reason: str, at: datetime) -> Verdict:
        """Settle the number that holds the entity back, by `core.recording.skip`."""
        ...

    def head(self, tenant: str, entity: str) -> EntityRecord:
        """Return how far the entity's record goes; one without any event ends at 0."""
        ...

    def history(
        self,
        tenant: str,
        *,
        task: str | None = None,
        entity: str | None = None,
        after: Cursor = START,
        limit: int = 1000,
    ) -> Sequence[AuditRow]:
        """Return applied events in the order of entities and numbers; a task's are about one entity or two."""
        ...

    def bill(
        self, tenant: str, *, task: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[BillingRow]:
        """Return what the tenant, or one of its tasks, used, in the order of entities and numbers."""
        ...

    def spent(self, tenant: str, *, task: str | None = None) -> int:
        """Return the sum of the whole bill, in micro-USD."""
        ...

    def parked(
        self, tenant: str, *, entity: str | None = None, after: Cursor = START, limit: int = 1000
    ) -> Sequence[Parked]:
        """Return what waits for a gap to close or a person to decide, in the order of entities and numbers."""
        ...


class DeadLetters(Protocol):
    """Where a message goes that can never be handled, so that nothing waits behind it and a person can look."""

    def bury(self, body: str, reason: str, origin: str) -> None:
        """Keep the message as it came; Transient when it may not have been kept. `origin` names the delivery."""
        ...


class Spans(Protocol):
    """Whoever wants to see how long the work took. Losing a span costs no work."""

    def record(self, span: Span) -> None:
        """Take note of a piece of work that ended; never fails and never waits."""
        ...


@dataclass(slots=True)
class Refusals:
    """What this process turned away: by tenant and code how many nobody was told of yet, and when to tell of them.

    `too_fast` counts by tenant those that are not on its account yet.
    """

    too_fast: dict[str, int] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    due: dict[tuple[str, str], datetime] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


class Look(NamedTuple):
    """What a query found, and when."""

    at: float
    found: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """Every need of the use cases, filled in by a cloud's wiring."""

    tasks: Tasks
    outbox: Outbox
    bus: Bus
    journal: Journal
    approvals: Approvals
    documents: Documents
    models: Models
    pipelines: Pipelines
    records: Records
    ledger: Ledger
    cache: Cache | None  # None: no answer is kept
    learned: Learned
    settings: Settings
    policy: Callable[[], Policy]  # the one in force now: it may change between two calls
    now: Callable[[], datetime]
    dead_letters: DeadLetters | None = None  # None: the transport keeps its own
    nearby: Nearby | None = None  # None: an answer is given again to an equal question only
    spans: Spans | None = None  # None: nobody looks at them
    refusals: Refusals = field(default_factory=Refusals)
    looks: dict[str, Look] = field(default_factory=dict)  # what `app.recent.looked` found a moment ago

    @property
    def tenants(self) -> Mapping[str, TenantPolicy]:
        """What each tenant may do now."""
        return self.policy().tenants
