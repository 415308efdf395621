"""Writing events into the system of record, whatever order and shape they arrive in, and proving it unchanged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.core.recording import EntityRecord, Parked, Verdict, extend
from shared.errors import Permanent
from shared.events.catalog import parse
from shared.events.ids import Entity, Sequence, Tenant
from shared.events.strict import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports import Ports

QUARANTINE = "_quarantine"  # no tenant can be called that
MAX_KEPT = 100_000  # characters; producers stay below half of it
_PAGE = 500


class _Owner(BaseModel):
    """Whose event it is, as far as that can be told of one that cannot be read."""

    model_config = ConfigDict(frozen=True)

    tenant: Tenant
    partitionkey: Entity
    sequence: Sequence


def record(ports: Ports, body: bytes | str, attributes: Mapping[str, str]) -> Verdict:
    """Record the event in `body`: applied, a duplicate, or parked for its entity alone.

    `attributes` are the transport's: they name tenant, entity and sequence even when the body cannot be read.
    What nobody owns is parked in quarantine, each such message as an entity of its own: nothing is lost, nobody waits.
    """
    try:
        event = parse(body, tenant=attributes.get("tenant") or None, transport="internal")
    except Permanent as why:
        return ports.records.park(_poison(ports, body, attributes, why))
    return ports.records.apply(event, ports.now())


def _poison(ports: Ports, body: bytes | str, attributes: Mapping[str, str], why: Permanent) -> Parked:
    raw = body.encode() if isinstance(body, str) else body
    text = raw.decode("utf-8", errors="backslashreplace")
    reason = str(why)
    if len(text) > MAX_KEPT:
        reason += f" (kept: the first {MAX_KEPT} of {len(text)} characters, sha256 {hashlib.sha256(raw).hexdigest()})"
    owner = _owner(attributes) or _owner(_fields(body))
    if owner is None:
        named = f"{sorted(attributes.items())}\n".encode() + raw
        owner = _Owner.model_construct(
            tenant=QUARANTINE, partitionkey=f"sha256:{hashlib.sha256(named).hexdigest()}", sequence=1
        )
    return Parked(owner.tenant, owner.partitionkey, owner.sequence, "poison", reason, text[:MAX_KEPT], ports.now())


def _owner(named: Mapping[str, object]) -> _Owner | None:
    try:
        return _Owner.model_validate(named)
    except ValidationError:
        return None


def _fields(body: bytes | str) -> Mapping[str, object]:
    try:
        return load_object(body)
    except Permanent:
        return {}


def skip(ports: Ports, tenant: str, entity: str, sequence: int, *, by: str, reason: str) -> Verdict:
    """Let an entity's record go on without the number that holds it back; `by` and `reason` stay in the record."""
    if not by.strip() or not reason.strip():
        raise Permanent("say who skips it and why", code="invalid", where="reason" if by.strip() else "by")
    return ports.records.skip(tenant, entity, sequence, by=by, reason=reason, at=ports.now())


@dataclass(frozen=True, slots=True)
class Verified:
    """How many of an entity's rows were checked, and the first number that does not hold, if any."""

    entity: str
    checked: int
    broken: int | None


def verify(ports: Ports, tenant: str, entity: str) -> Verified:
    """Check the entity's audit trail: every row, their order, and that none is missing at its end."""
    head = ports.records.head(tenant, entity)
    record = EntityRecord(tenant, entity)
    while record.last < head.last:
        page = ports.records.history(tenant, entity=entity, after=(entity, record.last), limit=_PAGE)
        reached = extend(record, [row for row in page if row.sequence <= head.last])
        if reached.last < min(record.last + _PAGE, head.last):
            return Verified(entity, reached.last, reached.last + 1)
        record = reached
    return Verified(entity, record.last, None if record == head else record.last)
