"""API Gateway as far as the home store's callers see it: requests become recorded envelopes, answers become HTTP.

May know the HTTP API's payload; must not know what an operation does. Tokens are not signed: a token's claims are its
text, because checking signatures is the authorizer's business and not ours.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aws.handlers import home
from azure.fabric.adapters.web import Answer, Web

if TYPE_CHECKING:
    from shared.ports import Ports

Json = dict[str, Any]
Serve = Callable[[str, str, Mapping[str, str], bytes], Answer]
_SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "aws" / "http_api.json"
_SERVED: list[Ports] = []


def served() -> Ports:
    """Return the ports that the home serves: AGENTFABRIC_PORTS=tests.contracts.gateway:served."""
    return _SERVED[-1]


@contextmanager
def serving(ports: Ports) -> Iterator[None]:
    """Let the home serve these ports inside."""
    _SERVED.append(ports)
    try:
        yield
    finally:
        _SERVED.pop()


def token(**claims: object) -> str:
    """Return a token with these claims."""
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()


def claims_of(headers: Mapping[str, str]) -> Json:
    """Return what the bearer token claims."""
    said = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    text = base64.urlsafe_b64decode(said.removeprefix("Bearer "))
    claims: Json = json.loads(text) if text else {}
    return claims


PEER = token(sub="azure", roles="[fabric]")  # an array of claims arrives as its text


def home_event(operation: str, body: bytes, claims: Json) -> Json:
    """Return the envelope of a request to the home."""
    event: Json = json.loads(_SAMPLE.read_text(encoding="utf-8"))
    path = f"/fabric/{operation}"
    event |= {"routeKey": "POST /fabric/{operation}", "rawPath": path, "pathParameters": {"operation": operation}}
    event["requestContext"] |= {"routeKey": "POST /fabric/{operation}", "authorizer": {"jwt": {"claims": claims}}}
    event["requestContext"]["http"] |= {"method": "POST", "path": path}
    event["body"] = body.decode()
    return event


def ask_home(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Answer a request as the API in front of the home would."""
    assert (method, path.rpartition("/")[0]) == ("POST", "/fabric")
    told = home.handler(home_event(path.rpartition("/")[2], body, claims_of(headers)), None)
    return Answer(told["statusCode"], told["headers"], told["body"].encode())


class InProcess(Web):
    """Requests answered in this process, without a socket."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Return the answer."""
        return self._serve(method, urlsplit(url).path, headers, body or b"")


@contextmanager
def loopback(serve: Serve) -> Iterator[str]:
    """Serve on a free port of this machine, with connections that are kept; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = serve(self.command, self.path, dict(self.headers.items()), body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # a kept connection has a thread that waits for its next request
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
