"""HTTP and Pub/Sub push on one side, bodies and verdicts on the other. Decides nothing, touches no store.

https://cloud.google.com/pubsub/docs/push#receive_push
"""

from __future__ import annotations

import base64
import json
import logging
import traceback
from functools import wraps
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flask import Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator
from werkzeug.exceptions import HTTPException

from shared.errors import FabricError, Permanent
from shared.events.catalog import checked
from shared.events.strict import load_object
from shared.problems import MEDIA_TYPE, code_of, problem, retry_after, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BODY = 16 * 1024 * 1024  # the largest message Pub/Sub takes (10 MB), in base64, and its envelope
_log = logging.getLogger(__name__)


class Message(BaseModel):
    """The message inside a push; `data` is decoded."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    data: bytes = b""
    attributes: dict[str, str] = Field(default_factory=dict)
    message_id: str = Field(default="", alias="messageId")

    @field_validator("data", mode="before")
    @classmethod
    def _decode(cls, value: object) -> object:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value


class Push(BaseModel):
    """What Pub/Sub posts for one message."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message: Message
    subscription: str = ""


def unwrap(body: bytes) -> Message:
    """Return the message in a push envelope; Permanent when it is none."""
    try:
        said = load_object(body)
    except Permanent as error:
        raise Permanent(str(error), code="broken-envelope") from error
    return checked(Push, said, code="broken-envelope").message


def read_body(request: Request, *, most: int = MAX_BODY) -> bytes:
    """Return the request's body; Permanent when there is more of it than anybody may send.

    flask's own `max_content_length` will not do: functions-framework reads what is left and trips over it.
    """
    length = request.content_length
    try:
        body = request.stream.read(most + 1) if length is None else request.get_data() if length <= most else None
    except HTTPException as error:
        raise Permanent("the body breaks off") from error
    if body is None or len(body) > most:
        raise Permanent(f"the body is larger than {most} bytes", code="oversize")
    return body


def headers(request: Request) -> dict[str, str]:
    """Return the request's headers by their names in lower case."""
    return {name.lower(): value for name, value in request.headers.items()}


def number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """Return a query parameter that is a whole number within bounds."""
    return whole(request.args.get(name, str(default)), name, least=least, most=most)


def whole(text: str, name: str, *, least: int, most: int) -> int:
    """Return the whole number within bounds that a parameter's text is."""
    if not (text.isascii() and text.isdecimal() and len(text) < 17 and least <= int(text) <= most):  # noqa: PLR2004  fits 2**53
        raise Permanent(f"expected a whole number from {least} to {most}", where=name)
    return int(text)


def answer(content: dict[str, Any], status: int = 200) -> Response:
    """Return JSON."""
    return Response(json.dumps(content, ensure_ascii=False), status, mimetype="application/json")


def no_content() -> Response:
    """Return what Pub/Sub takes for an acknowledgement."""
    return Response(status=204)


def with_verdicts(handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Turn what a handler raises into a status and a problem."""

    @wraps(handler)
    def guarded(request: Request) -> Response:
        try:
            return handler(request)
        except FabricError as error:
            return _refused(error)
        except Exception as error:  # noqa: BLE001  the last stop: nothing of it may reach the caller
            # Its text may be a document's, so its type and place have to do.
            _log.error("%s in %s at %s", type(error).__name__, handler.__name__, _place(error))
            return _problem(Permanent("an unexpected failure; the log names its type", code="internal"))

    return guarded


def _refused(error: FabricError) -> Response:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", code_of(error), error)
        what = "this deployment is not set up; the log says what is missing"
        return _problem(Permanent(what, code=code_of(error)))
    return _problem(error, {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {})


def _problem(error: FabricError, extra: Mapping[str, str] = MappingProxyType({})) -> Response:
    details = problem(error)
    return Response(json.dumps(details), details["status"], {**extra, **retry_after(error)}, mimetype=MEDIA_TYPE)


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.name}:{frame.lineno}"
