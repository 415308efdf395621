"""How the control state lies in one Azure table: keys, bodies, and the rows of a change.

All of a tenant's entity lies in one partition, because only rows of one partition change together
(https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions). A second partition per
tenant leads from ids to entities; its rows are hints and never the truth.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from shared.errors import Permanent
from shared.events.catalog import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.events.catalog import AnyEvent

Row = dict[str, Any]

MOST_OPERATIONS = 100
MOST_BYTES_OF_A_ROW = 1024 * 1024 - 8 * 1024  # 1 MiB with the properties' names
MOST_BYTES_OF_A_CHANGE = 4 * 1024 * 1024 - 64 * 1024  # 4 MiB with the batch's own words
_PROPERTY = 60 * 1024  # a binary property holds 64 KiB
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}")
SEQUENCE = "sequence"


def partition(tenant: str, entity: str) -> str:
    """Return the partition of an entity, whose name may have characters that a key may not."""
    return f"{tenant}~{hashlib.sha256(entity.encode()).hexdigest()[:40]}"


def index(tenant: str) -> str:
    """Return the partition in which the tenant's ids are looked up; no entity's partition is named like it."""
    return tenant


def is_key(text: str) -> bool:
    """Tell whether an id from outside can be part of a key at all."""
    return _KEY.fullmatch(text) is not None


def task_key(task: str) -> str:
    """Return the key of a task."""
    return f"task|{task}"


def approval_key(approval: str) -> str:
    """Return the key of an approval."""
    return f"approval|{approval}"


def pending_key(approval: str) -> str:
    """Return the key, in the index, of an approval that somebody owes."""
    return f"pending|{approval}"


def journal_key(task: str, document: int, step: str) -> str:
    """Return the key of a step's entry."""
    return f"journal|{task}|{document:04d}|{step}"


def claim_key(claim: str) -> str:
    """Return the key of a claim in the inbox."""
    return f"inbox|{hashlib.sha256(claim.encode()).hexdigest()}"


def outbox_key(sequence: int) -> str:
    """Return the key of an unsent event; keys sort like numbers."""
    return f"outbox|{sequence:012d}"


def row(in_partition: str, key: str, body: str = "", **fields: object) -> Row:
    """Return a row, its body cut into as many properties as it needs; Permanent when no row can hold it."""
    content = body.encode()
    if len(content) > MOST_BYTES_OF_A_ROW:
        raise Permanent(f"{len(content)} bytes are more than the {MOST_BYTES_OF_A_ROW} a row may have", code="oversize")
    pieces = {f"B{at // _PROPERTY:02d}": content[at : at + _PROPERTY] for at in range(0, len(content), _PROPERTY)}
    return {"PartitionKey": in_partition, "RowKey": key, **fields, **pieces}


def body_of(found: Mapping[str, Any]) -> bytes:
    """Return the body of a row."""
    names = sorted(name for name in found if re.fullmatch(r"B\d\d", name))
    return b"".join(found[name] for name in names)


def outbox_row(in_partition: str, event: AnyEvent) -> Row:
    """Return the row of an unsent event."""
    return row(in_partition, outbox_key(event.sequence), encode(event), Time=event.time)


def check_size(rows: list[Row]) -> None:
    """Raise Permanent for a change that one transaction cannot take."""
    size = sum(len(value) for one in rows for value in one.values() if isinstance(value, bytes))
    if len(rows) > MOST_OPERATIONS or size > MOST_BYTES_OF_A_CHANGE:
        raise Permanent(f"{len(rows)} rows of {size} bytes are more than one transaction takes", code="oversize")
