"""How the control state lies in one Azure table: keys, bodies, and the size of a change.

All of a tenant lies in one partition: only rows of one partition change together
(https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions), and claims hold for all
entities of a tenant. One partition takes 2,000 rows a second, which bounds a tenant and not the fabric
(https://learn.microsoft.com/azure/storage/tables/scalability-targets).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = dict[str, Any]

TASK, APPROVAL, PENDING, OUTBOX = "task|", "approval|", "pending|", "outbox|"
MOST_OPERATIONS = 100
MOST_BYTES_OF_A_ROW = 1024 * 1024 - 8 * 1024  # 1 MiB with the properties' names
MOST_BYTES_OF_A_CHANGE = 4 * 1024 * 1024 - 64 * 1024  # 4 MiB with the batch's own words
_PROPERTY = 60 * 1024  # a binary property holds 64 KiB
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def is_key(text: str) -> bool:
    """Tell whether an id from outside can be part of a key at all."""
    return _KEY.fullmatch(text) is not None


def hashed(text: str) -> str:
    """Return a key for a name that may have characters a key may not."""
    return hashlib.sha256(text.encode()).hexdigest()


def claim_key(claim: str) -> str:
    """Return the key of a claim in the inbox."""
    return f"inbox|{hashed(claim)}"


def sequence_key(entity: str) -> str:
    """Return the key under which an entity's numbers are given out."""
    return f"sequence|{hashed(entity)}"


def journal_key(task: str, document: int, step: str) -> str:
    """Return the key of a step's entry."""
    return f"journal|{task}|{document:04d}|{step}"


def outbox_prefix(entity: str) -> str:
    """Return what the keys of an entity's unsent events begin with."""
    return f"{OUTBOX}{hashed(entity)}|"


def outbox_key(entity: str, sequence: int) -> str:
    """Return the key of an unsent event; an entity's keys sort like its numbers."""
    return f"{outbox_prefix(entity)}{sequence:012d}"


def row(tenant: str, key: str, body: str = "", **fields: object) -> Row:
    """Return a row, its body cut into as many properties as it needs; Permanent when no row can hold it."""
    content = body.encode()
    if len(content) > MOST_BYTES_OF_A_ROW:
        raise Permanent(f"{len(content)} bytes are more than the {MOST_BYTES_OF_A_ROW} a row may have", code="oversize")
    pieces = {f"B{at // _PROPERTY:02d}": content[at : at + _PROPERTY] for at in range(0, len(content), _PROPERTY)}
    return {"PartitionKey": tenant, "RowKey": key, **fields, **pieces}


def body_of(found: Mapping[str, Any]) -> bytes:
    """Return the body of a row."""
    names = sorted(name for name in found if re.fullmatch(r"B\d\d", name))
    return b"".join(found[name] for name in names)


def check_size(rows: list[Row]) -> None:
    """Raise Permanent for a change that one transaction cannot take."""
    size = sum(len(value) for one in rows for value in one.values() if isinstance(value, bytes))
    if len(rows) > MOST_OPERATIONS or size > MOST_BYTES_OF_A_CHANGE:
        raise Permanent(f"{len(rows)} rows of {size} bytes are more than one transaction takes", code="oversize")
