"""A task's spans as a waterfall: what was a part of what, when, for how long, with what it used and cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from local import screen
from local.screen import say, text
from shared.core.money import usd
from shared.core.spans import CHAT, TOOL, WORKFLOW, Span

_WIDTH = 20  # cells of the whole time
_MINUTE = 60.0


class Row(NamedTuple):
    """A span, how deep it lies, and what it and all below it used."""

    span: Span
    depth: int
    tokens_in: int
    tokens_out: int
    cost: int


def rows(spans: Sequence[Span]) -> list[Row]:
    """Return spans as a tree, in the order of time; one whose own parent is not known lies below the task."""
    known = {span.about for span in spans}
    parts: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: (one.start, one.about)):
        parts.setdefault(span.within if span.within in known else "", []).append(span)
    top = sorted(parts.get("", ()), key=lambda one: one.within != "")  # the task goes before what lost its parent
    return [row for span in top for row in _below(span, parts, 0 if not span.within else 1)]


def _below(span: Span, parts: dict[str, list[Span]], depth: int) -> list[Row]:
    inner = [_below(part, parts, depth + 1) for part in parts.get(span.about, ())]
    sums = [sum(amount) for amount in zip(_used(span), *(row[0][2:] for row in inner), strict=True)]
    return [Row(span, depth, *sums), *(row for part in inner for row in part)]


def _used(span: Span) -> tuple[int, int, int]:
    """Return what a call used; what is above it used what its calls did."""
    facts = span.facts
    cost = facts.get("agentfabric.cost_micro_usd", 0) if facts.get("gen_ai.operation.name") == CHAT else 0
    return facts.get("gen_ai.usage.input_tokens", 0), facts.get("gen_ai.usage.output_tokens", 0), cost


def print_waterfall(spans: Sequence[Span]) -> None:
    """Print a task's spans, on a wide screen with a picture of when each was."""
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    wide = screen.is_wide()
    table = screen.statement("", "from", "took", *(("",) if wide else ()), "tokens in", "tokens out", "cost", "fault")
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    for row in rows(spans):
        span = row.span
        table.add_row(
            text("  " * row.depth + label(span)),
            duration(span.start - start),
            duration(span.end - span.start),
            *((Text(_bar(span, start, end - start), "cyan"),) if wide else ()),
            *(f"{tokens:,}" if tokens else "" for tokens in (row.tokens_in, row.tokens_out)),
            usd(row.cost) if row.cost else "",
            text(span.fault, "red"),
        )
    say(table)
    if all(span.within for span in spans):
        say("the task is not over, or nobody recorded its end")


def label(span: Span) -> str:
    """Return a span's name for people."""
    return " ".join(_words(span))


def _words(span: Span) -> Iterator[str]:
    facts, operation = span.facts, span.facts.get("gen_ai.operation.name", "")
    if operation == WORKFLOW:
        yield f"{facts['gen_ai.workflow.name']}: {facts['agentfabric.outcome']}"
    elif operation == TOOL:
        yield f"{facts['agentfabric.document']}.{facts['agentfabric.step']}"
        if facts["agentfabric.attempt"] > 1:
            yield f"attempt {facts['agentfabric.attempt']}"
        if facts["agentfabric.run"] > 1:
            yield f"run {facts['agentfabric.run']}"
        if "agentfabric.outcome" in facts:
            yield facts["agentfabric.outcome"]
    elif operation == CHAT:
        yield facts["agentfabric.deployment"]
        if facts["agentfabric.kind"] != "first":
            yield facts["agentfabric.kind"]
    else:
        yield span.name
        if "agentfabric.outcome" in facts:
            yield facts["agentfabric.outcome"]


def duration(seconds: float) -> str:
    """Return a duration as people write it."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), int(_MINUTE))
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _bar(span: Span, start: float, whole: float) -> str:
    """Return where in the whole time a span lies; the shortest has a cell, too."""
    scale = _WIDTH / whole if whole > 0 else 0.0
    before = min(_WIDTH - 1, int((span.start - start) * scale))
    cells = max(1, min(_WIDTH - before, round((span.end - span.start) * scale)))
    return " " * before + "█" * cells
