from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.core.journal import Entry
from shared.core.otlp import request
from shared.core.spans import NAMES, Span, attempt, of_attempt
from shared.core.task import PARKED
from shared.events.ids import traceparent

ENTRY = Entry(tenant="acme", task="t1", document=2, step="classify", tool="classify", input_sha256="0" * 64, attempt=3)
AT = datetime(2025, 6, 1, tzinfo=UTC).timestamp()


def test_ids_are_those_of_the_events() -> None:
    """A span's trace is the one that the task's events carry, and its id the one of what it is about."""
    span = of_attempt(ENTRY, 1, AT, AT + 1, "")
    assert traceparent("t1", span.about) == f"00-{span.trace}-{span.id}-01"
    assert (len(span.trace), len(span.id)) == (32, 16)


def test_the_same_attempt_is_the_same_span() -> None:
    """Whoever repeats a recording writes the same span, and another attempt, run, step or document another one."""
    again = of_attempt(ENTRY, 1, AT + 5, AT + 9, "late")
    assert again.id == of_attempt(ENTRY, 1, AT, AT + 1, "").id
    others = [
        attempt(ENTRY.model_copy(update=change), 1) for change in ({"attempt": 4}, {"document": 0}, {"step": "x"})
    ]
    assert len({again.about, attempt(ENTRY, 2), *others}) == 5


def test_an_attempt_lies_within_its_task() -> None:
    """An attempt's parent is the task's own span, which has none."""
    span = of_attempt(ENTRY, 1, AT, AT + 1, "")
    whole = Span("t1", "t1", "", "invoke_workflow", AT, AT + 2, "", {})
    assert (span.trace, span.parent, whole.parent) == (whole.trace, whole.id, "")


def test_giving_way_is_no_fault() -> None:
    """An attempt that ended because its task waits says so, without a fault."""
    span = of_attempt(ENTRY, 1, AT, AT + 1, PARKED)
    assert (span.fault, span.facts["agentfabric.outcome"]) == ("", "parked")


def test_only_what_may_be_said_is_said() -> None:
    """Whatever else gets among a span's facts, OTLP carries the names of the list alone."""
    slipped: Any = {"agentfabric.step": "classify", "prompt": "CANARY"}
    told = json.dumps(request([Span("t1", "a", "", "n", AT, AT, "", slipped)], {}))
    assert "CANARY" not in told
    assert "agentfabric.step" in told
    assert all(name.startswith(("gen_ai.", "agentfabric.")) for name in NAMES)


@pytest.mark.parametrize(("end", "nanoseconds"), [(AT + 0.25, 250_000_000), (AT, 0), (AT - 1, 0)])
def test_no_span_ends_before_it_began(end: float, nanoseconds: int) -> None:
    """Durations are exact to the microsecond, and a clock that was set back leaves none below zero."""
    (scope,) = request([Span("t1", "a", "", "n", AT, end, "", {})], {})["resourceSpans"][0]["scopeSpans"]
    (span,) = scope["spans"]
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == nanoseconds
