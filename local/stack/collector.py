"""A collector of spans for one machine: OTLP/HTTP in JSON on loopback, each trace a file of lines.

What was answered with 200 is in a file by then. Must not know who sends; `python -m local.stack.collector PORT FOLDER`.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from shared.events.ids import trace_id

PATH = "/v1/traces"
_TRACE = re.compile(r"[0-9a-f]{32}")
_MOST = 16 * 1024 * 1024
Json = dict[str, Any]


class Collector(ThreadingHTTPServer):
    """Takes spans until it is stopped."""

    daemon_threads = True

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._folder = folder
        self._writing = threading.Lock()

    def keep(self, request: Json) -> None:
        """Append each span, with who recorded it, to its trace's file."""
        lines: dict[str, list[str]] = {}
        for trace, one in _each(request):
            lines.setdefault(trace, []).append(json.dumps(one) + "\n")
        with self._writing:
            for trace, more in lines.items():
                with (self._folder / f"{trace}.jsonl").open("a", encoding="utf-8") as file:
                    file.writelines(more)


def collected(folder: Path, task: str) -> Json:
    """Return all spans of a task as one request; of a span that came more than once, the latest."""
    path = folder / f"{trace_id(task)}.jsonl"
    found: dict[str, Json] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        one = json.loads(line)
        found[one["scopeSpans"][0]["spans"][0]["spanId"]] = one
    return {"resourceSpans": list(found.values())}


def _each(request: Json) -> Iterator[tuple[str, Json]]:
    """Yield each span's trace, and the span in an envelope of its own; ValueError when a trace's id is none."""
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                if not _TRACE.fullmatch(span["traceId"]):
                    raise ValueError("this is no trace's id")
                yield span["traceId"], {**resource, "scopeSpans": [{**scope, "spans": [span]}]}


class _Handler(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if self.path != PATH or length > _MOST:
            self.close_connection = True  # its body is not read
            self._answer(HTTPStatus.NOT_FOUND if self.path != PATH else HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(length)
        try:
            self.server.keep(json.loads(body))
        except (ValueError, KeyError, TypeError):
            self._answer(HTTPStatus.BAD_REQUEST)
        else:
            self._answer(HTTPStatus.OK)

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing: a line for each batch would hide what matters."""


if __name__ == "__main__":
    Collector(int(sys.argv[1]), Path(sys.argv[2])).serve_forever()
