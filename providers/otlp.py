"""A collector of spans over OTLP/HTTP in JSON, and when it is spoken to. No SDK: a cold start would pay for it.

OTEL_EXPORTER_OTLP_ENDPOINT         where collectors are; `/v1/traces` is put behind it
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT  where spans go, as it stands; goes before
OTEL_EXPORTER_OTLP_HEADERS          `name=value,…`, values as in a URL; OTEL_EXPORTER_OTLP_TRACES_HEADERS goes before
OTEL_SERVICE_NAME                   who we are, `agentfabric` if nothing else

A collector that is down costs one short deadline, then nothing for a while; spans are lost then, with a count in the
log, and never any work. https://opentelemetry.io/docs/specs/otel/protocol/exporter/ names the settings.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from providers.http import Pool, Request, Web
from shared.app.tracing import Recorder
from shared.core.completion import NoAnswer
from shared.core.otlp import request

if TYPE_CHECKING:
    from shared.core.spans import Span

_LOG = logging.getLogger(__name__)
_ENDPOINT, _HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
_TRACES_ENDPOINT, _TRACES_HEADERS = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
_SECONDS = 2.0  # for one request, all in all
_PAUSE = 30.0  # seconds without a word to a collector that failed
_BATCH = 500


@dataclass(slots=True)
class Collector:
    """Where spans are sent; `resource` says who recorded them."""

    url: str
    headers: Mapping[str, str]
    resource: Mapping[str, str]
    web: Web = field(default_factory=lambda: Pool(None))
    clock: Callable[[], float] = time.monotonic
    _silent_until: float = float("-inf")

    def send(self, spans: Sequence[Span], lost: int = 0) -> None:
        """Send the spans; those that do not arrive are counted in the log, with those `lost` before."""
        why = "there was no room for them" if lost else ""
        for first in range(0, len(spans), _BATCH):
            batch = spans[first : first + _BATCH]
            try:
                self._post(batch)
            except NoAnswer as failure:
                lost, why = lost + len(batch), str(failure)
            except ValueError:  # its words may repeat a header's
                lost, why = lost + len(batch), "the collector's settings cannot be used"
        if lost:
            _LOG.warning("%d spans are lost: %s", lost, why)

    def _post(self, spans: Sequence[Span]) -> None:
        if self.clock() < self._silent_until:
            raise NoAnswer("the collector failed a moment ago", code="silent", served=False)
        body = json.dumps(request(spans, self.resource), separators=(",", ":")).encode()
        try:
            response = self.web.post(Request(self.url, self.headers, body), total=_SECONDS, idle=_SECONDS)
        except NoAnswer as failure:
            self._silent_until = self.clock() + _PAUSE
            raise NoAnswer("no answer from the collector", code=failure.code, served=failure.served) from failure
        if response.status != HTTPStatus.OK:
            self._silent_until = self.clock() + _PAUSE
            raise NoAnswer(f"the collector answers {response.status}", code="refused", served=False)
        refused = _refused(response.body)
        if refused:
            _LOG.warning("%d spans are lost: the collector refuses them", refused)


@dataclass(slots=True)
class Exporter:
    """The `Spans` port where a process may freeze between two invocations: sent at an invocation's end."""

    collector: Collector
    recorder: Recorder = field(default_factory=Recorder)

    def record(self, span: Span) -> None:
        """Keep the span until the invocation ends."""
        self.recorder.record(span)

    def flush(self) -> None:
        """Send what was recorded."""
        spans, lost = self.recorder.take()
        if spans or lost:
            self.collector.send(spans, lost)


def collector(environment: Mapping[str, str], **resource: str) -> Collector | None:
    """Return the collector that the settings name, or None; the `resource`'s names have `_` for `.`."""
    base = environment.get(_ENDPOINT, "")
    url = environment.get(_TRACES_ENDPOINT) or (f"{base.rstrip('/')}/v1/traces" if base else "")
    if not url:
        return None
    who = {"service.name": environment.get("OTEL_SERVICE_NAME") or "agentfabric"}
    who |= {name.replace("_", "."): value for name, value in resource.items()}
    return Collector(url, _headers(environment.get(_TRACES_HEADERS) or environment.get(_HEADERS, "")), who)


def exporter(environment: Mapping[str, str], **resource: str) -> Exporter | None:
    """Return where a cloud's spans go, or None when nobody looks at them."""
    found = collector(environment, **resource)
    return Exporter(found) if found else None


def _headers(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def _refused(body: bytes) -> int:
    """Return how many spans a collector that took the rest did not take."""
    try:
        told = json.loads(body or b"{}")
        return int(told.get("partialSuccess", {}).get("rejectedSpans", 0))
    except (ValueError, TypeError, AttributeError):  # it said 200, and how is its own affair
        return 0
