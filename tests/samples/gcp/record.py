"""Records push.json: the canonical event, published with our adapter, as the Pub/Sub emulator pushes it.

Run at the root: python -m tests.samples.gcp.record
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from shared.core.routes import Route
from shared.events.catalog import parse
from tests.gcp.emulators import environment, pubsub_settings
from tests.gcp.topics import topic_with_push

_HERE = Path(__file__).resolve().parent


class _Hook(BaseHTTPRequestHandler):
    """Keeps the first body it gets."""

    body = b""
    heard = threading.Event()

    def do_POST(self) -> None:
        type(self).body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.heard.set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Write the sample anew."""
    event = parse((_HERE.parent / "event.json").read_text(encoding="utf-8"))
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pubsub_settings() as settings, environment(settings):
        bus = topic_with_push(f"http://127.0.0.1:{server.server_port}/")
        bus.publish([(Route.RECORDS, event)])
        _Hook.heard.wait(30)
    server.shutdown()
    text = json.dumps(json.loads(_Hook.body), indent=2)
    (_HERE / "push.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
