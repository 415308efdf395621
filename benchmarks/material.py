"""What is measured with: events of a review as they really look, and the taxonomy without its approvals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from shared import taxonomies
from shared.events.catalog import AnyEvent, Cause, follow
from shared.events.document import DocumentRef, DocumentReviewed, Evidence
from shared.events.step import StepCompleted, StepStarted
from shared.events.task import TaskAdmitted, TaskCompleted, TaskPlaced, TaskSubmitted
from shared.events.tool import ToolCalled
from shared.events.usage import UsageMetered

if TYPE_CHECKING:
    from shared.events.envelope import Fact

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TENANT, PERSON = "local", "ann"
_DIGEST = "0123456789abcdef" * 4
_REF = DocumentRef(uri=f"blob:{_DIGEST}", sha256=_DIGEST, size=1069, media_type="text/plain", name="LICENSE")


def reviewed() -> DocumentReviewed:
    """Return the conclusion of a review; its event has about a kilobyte."""
    return DocumentReviewed(
        document=0,
        name="LICENSE",
        uri="file:///srv/packages/example/LICENSE",
        sha256=_DIGEST,
        label="MIT",
        score=0.97,
        summary="Permission is hereby granted, free of charge, to any person obtaining a copy of this software.",
        evidence=(
            Evidence(what="its wording", start=0, end=1069, weight=0.97),
            Evidence(what="the phrase 'MIT License' at its head", start=0, end=11, weight=0.4),
        ),
        verdict="automatic",
        reason="MIT needs no approval.",
        cost_micro_usd=12,
    )


def events_of(entity: str) -> tuple[AnyEvent, ...]:
    """Return what one document's task says from its submission to its end: 19 events."""
    steps = [fact for step in ("extract", "classify", "summarise", "policy") for fact in _step(step)]
    return told(entity, [*_begun(), *steps, reviewed(), completed()])


def completed() -> TaskCompleted:
    """Return the end of a task, which no dispatcher minds."""
    return TaskCompleted(reviewed=1, failed=0, cost_micro_usd=12)


def told(entity: str, facts: list[Fact]) -> tuple[AnyEvent, ...]:
    """Return the facts as events of one entity."""
    cause = Cause(f"cause-of-{entity}", TENANT, f"task-of-{entity}", f"package:{entity}", "/benchmarks")
    return follow(cause, facts, after=0, at=NOON)


def _begun() -> Iterator[Fact]:
    budget, asked = 1000, "ann"
    yield TaskSubmitted(
        workflow="document-review", documents=(_REF,), taxonomy=_REF, submitted_by=asked, budget_micro_usd=budget
    )
    yield TaskAdmitted(budget_micro_usd=budget, reason="within the budget")
    yield TaskPlaced(cloud="aws", reason="one document and no approval possible", run=1, documents=1)


def _step(step: str) -> Iterator[Fact]:
    yield StepStarted(document=0, step=step, tool=step, attempt=1, input_sha256=_DIGEST, reserved_micro_usd=341)
    yield ToolCalled(tool=step, document=0, step=step, input_sha256=_DIGEST, output_sha256=_DIGEST)
    if step in {"classify", "summarise"}:
        yield UsageMetered(
            document=0,
            step=step,
            model="extractive-1",
            tokens_in=400,
            tokens_out=20,
            cost_micro_usd=6,
            price_version="2026-11",
        )
    yield StepCompleted(document=0, step=step, attempt=1, output_sha256=_DIGEST, cost_micro_usd=6)


@cache
def licences(*, may_ask: bool) -> bytes:
    """Return the packaged taxonomy of licences, its approvals taken out unless it may ask."""
    text = taxonomies.builtin("licences")
    if not may_ask:
        text = re.sub(r"^(approval|unknown_needs_approval) = true$", r"\1 = false", text, flags=re.MULTILINE)
    return text.encode()
