"""The rows of the replay hub as values.

May know the vocabulary of durable orchestrations (instance, event, message, activity). Must not know
SQLite, the SDK, a clock or how an episode is decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Status(StrEnum):
    """Where an instance stands, in the words of the management API."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the instance."""
        return self in {Status.COMPLETED, Status.FAILED, Status.TERMINATED}


class EventType(IntEnum):
    """What can stand in a history; the numbers below 100 are the SDK's, those above are the hub's own."""

    EXECUTION_STARTED = 0
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    CHILD_CREATED = 7
    CHILD_COMPLETED = 8
    CHILD_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    EVENT_RAISED = 15
    WAIT_OPENED = 101
    TIMER_CANCELLED = 102


FAILURES = frozenset({EventType.TASK_FAILED, EventType.CHILD_FAILED})
COMPLETIONS = FAILURES | {EventType.TASK_COMPLETED, EventType.CHILD_COMPLETED, EventType.TIMER_FIRED}
SHOWN_TO_SDK = COMPLETIONS | {
    EventType.EXECUTION_STARTED,
    EventType.ORCHESTRATOR_STARTED,
    EventType.EVENT_RAISED,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a history.

    `body` is the JSON text, written once and joined ever after. `action` is the position of the SDK's
    action that caused a scheduled task, `attempt` counts from 1, and `remaining` is how many attempts
    are left after this one (None: the action has no retries).
    """

    type: EventType
    body: str
    task: int | None = None
    name: str | None = None
    action: int | None = None
    attempt: int | None = None
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """The task of another instance that waits for this one."""

    instance: str
    generation: int
    task: int


@dataclass(frozen=True, slots=True)
class Instance:
    """An orchestration instance; `generation` counts its continue-as-new, `revision` its episodes."""

    id: str
    name: str
    version: str | None
    status: Status
    generation: int
    revision: int
    length: int
    input: str | None
    output: str | None
    custom_status: str | None
    parent: Parent | None
    created: int
    updated: int


@dataclass(frozen=True, slots=True)
class Message:
    """A future history event on its way to an instance; due at a time in microseconds since 1970.

    `generation` is None for external events: they outlive a continue-as-new.
    """

    instance: str
    type: EventType
    body: str
    due: int
    generation: int | None = None
    task: int | None = None
    name: str | None = None
    id: int = 0

    def as_event(self) -> Event:
        """The line it becomes in the history."""
        return Event(type=self.type, body=self.body, task=self.task, name=self.name)


@dataclass(frozen=True, slots=True)
class Activity:
    """A call of an activity function that waits to be run."""

    instance: str
    generation: int
    task: int
    name: str
    input: str | None
    due: int
    id: int = 0


@dataclass(frozen=True, slots=True)
class Child:
    """A sub-orchestration to be started."""

    id: str
    name: str
    input: str | None
    version: str | None
    task: int


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer to be set; fires at a time in microseconds since 1970."""

    task: int
    fire_at: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How an instance ended; `output` is JSON text."""

    status: Status
    output: str | None


@dataclass(frozen=True, slots=True)
class Open:
    """A task that was started and has not come back; `timer` with `remaining` is the pause before a retry."""

    action: int
    attempt: int
    remaining: int | None
    timer: bool

    def goes_on(self, kind: EventType) -> bool:
        """Whether coming back in this way makes a retry go on, which takes the next task number."""
        if self.remaining is None:
            return False
        return self.remaining > 0 if self.timer else kind in FAILURES


@dataclass(slots=True)
class Batch:
    """How the waiting messages were sorted; those in no list wait for the next episode."""

    taken: list[Message] = field(default_factory=list)
    early: list[Message] = field(default_factory=list)
    stale: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class Step:
    """What one episode decided; the hub writes all of it down in one transaction."""

    events: list[Event] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    awaited: set[str] = field(default_factory=set)
    custom_status: str | None = None
    continue_as_new: bool = False
    next_input: str | None = None
    ending: Ending | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the generation has more episodes to come."""
        return self.ending is None and not self.continue_as_new


@dataclass(frozen=True, slots=True)
class Query:
    """Which instances to list or purge; `after` is the (created, id) of the last one seen."""

    created_from: int | None = None
    created_to: int | None = None
    statuses: tuple[Status, ...] = ()
    prefix: str = ""
    limit: int = 100
    after: tuple[int, str] | None = None
