"""GCP on a laptop: Pub/Sub's pushes and HTTP requests, handed to the real functions as functions-framework would."""

from __future__ import annotations

import base64
import importlib
import io
import json
import sys
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

from flask import Request, Response

from local.sqlite.broker import Message

NO_CONTENT, TRY_LATER = 204, 503
_SUBSCRIPTION = "projects/local/subscriptions/records"
_ENVIRON = {  # PEP 3333
    "SCRIPT_NAME": "",
    "CONTENT_TYPE": "application/json",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


@cache
def _functions() -> ModuleType:
    return importlib.import_module("gcp.main")


def deliver_record(message: Message) -> tuple[int, float]:
    """Push a message to the recorder; return the status and, when it asks for patience, the seconds."""
    body = json.dumps(
        {
            "message": {
                "data": base64.b64encode(message.body.encode()).decode(),
                "attributes": message.attributes,
                "messageId": str(message.id),
                "message_id": str(message.id),
            },
            "subscription": _SUBSCRIPTION,
        }
    ).encode()
    response = _request("record", "POST", "/", {}, body)
    return response.status_code, float(response.headers.get("Retry-After", 1))


def query(
    path: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    decision: Mapping[str, Any] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Ask the record, or post a decision to it; return the status and the JSON answer."""
    method, body = ("GET", b"") if decision is None else ("POST", json.dumps(decision).encode())
    response = _request("query", method, path, parameters, body, headers)
    return response.status_code, json.loads(response.get_data())


def _request(
    target: str,
    method: str,
    path: str,
    parameters: Mapping[str, str],
    body: bytes,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Call a function with the request that functions-framework would hand it."""
    environ = _ENVIRON | {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": urlencode(parameters),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
    function: Callable[[Request], Response] = getattr(_functions(), target)
    return function(Request(environ))
