"""Envelopes of AWS to what the fabric understands, and verdicts to what AWS understands.

Knows the shapes of API Gateway, Kinesis, SQS and Step Functions. Knows no SDK, no environment, no use case.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from shared.errors import FabricError, Forbidden, NotFound, Permanent, Transient

Json = dict[str, Any]
Handler = Callable[[Json, object], Json]

SOURCE = "/aws"
MAX_BODY = 256 * 1024

# What a code means in HTTP. Codes that are not here are the request's own fault: 400.
STATUS: Mapping[str, HTTPStatus] = {
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "not-found": HTTPStatus.NOT_FOUND,
    "already-over": HTTPStatus.CONFLICT,
    "task-over": HTTPStatus.CONFLICT,
    "oversize": HTTPStatus.CONTENT_TOO_LARGE
    if hasattr(HTTPStatus, "CONTENT_TOO_LARGE")
    else HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "key-reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "transient": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
