from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from providers.http import Request, Response
from providers.otlp import Collector, collector, exporter
from shared.core.completion import NoAnswer
from shared.core.otlp import read, request
from shared.core.spans import Span

AT = 1_750_000_000.123456
CALL = Span(
    "task-1",
    "call",
    "step",
    "chat m",
    AT,
    AT + 0.75,
    "too-slow",
    {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 2**53, "agentfabric.task": "task-1"},
)
STEP = Span("task-1", "step", "", "execute_tool x", AT - 1, AT + 1, "", {"gen_ai.operation.name": "execute_tool"})


class Received(BaseHTTPRequestHandler):
    """A collector that keeps what it is sent, by OpenTelemetry's own messages."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep the request and answer as told."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """What the collector was asked, and what it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Received)
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.answer = 200, b"{}"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving() -> Iterator[Server]:
    """Serve on loopback until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A collector."""
    with serving() as made:
        yield made


def message(body: bytes) -> ExportTraceServiceRequest:
    """Return a body as the message that collectors read; in OTLP's JSON ids are hexadecimal, protobuf's has base64."""
    told = json.loads(body)
    for resource in told["resourceSpans"]:
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            for name in {"traceId", "spanId", "parentSpanId"} & span.keys():
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    found = ExportTraceServiceRequest()
    ParseDict(told, found)
    return found


def attributes(found: Any) -> dict[str, object]:
    """Return a message's attributes."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in found.attributes}


def test_spans_are_what_opentelemetry_reads(server: Server) -> None:
    """What is sent parses, field by field, as OpenTelemetry's own message, with whole numbers and exact times."""
    found = exporter({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{server.url}/"}, cloud_provider="aws")
    assert found is not None
    for span in (STEP, CALL):
        found.record(span)
    found.flush()
    ((path, headers, body),) = server.asked
    assert (path, headers["content-type"]) == ("/v1/traces", "application/json")
    (resource,) = message(body).resource_spans
    assert attributes(resource.resource) == {"service.name": "agentfabric", "cloud.provider": "aws"}
    step, call = resource.scope_spans[0].spans
    assert (call.trace_id.hex(), call.span_id.hex()) == (CALL.trace, CALL.id)
    assert (call.parent_span_id, step.parent_span_id) == (step.span_id, b"")
    assert (call.name, call.kind, step.kind) == ("chat m", call.SPAN_KIND_CLIENT, call.SPAN_KIND_INTERNAL)
    assert (call.start_time_unix_nano, call.end_time_unix_nano) == (
        1_750_000_000_123_456_000,
        1_750_000_000_873_456_000,
    )
    assert (call.status.code, call.status.message) == (2, "too-slow")
    assert step.status.code == 0
    said = attributes(call)
    assert (said["gen_ai.usage.input_tokens"], said["error.type"]) == (2**53, "too-slow")


def test_nothing_is_sent_twice(server: Server) -> None:
    """An invocation without spans sends nothing, and what was sent is forgotten."""
    found = exporter({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": server.url})
    assert found is not None
    found.flush()
    found.record(CALL)
    found.flush()
    found.flush()
    assert len(server.asked) == 1


def test_settings_are_opentelemetry_s() -> None:
    """Endpoint, headers and service name are read as the specification says, and without an endpoint nobody looks."""
    made = collector(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collect.example/base",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc%3D, x-scope=7",
            "OTEL_SERVICE_NAME": "reviews",
        }
    )
    assert made is not None
    assert (made.url, made.resource["service.name"]) == ("https://collect.example/base/v1/traces", "reviews")
    assert made.headers == {"authorization": "Basic abc=", "x-scope": "7"}
    assert exporter({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None


def test_many_spans_go_in_batches(server: Server) -> None:
    """No request has more than 500 spans."""
    made = collector({"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
    assert made is not None
    made.send([CALL] * 1_200)
    sizes = [len(message(body).resource_spans[0].scope_spans[0].spans) for _, _, body in server.asked]
    assert sizes == [500, 500, 200]


def test_a_collector_that_refuses_loses_spans_with_a_count(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that is no 200, or one that took only some, is a line in the log with how many are lost."""
    made = collector({"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
    assert made is not None
    server.answer = b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"}}'
    made.send([CALL] * 3)
    server.status = 503
    made.send([CALL] * 3, lost=4)
    assert [record.getMessage() for record in caplog.records] == [
        "2 spans are lost: the collector refuses them",
        "7 spans are lost: the collector answers 503",
    ]


class Down:
    """The way to a collector that nobody answers at."""

    def __init__(self) -> None:
        self.times = 0

    def post(self, asked: Request, *, total: float, idle: float) -> Response:
        """Fail."""
        assert asked.url
        assert max(total, idle) <= 2
        self.times += 1
        raise NoAnswer("nobody is there", code="unreachable", served=False)


def test_a_collector_that_is_down_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """After a failure nobody waits for the collector for half a minute; every lost span is counted."""
    web, now = Down(), [0.0]
    made = Collector("http://127.0.0.1:9", {}, {}, web, lambda: now[0])
    for moment in (0.0, 1.0, 29.0, 31.0):
        now[0] = moment
        made.send([CALL] * 2)
    assert web.times == 2
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [2, 2, 2, 2]


def test_settings_that_cannot_be_used_cost_no_work(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A header that HTTP refuses loses spans with a word in the log, and its value is not in it."""
    made = collector({"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_EXPORTER_OTLP_HEADERS": "key=sec%0Aret"})
    assert made is not None
    with caplog.at_level(logging.DEBUG):
        made.send([CALL])
    assert "1 spans are lost: the collector's settings cannot be used" in caplog.text
    assert "sec" not in caplog.text.replace("seconds", "")


def test_a_request_is_read_back() -> None:
    """What was written for a collector reads as the same tree, its spans about what their ids say."""
    whole, call = read(request([STEP, CALL], {}))
    assert (call.within, whole.within) == (whole.about, "")
    assert (call.name, call.fault, call.facts) == (CALL.name, CALL.fault, CALL.facts)
    assert call.start == pytest.approx(CALL.start, abs=1e-6)
    assert call.end - call.start == pytest.approx(0.75, abs=2e-6)
