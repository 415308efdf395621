"""GCP on a laptop: Pub/Sub push and HTTP into the real functions, served by functions-framework's own app."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from local.sqlite.broker import Message

_SOURCE = Path(__file__).parents[2] / "gcp" / "main.py"
_SUBSCRIPTION = "projects/local/subscriptions/records"
NO_CONTENT = 204


@cache
def _app(target: str) -> Callable[..., Iterable[bytes]]:
    from functions_framework import create_app  # noqa: PLC0415  heavy, needed once something is recorded

    app: Callable[..., Iterable[bytes]] = create_app(target, str(_SOURCE)).wsgi_app
    return app


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
    status, headers, _ = _request("record", "POST", "/", {}, body)
    return status, float(headers.get("Retry-After", 1))


def query(path: str, parameters: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Ask the record; returns the status and the JSON answer."""
    status, _, body = _request("query", "GET", path, parameters, b"", headers)
    return status, json.loads(body)


def _request(
    target: str,
    method: str,
    path: str,
    parameters: Mapping[str, str],
    body: bytes,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Call the function's WSGI app as gunicorn would (PEP 3333)."""
    answer: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": urlencode(parameters),
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    } | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}

    def start_response(
        status: str, received: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        del exc_info
        answer[:] = [int(status.split(maxsplit=1)[0]), dict(received)]
        return lambda _: None

    content = b"".join(_app(target)(environ, start_response))
    return answer[0], answer[1], content
