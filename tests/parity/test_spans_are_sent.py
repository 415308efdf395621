from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from aws import verdicts, wiring
from azure.fabric import wiring as azure
from azure.fabric.handlers import activities
from azure.fabric.wire import ApprovalOf
from local.stack.collector import Collector, collected
from shared.core.otlp import read
from shared.core.spans import Span
from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aws.wire import Json

SPAN = Span("t1", "a", "", "admit", 10.0, 11.0, "", {"agentfabric.task": "t1"})


@pytest.fixture(autouse=True)
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A collector that the environment names."""
    server = Collector(0, tmp_path)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    for place in (wiring, azure):
        place.spans.cache_clear()
    yield
    for place in (wiring, azure):
        place.spans.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join()


def work(event: Json) -> Json:
    """Record a span, and fail when asked to."""
    spans = wiring.spans()
    assert spans is not None
    spans.record(SPAN)
    if event.get("fails"):
        raise Permanent("as asked")
    return {}


def test_a_lambda_s_spans_are_sent_before_it_may_freeze(tmp_path: Path) -> None:
    """When a handler returns, what it recorded is at the collector, with the cloud that it ran on."""
    verdicts.pipeline(work)({}, None)
    told = collected(tmp_path, "t1")
    assert [span.name for span in read(told)] == ["admit"]
    assert {"key": "cloud.provider", "value": {"stringValue": "aws"}} in (
        told["resourceSpans"][0]["resource"]["attributes"]
    )


def test_a_failure_s_spans_are_sent_too(tmp_path: Path) -> None:
    """A handler that raises its verdict has sent what it recorded."""
    with pytest.raises(Exception, match="as asked"):
        verdicts.pipeline(work)({"fails": True}, None)
    assert read(collected(tmp_path, "t1"))


def test_an_answer_s_spans_are_sent_too(tmp_path: Path) -> None:
    """A request that is refused at the door flushes, whoever recorded before."""
    work({})
    assert verdicts.http({})({"routeKey": "GET /nowhere"}, None)["statusCode"] >= 400
    assert read(collected(tmp_path, "t1"))


def test_an_activity_s_spans_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a review's activity ends, be it with a failure, what it recorded is at the collector."""
    spans = azure.spans()
    assert spans is not None
    spans.record(SPAN)
    monkeypatch.setenv("AGENTFABRIC_PORTS", "tests.parity.test_spans_are_sent:nowhere")
    given = ApprovalOf(tenant="t", task="t1", run=1, workflow="w", document=0, approval="a")
    assert activities.check_approval(given)["outcome"] == activities.FAILED
    assert read(collected(tmp_path, "t1"))


def test_without_a_setting_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that names no collector has none, and its handlers end as they always did."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    wiring.spans.cache_clear()
    assert wiring.spans() is None
    assert verdicts.pipeline(lambda event: event)({"a": 1}, None) == {"a": 1}


def nowhere() -> None:
    """Stand for a place whose ports are out of order."""
    raise Permanent("no ports here", code="not-wired")
