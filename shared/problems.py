"""What verdicts are called over HTTP, the same on every cloud: statuses, codes and problem details (RFC 9457).

Knows errors and nothing else: no event, no use case, no cloud's way to write a response.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from shared.errors import Conflict, Duplicate, FabricError, Forbidden, Permanent, Throttled, Transient

MEDIA_TYPE = "application/problem+json"

# By a verdict's code; a code that is not here is a fault of the request: 400.
STATUS: Mapping[str, int] = MappingProxyType(
    {
        "unauthenticated": 401,
        "forbidden": 403,
        "not-found": 404,
        "no-such-path": 404,
        "method-not-allowed": 405,
        "link-over": 410,
        "already-decided": 409,
        "already-over": 409,
        "already-settled": 409,
        "call-out": 409,
        "conflict": 409,
        "duplicate": 409,
        "not-next": 409,
        "stale-digest": 409,
        "task-over": 409,
        "oversize": 413,
        "key-reused": 422,
        "throttled": 429,
        "internal": 500,
        "not-configured": 500,
        "not-wired": 500,
        "try-later": 503,
    }
)


def code_of(error: FabricError) -> str:
    """Return the short, stable name of what is wrong."""
    if isinstance(error, Permanent | Throttled):
        return error.code
    return "conflict" if isinstance(error, Conflict) else "duplicate" if isinstance(error, Duplicate) else "try-later"


def status_of(error: FabricError) -> int:
    """Return what a verdict means in HTTP: its code decides, and whoever may not is forbidden whatever the code."""
    if isinstance(error, Throttled):
        return STATUS["throttled"]
    fallback = STATUS["forbidden"] if isinstance(error, Forbidden) else HTTPStatus.BAD_REQUEST.value
    return STATUS.get(code_of(error), fallback)


def retry_after(error: FabricError) -> Mapping[str, str]:
    """Return the header that says when trying again may help; none where it never does."""
    return {"retry-after": str(max(1, math.ceil(error.retry_after)))} if isinstance(error, Transient) else {}


def problem(error: FabricError) -> dict[str, Any]:
    """Return a verdict as the members of problem details."""
    code, status = code_of(error), status_of(error)
    return {
        "type": f"urn:agentfabric:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "code": code,
        "where": getattr(error, "where", ""),
    }
