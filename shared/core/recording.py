"""Recording: which rows an arriving event leads to, given what its entity's record says so far.

An entity's events are applied in their numbers' order, each once. An early one is parked until the gap
closes; one that cannot be read is parked as poison and holds back its entity alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.events.catalog import AnyEvent, encode

Verdict = Literal["applied", "duplicate", "parked"]


@dataclass(frozen=True, slots=True)
class EntityRecord:
    """How far an entity's record goes: the last applied number and the hash that chains its audit trail."""

    tenant: str
    entity: str
    last: int = 0
    chain: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One applied event, chained: `hash` covers the previous row's hash and this event."""

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
    """One usage, as the bill shows it; `event_id` makes it countable once."""

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
    """All rows of one transaction; `record` is None when nothing moved."""

    verdict: Verdict
    record: EntityRecord | None = None
    applied: tuple[tuple[AnyEvent, AuditRow], ...] = ()
    park: Parked | None = None

    @property
    def billing(self) -> tuple[BillingRow, ...]:
        """The bill's rows among the applied events."""
        return tuple(_billed(event) for event, _ in self.applied if event.type == "usage.metered")


def decide(
    record: EntityRecord, waiting: Mapping[int, AnyEvent], event: AnyEvent, now: datetime
) -> Recording:
    """Apply, park or recognise `event`; `waiting` are the entity's parked gap events by number.

    Applying one releases those that directly follow it.
    """
    if event.sequence <= record.last:
        return Recording("duplicate")
    if event.sequence > record.last + 1:
        reason = f"waits for {record.last + 1}"
        return Recording("parked", park=_parked(event, "gap", reason, now))
    rows: list[tuple[AnyEvent, AuditRow]] = []
    following: AnyEvent | None = event
    while following is not None:
        row = _audited(record, following)
        rows.append((following, row))
        record = EntityRecord(record.tenant, record.entity, row.sequence, row.hash)
        following = waiting.get(record.last + 1)
    return Recording("applied", record, tuple(rows))


def _parked(event: AnyEvent, cause: Literal["gap", "poison"], reason: str, now: datetime) -> Parked:
    return Parked(event.tenant, event.entity, event.sequence, cause, reason, encode(event, "pubsub"), now)


def _audited(record: EntityRecord, event: AnyEvent) -> AuditRow:
    body = encode(event, "pubsub")
    chained = hashlib.sha256(f"{record.chain}\n{body}".encode()).hexdigest()
    return AuditRow(
        event.tenant,
        event.entity,
        event.sequence,
        event.id,
        event.type,
        event.taskid,
        event.time,
        body,
        chained,
    )


def _billed(event: AnyEvent) -> BillingRow:
    used = event.data
    return BillingRow(
        event.id,
        event.tenant,
        event.taskid,
        event.entity,
        event.sequence,
        used.step,
        used.model,
        used.tokens_in,
        used.tokens_out,
        used.cost_micro_usd,
        used.price_version,
    )


def first_broken_link(rows: list[AuditRow]) -> int | None:
    """Return the number of the first row of an entity whose chain does not hold, or None."""
    chain = ""
    for number, row in enumerate(sorted(rows, key=lambda row: row.sequence), start=1):
        chain = hashlib.sha256(f"{chain}\n{row.body}".encode()).hexdigest()
        if row.sequence != number or row.hash != chain:
            return number
    return None
