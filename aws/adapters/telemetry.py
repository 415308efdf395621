"""Log lines and counters, through Powertools: JSON to CloudWatch, metrics as lines of the same log.

What may be logged is listed here by name. A document's text, a summary, an error's message are not on the list.
Lines go to stderr, because stdout belongs to whoever runs the handlers; CloudWatch keeps both.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import IO, TypedDict, Unpack, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.functions import is_metrics_disabled

SERVICE = "agentfabric"
_CALLER = 3  # whose line a log line names: neither Powertools' nor ours


class Noted(TypedDict, total=False):
    """All that a log line may say."""

    tenant: str
    task: str
    document: int
    step: str
    tool: str
    route: str
    code: str
    error: str
    where: str
    sequence: str
    events: int
    operator: str  # who changed what is in force for everybody
    scope: str
    version: str


def note(message: str, *, severe: bool = False, **fields: Unpack[Noted]) -> None:
    """Write one line."""
    write = _logger().error if severe else _logger().info
    write(message, extra=fields, stacklevel=_CALLER)


def count(name: str, value: int = 1) -> None:
    """Add to a counter; POWERTOOLS_METRICS_DISABLED=true keeps it quiet outside the cloud."""
    if is_metrics_disabled():  # asked here, because adding to metrics costs as much as printing them
        return
    metrics = _metrics()
    metrics.add_metric(name, MetricUnit.Count, value)
    metrics.flush_metrics()


class _Stderr:
    """The stderr of the moment: whoever runs the handlers may exchange it."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@cache
def _logger() -> Logger:
    return Logger(service=SERVICE, stream=cast("IO[str]", _Stderr()))


@cache
def _metrics() -> Metrics:
    return Metrics(namespace=SERVICE, service=SERVICE)
