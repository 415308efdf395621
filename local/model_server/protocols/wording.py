"""How protocols word things: JSON, server-sent events, pieces of a stream, times rounded up. Knows no protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from local.model_server.exchange import Body, Call
from shared.errors import Permanent

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_PIECE = 24  # characters of an answer in one event of a stream

M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], call: Call) -> M:
    """Read a request's body; Permanent when it is not of the model's shape."""
    try:
        return model.model_validate_json(call.body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Permanent(first["msg"], where=".".join(map(str, first["loc"]))) from error


def packed(value: object) -> bytes:
    """Return JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def whole(status: int, headers: Mapping[str, str], value: object) -> Body:
    """Return a response of one JSON value."""
    return Body(status, {**JSON, **headers}, (packed(value),))


def pieces(text: str) -> list[str]:
    """Return the text in the pieces in which a stream brings it."""
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def event(value: object) -> bytes:
    """Return a server-sent event."""
    return b"data: " + packed(value) + b"\n\n"


def tool_input(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Return an answer as a tool's input: nothing, when the answer is cut off or empty."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def milliseconds_up(seconds: float) -> int:
    """Return whole milliseconds, rounded up so that nobody comes early."""
    return math.ceil(round(seconds * 1000, 3))


def seconds_up(seconds: float) -> str:
    """Return whole seconds for a header, rounded up so that nobody comes early."""
    return str(math.ceil(round(seconds, 6)))
