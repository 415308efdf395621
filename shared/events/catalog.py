"""Every type of event, by name; `parse` reads one, `follow` writes the next ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar, Union

from pydantic import BaseModel, Discriminator, TypeAdapter, ValidationError, create_model

from shared.errors import Permanent
from shared.events import approval, document, record, routing, step, task, tool, usage
from shared.events.attributes import as_text
from shared.events.envelope import Event, Fact
from shared.events.ids import derive, traceparent
from shared.events.limits import Transport, check_size, shown
from shared.events.once import proven_once
from shared.events.strict import load_object
from shared.events.upcast import upcast

FACTS: tuple[type[Fact], ...] = (
    task.TaskSubmitted,
    task.TaskAdmitted,
    task.TaskRejected,
    task.TaskThrottled,
    task.TaskPlaced,
    task.TaskParked,
    task.TaskResumed,
    task.TaskCompleted,
    task.TaskFailed,
    task.TaskCancelled,
    step.StepStarted,
    step.StepCompleted,
    step.StepFailed,
    tool.ToolCalled,
    usage.UsageMetered,
    usage.UsageSaved,
    usage.UsageCorrected,
    routing.ModelRouted,
    routing.ModelUnrouted,
    approval.ApprovalRequested,
    approval.ApprovalEscalated,
    approval.ApprovalDecided,
    approval.ApprovalExpired,
    document.DocumentReviewed,
    document.DocumentFailed,
    record.RecordSkipped,
)

AnyEvent = Event[Any]
M = TypeVar("M", bound=BaseModel)

_MOST_OF_A_NAME = 80  # characters of a field's name that an error repeats: a stranger may have chosen it


def _typed(fact: type[Fact]) -> type[AnyEvent]:
    """Return the envelope model that admits exactly this fact at its current version."""
    fields: dict[str, Any] = {
        "type": (Literal[fact.type], ...),
        "dataschema": (Literal[fact.dataschema()], ...),
        "data": (fact, ...),
    }
    return create_model(f"{fact.__name__}Event", __base__=Event, **fields)  # one model each: Event[fact] would be two


CATALOG: dict[str, type[AnyEvent]] = {fact.type: _typed(fact) for fact in FACTS}
_FACT_OF = {CATALOG[fact.type]: fact for fact in FACTS}
_UNION: Any = Union[tuple(CATALOG.values())]  # noqa: UP007  its members are known at run time only
_ANY: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[_UNION, Discriminator("type")])


def parse(body: bytes | str, *, tenant: str | None = None, transport: Transport = "pubsub") -> AnyEvent:
    """Return the event in `body`, lifted to the current version of its type.

    Raises Permanent saying what is wrong and where: broken JSON, a key twice, oversize, unknown type or version,
    a field out of shape, or another tenant's event where `tenant` is given.
    """
    check_size(body, transport)
    try:
        event: AnyEvent = _ANY.validator.validate_json(body)
    except ValidationError:
        event = _parse_slowly(body)
    else:
        if not proven_once(body, event):
            load_object(body)  # which refuses whatever the quick reader let pass
    if tenant is not None and event.tenant != tenant:
        said = f"event belongs to {event.tenant!r}, not to {shown(tenant)}"
        raise Permanent(said, code="wrong-tenant", where="tenant")
    return event


def _parse_slowly(body: bytes | str) -> AnyEvent:
    """Lift an older version, or find the words for what is wrong."""
    raw = {name: value for name, value in load_object(body).items() if value is not None}  # null is: not given
    kind = raw.get("type")
    model = CATALOG.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise Permanent(
            f"unknown event type {shown(kind)}; known: {', '.join(CATALOG)}",
            code="unknown-event-type",
            where="type",
        )
    current = _FACT_OF[model]
    version = _version(raw.get("dataschema"), current)
    if version < current.version and isinstance(raw.get("data"), dict):
        raw = {
            **raw,
            "data": upcast(current.type, version, current.version, raw["data"]),
            "dataschema": current.dataschema(),
        }
    try:
        return model.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        raise explain(error) from error


def _version(dataschema: object, fact: type[Fact]) -> int:
    prefix, _, number = str(dataschema).rpartition(":")
    if prefix != f"urn:agentfabric:{fact.type}" or number not in map(str, range(1, fact.version + 1)):
        known = f"urn:agentfabric:{fact.type}:1 to {fact.version}"
        raise Permanent(f"cannot read {shown(dataschema)}; known: {known}", code="unknown-version", where="dataschema")
    return int(number)


def explain(error: ValidationError, *, code: str = "invalid") -> Permanent:
    """Return the first fault of a validation as a verdict a person can act on (never the input itself)."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part)[:_MOST_OF_A_NAME] for part in first["loc"]) or "body"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return Permanent(f"{first['msg']}{more}", code=code, where=where)


def checked(model: type[M], value: object, *, code: str = "invalid") -> M:
    """Return what a stranger said as `model`; Permanent with `code` when it is none."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise explain(error, code=code) from error


def encode(event: AnyEvent, transport: Transport = "internal") -> str:
    """Return the event as JSON; Permanent when the transport cannot carry it."""
    body = event.model_dump_json(exclude_none=True)
    if event.type == task.TaskSubmitted.type:
        check_size(body, transport, "send fewer or shorter references, or split the task")
    else:
        check_size(body, transport)
    return body


@dataclass(frozen=True, slots=True)
class Cause:
    """What leads to events: an event, or a command known by an id of its own."""

    id: str
    tenant: str
    task: str
    entity: str
    source: str
    traceparent: str | None = None

    @classmethod
    def of(cls, event: AnyEvent, source: str) -> Self:
        """Return the event as a cause of what `source` does next."""
        return cls(event.id, event.tenant, event.taskid, event.entity, source, event.traceparent)


def follow(cause: Cause, facts: Sequence[Fact], *, after: int, at: datetime) -> tuple[AnyEvent, ...]:
    """Return the facts as events that follow `cause`, numbered `after` + 1, + 2, … on its entity.

    Ids come from the cause and the position, so whoever repeats the decision writes the same events.
    """
    trace = cause.traceparent or traceparent(cause.task, cause.id)
    return tuple(
        CATALOG[fact.type](
            specversion="1.0",
            type=fact.type,
            dataschema=fact.dataschema(),
            id=derive(cause.tenant, cause.task, cause.id, position, fact.type),
            source=cause.source,
            subject=as_text(fact.__dict__.get("name", "")),
            time=at,
            tenant=cause.tenant,
            taskid=cause.task,
            partitionkey=cause.entity,
            sequence=after + 1 + position,
            causationid=cause.id,
            traceparent=trace,
            data=fact,
        )
        for position, fact in enumerate(facts)
    )
