"""A span of an attempt at a step: recorded, next to OpenTelemetry's SDK; and made ready to be sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.runner import Effort, Row, each, in_turns
from shared.app.tracing import Measured, Recorder
from shared.core.journal import Entry
from shared.core.otlp import request
from shared.core.spans import of_attempt

_MICRO = 1e6
_MORE = 5  # times as many repeats, because each takes milliseconds only
_ENTRY = Entry(tenant="acme", task="task", document=0, step="classify", tool="classify", input_sha256=64 * "0")


def rows(effort: Effort) -> Iterator[Row]:
    """Measure recording, then encoding."""
    times, repeats = effort.pick(full=1000, quick=500, tiny=3), _MORE * effort.repeats
    recorder, exporter = Recorder(), InMemorySpanExporter()
    ports: Any = SimpleNamespace(spans=recorder, now=lambda: datetime.now(UTC))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    facts: dict[str, Any] = dict(of_attempt(_ENTRY, 1, 0.0, 0.0, "").facts)

    tracer = provider.get_tracer("benchmarks")

    def ours() -> None:
        for _ in range(times):
            with Measured(ports, partial(of_attempt, _ENTRY, 1)):
                pass
        taken, lost = recorder.take()
        assert (len(taken), lost) == (times, 0)

    def theirs() -> None:
        for _ in range(times):
            with tracer.start_as_current_span("execute_tool classify", attributes=facts):
                pass
        assert len(exporter.get_finished_spans()) == times
        exporter.clear()

    recorded, by_sdk = in_turns(repeats, *(each(work, 1, scale=_MICRO / times) for work in (ours, theirs)))
    note = f"{len(facts)} attributes, kept in memory, {times} at a time. Ours: ids are derived when it is sent."
    yield Row("span recorded", "µs", recorded, "OpenTelemetry SDK", by_sdk, note=note)
    yield _encoded(times, repeats)


def _encoded(times: int, repeats: int) -> Row:
    spans = [of_attempt(_ENTRY, run, 1.0, 2.0, "") for run in range(times)]

    def work() -> None:
        json.dumps(request(spans, {"service.name": "agentfabric"}))

    (samples,) = in_turns(repeats, each(work, 1, scale=_MICRO / times))
    return Row("span encoded", "µs", samples, note="As OTLP in JSON, ids derived; off the path of the work.")
