"""Spans as OpenTelemetry's collectors take them: OTLP in JSON, https://opentelemetry.io/docs/specs/otlp/ .

Ids are hexadecimal there, enumerations are numbers, and numbers of 64 bits are texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.spans import CHAT, NAMES, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json = dict[str, Any]
_INTERNAL, _CLIENT = 1, 3
_ERROR = 2  # of what went well nothing is said
_MICROSECONDS, _NANOSECONDS = 1_000_000, 1_000  # a clock's float is no more precise than that


def request(spans: Iterable[Span], resource: Mapping[str, str]) -> Json:
    """Return the ExportTraceServiceRequest that hands spans on; `resource` says who recorded them."""
    scope = {"scope": {"name": "agentfabric"}, "spans": [_span(span) for span in spans]}
    return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}


def read(told: Mapping[str, Any]) -> list[Span]:
    """Return the spans in such a request, ours or what a collector kept; they are about what their ids say."""
    return [
        _read(span) for resource in told["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]
    ]


def _read(span: Mapping[str, Any]) -> Span:
    said: Any = {one["key"]: _said(one["value"]) for one in span["attributes"]}
    return Span(
        task=str(said.get("agentfabric.task", "")),
        about=span["spanId"],
        within=span.get("parentSpanId", ""),
        name=span["name"],
        start=int(span["startTimeUnixNano"]) / _NANOSECONDS / _MICROSECONDS,
        end=int(span["endTimeUnixNano"]) / _NANOSECONDS / _MICROSECONDS,
        fault=str(said.pop("error.type", "")),
        facts=said,
    )


def _said(value: Mapping[str, str]) -> int | str:
    return int(value["intValue"]) if "intValue" in value else value["stringValue"]


def _span(span: Span) -> Json:
    facts = {name: value for name, value in span.facts.items() if name in NAMES}
    kind = _CLIENT if facts.get("gen_ai.operation.name") == CHAT else _INTERNAL
    failed = {"error.type": span.fault} if span.fault else {}
    return {
        "traceId": span.trace,
        "spanId": span.id,
        **({"parentSpanId": span.parent} if span.within else {}),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": _nanoseconds(span.start),
        "endTimeUnixNano": _nanoseconds(max(span.start, span.end)),
        "attributes": _attributes(facts | failed),
        "status": {"code": _ERROR, "message": span.fault} if span.fault else {},
    }


def _nanoseconds(moment: float) -> str:
    return str(round(moment * _MICROSECONDS) * _NANOSECONDS)


def _attributes(facts: Mapping[str, object]) -> list[Json]:
    return [{"key": name, "value": _value(value)} for name, value in facts.items()]


def _value(value: object) -> Json:
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}
