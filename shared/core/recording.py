"""Recording: which rows an arriving event leads to, given what its entity's record says so far.

An entity's events are applied in their numbers' order, each once. An early one is parked until the gap
closes; one that cannot be read is parked as poison and holds back its entity alone, until a good event
takes its number or a person skips it. Whatever arrives for an entity also applies what has become due.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from shared.errors import NotFound, Permanent
from shared.events.catalog import AnyEvent, Cause, encode, follow, parse
from shared.events.ids import TaskId, derive
from shared.events.record import RecordSkipped
from shared.events.strict import load_object

if TYPE_CHECKING:
    from shared.events.usage import UsageCorrected, UsageMetered, UsageSaved

Verdict = Literal["applied", "duplicate", "parked"]

WINDOW = 100  # parked items one transaction looks at, so that a long queue cannot outgrow a store's limits
SOURCE = "agentfabric/records"
UNKNOWN_TASK = "unknown"
_TASK_ID: TypeAdapter[str] = TypeAdapter(TaskId)


@dataclass(frozen=True, slots=True)
class EntityRecord:
    """How far an entity's record goes: the last applied number and the hash that chains its audit trail."""

    tenant: str
    entity: str
    last: int = 0
    chain: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One applied event, chained: `hash` covers the previous row's hash and every field of this one."""

    tenant: str
    entity: str
    sequence: int
    event_id: str
    type: str
    task: str
    time: datetime
    body: str
    hash: str


@dataclass(frozen=True, slots=True)
class BillingRow:
    """One usage, as the bill shows it; entity and sequence make it countable once.

    `day` is the one of its tenant's budget that it counts in. The end of a task is a row, too, of the outcome `closed`:
    its number is how many lines there are.

    `line` counts a task's usages from 1, so that a missing one shows. A correction is a row of its own, with the number
    of the line it corrects, the outcome `corrected`, and the difference as its cost, which may be negative.
    """

    event_id: str
    tenant: str
    task: str
    entity: str
    sequence: int
    step: str
    model: str
    tokens_in: int
    tokens_out: int
    cost_micro_usd: int
    price_version: str
    document: int = 0
    line: int = 0
    deployment: str = ""
    outcome: str = "answered"
    workflow: str = ""
    cloud: str = ""
    saved_micro_usd: int = 0
    day: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that waits: `gap` until earlier ones arrive, `poison` until a person decides."""

    tenant: str
    entity: str
    sequence: int
    cause: Literal["gap", "poison"]
    reason: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Recording:
    """All rows of one transaction: the entity's record as it will be, and what is new.

    The rows of parked items up to `record.last` are obsolete. `more` says that further parked items may
    be due: the same decision is to be made again.
    """

    verdict: Verdict
    record: EntityRecord
    audit: tuple[AuditRow, ...] = ()
    billing: tuple[BillingRow, ...] = ()
    park: Parked | None = None
    more: bool = False


def decide(record: EntityRecord, waiting: Mapping[int, Parked], event: AnyEvent, now: datetime) -> Recording:
    """Apply, park or recognise `event`, and apply what that releases.

    `waiting` are the entity's parked items by number: the first `WINDOW` after the last applied number, and
    the one with the event's own number if there is any.
    """
    early = event.sequence > record.last + 1 and not _is_gap(waiting.get(event.sequence))
    reason = f"waits for {record.last + 1}"
    park = _parked(event, reason, now) if early else None
    return _advance(record, waiting, event.sequence, event=event, park=park)


def keep(record: EntityRecord, waiting: Mapping[int, Parked], poison: Parked) -> Recording:
    """Park `poison`, unless its number is settled or taken; see `decide` for `waiting`."""
    settled = poison.sequence <= record.last or poison.sequence in waiting
    return _advance(record, waiting, poison.sequence, park=None if settled else poison)


def skip(
    record: EntityRecord, waiting: Mapping[int, Parked], sequence: int, by: str, reason: str, now: datetime
) -> Recording:
    """Settle the number that holds the entity back with a tombstone, and apply what that releases.

    Raises NotFound when nothing is held back and Permanent when an earlier number is to be decided first.
    """
    due = record.last + 1
    if sequence >= due and not waiting:
        raise NotFound(f"nothing waits on {record.entity!r}")
    if sequence > due:
        raise Permanent(f"{due} holds {record.entity!r} back; decide on that one", code="not-next", where="sequence")
    tombstone = _tombstone(record, waiting.get(due), by, reason, now) if sequence == due else None
    return _advance(record, waiting, sequence, event=tombstone)


def _is_gap(item: Parked | None) -> bool:
    return item is not None and item.cause == "gap"


def _advance(
    record: EntityRecord,
    waiting: Mapping[int, Parked],
    sequence: int,
    *,
    event: AnyEvent | None = None,
    park: Parked | None = None,
) -> Recording:
    """Apply all that is due, `event` before a parked item of its number, and say what became of `sequence`."""
    moved, audit, billing = record, list[AuditRow](), list[BillingRow]()
    while (following := _due(moved, waiting, event)) is not None:
        row = _audited(moved, following)
        moved = EntityRecord(moved.tenant, moved.entity, row.sequence, row.hash)
        audit.append(row)
        billing += _billed(following)
    more = len(waiting) >= WINDOW and moved.last > record.last and moved.last >= max(waiting)
    return Recording(_verdict(sequence, record.last, moved.last), moved, tuple(audit), tuple(billing), park, more)


def _due(record: EntityRecord, waiting: Mapping[int, Parked], event: AnyEvent | None) -> AnyEvent | None:
    """Return the event with the next number; a parked one that an older release cannot read stays parked."""
    if event is not None and event.sequence == record.last + 1:
        return event
    item = waiting.get(record.last + 1)
    if item is None or not _is_gap(item):
        return None
    try:
        return parse(item.body)
    except Permanent:
        return None


def _verdict(sequence: int, before: int, after: int) -> Verdict:
    if sequence <= before:
        return "duplicate"
    return "applied" if sequence <= after else "parked"


def _parked(event: AnyEvent, reason: str, now: datetime) -> Parked:
    return Parked(event.tenant, event.entity, event.sequence, "gap", reason, encode(event, "pubsub"), now)


def _tombstone(record: EntityRecord, item: Parked | None, by: str, reason: str, now: datetime) -> AnyEvent:
    """Return the event that stands for a skipped number and keeps what was to be read there."""
    fact = RecordSkipped(
        by=by, reason=reason, parked_because=item.reason if item else "never arrived", skipped=item.body if item else ""
    )
    task = _task_of(item.body) if item else UNKNOWN_TASK
    command = derive("skip", record.tenant, record.entity, record.last + 1)
    cause = Cause(command, record.tenant, task, record.entity, SOURCE)
    return follow(cause, [fact], after=record.last, at=now)[0]


def _task_of(body: str) -> str:
    """Return the task that an unreadable event names, as far as that can be told."""
    try:
        return _TASK_ID.validate_python(load_object(body).get("taskid"))
    except (Permanent, ValidationError):
        return UNKNOWN_TASK


def _audited(record: EntityRecord, event: AnyEvent) -> AuditRow:
    named = (event.tenant, event.entity, event.sequence, event.id, event.type, event.taskid)
    body = encode(event, "pubsub")
    return AuditRow(*named, event.time, body, _link(record.chain, named, event.time, body))


_named = attrgetter("tenant", "entity", "sequence", "event_id", "type", "task")


def _link(chain: str, named: tuple[str | int, ...], time: datetime, body: str) -> str:
    """Return the hash of a JSON array: the previous hash and a row's fields in their order, the time in UTC."""
    linked = [chain, *named, time.astimezone(UTC).isoformat(), body]
    return hashlib.sha256(json.dumps(linked).encode()).hexdigest()


def _billed(event: AnyEvent) -> tuple[BillingRow, ...]:
    said, lines = event.data, _LINES.get(event.type)
    if lines is not None:
        about = {"document": said.document, "workflow": said.workflow, "cloud": said.cloud, "day": said.day}
        return (_row(event, said.step, said.model, lines(said) | about),)
    last = said.lines if event.type in _ENDS else None
    return () if last is None else (_row(event, "", "", _free("closed") | {"line": last}),)


def _row(event: AnyEvent, step: str, model: str, more: dict[str, Any]) -> BillingRow:
    head = (event.id, event.tenant, event.taskid, event.entity, event.sequence, step, model)
    return BillingRow(*head, **more)


def _metered(used: UsageMetered) -> dict[str, Any]:
    same = ("tokens_in", "tokens_out", "cost_micro_usd", "price_version", "line", "deployment", "outcome")
    return {name: getattr(used, name) for name in same}


def _corrected(told: UsageCorrected) -> dict[str, Any]:
    more = told.cost_micro_usd - told.was_micro_usd
    tokens = {"tokens_in": told.tokens_in, "tokens_out": told.tokens_out}
    return _free("corrected") | tokens | {"cost_micro_usd": more, "line": told.line, "deployment": told.deployment}


def _saved(told: UsageSaved) -> dict[str, Any]:
    saved = 0 if told.by == "journal" else told.saved_micro_usd  # what the task paid for itself is on its bill
    return _free("saved") | {"saved_micro_usd": saved, "deployment": told.deployment}


def _free(outcome: str) -> dict[str, Any]:
    return {"tokens_in": 0, "tokens_out": 0, "cost_micro_usd": 0, "price_version": "", "outcome": outcome}


_ENDS = frozenset({"task.completed", "task.failed", "task.cancelled"})
_LINES: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "usage.metered": _metered,
    "usage.corrected": _corrected,
    "usage.saved": _saved,
}


def extend(record: EntityRecord, rows: Sequence[AuditRow]) -> EntityRecord:
    """Return how far `rows`, in their order, continue the record's chain; it ends before the first broken link."""
    for row in rows:
        if row.sequence != record.last + 1 or row.hash != _link(record.chain, _named(row), row.time, row.body):
            break
        record = EntityRecord(record.tenant, record.entity, row.sequence, row.hash)
    return record
