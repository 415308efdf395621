"""The story of a task, told from its events: what happened, why, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.events.catalog import AnyEvent


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of the story; `why` is the reason given at the time."""

    event: AnyEvent
    text: str
    why: str = ""


def usd(micro_usd: int) -> str:
    """Return an amount of micro-USD as people write it."""
    return f"${micro_usd / 1_000_000:,.6f}"


def tell(events: Sequence[AnyEvent]) -> list[Line]:
    """Return a line for each event that a person needs to know of, in order."""
    told = ((event, _TELLERS.get(event.type)) for event in events)
    return [Line(event, *teller(event.data)) for event, teller in told if teller is not None]


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count} documents"


_TELLERS: dict[str, Callable[[Any], tuple[str, str]]] = {
    "task.submitted": lambda said: (
        f"{said.submitted_by} submitted {_documents(len(said.documents))} to {said.workflow}",
        "",
    ),
    "task.admitted": lambda said: (f"admitted with a budget of {usd(said.budget_micro_usd)}", said.reason),
    "task.rejected": lambda said: (f"refused ({said.code})", said.reason),
    "task.placed": lambda said: (f"placed on {said.cloud}", said.reason),
    "step.started": lambda said: (
        f"document {said.document}: {said.step} started, attempt {said.attempt}"
        + (f", {usd(said.reserved_micro_usd)} set aside" if said.reserved_micro_usd else ""),
        "",
    ),
    "step.completed": lambda said: (
        f"document {said.document}: {said.step} done for {usd(said.cost_micro_usd)}",
        "",
    ),
    "step.failed": lambda said: (
        f"document {said.document}: {said.step} failed on attempt {said.attempt} ({said.code})",
        said.reason,
    ),
    "usage.metered": lambda said: (
        f"document {said.document}: {_tokens(said)} = {usd(said.cost_micro_usd)}",
        f"prices of {said.price_version}",
    ),
    "approval.requested": lambda said: (
        f"document {said.document}: asked {_people(said.approvers)} to decide by {_minute(said)}",
        said.reason,
    ),
    "approval.escalated": lambda said: (
        f"document {said.document}: nobody answered, {_people(said.approvers)} may decide until {_minute(said)}",
        "",
    ),
    "approval.decided": lambda said: (
        f"document {said.document}: {said.verdict} by {_people(said.by)}",
        said.comment,
    ),
    "approval.expired": lambda said: (
        f"document {said.document}: {said.verdict}, because nobody decided in time",
        "",
    ),
    "document.reviewed": lambda said: (
        f"document {said.document}: reviewed as {said.label} (score {said.score:.2f}), {said.verdict}",
        said.reason,
    ),
    "document.failed": lambda said: (
        f"document {said.document}: not reviewed, {said.step} failed ({said.code})",
        said.reason,
    ),
    "task.completed": lambda said: (
        f"completed: {said.reviewed} reviewed, {said.failed} failed, {usd(said.cost_micro_usd)} spent",
        "",
    ),
    "task.failed": lambda said: (f"failed after spending {usd(said.cost_micro_usd)}", said.reason),
    "task.cancelled": lambda said: (f"cancelled by {said.by}", said.reason),
}


def _tokens(used: Any) -> str:  # noqa: ANN401  a fact of one type
    return f"{used.model} read {used.tokens_in} and wrote {used.tokens_out} tokens"


def _minute(asked: Any) -> str:  # noqa: ANN401  a fact of one type
    return f"{asked.deadline:%Y-%m-%d %H:%M} UTC"


def _people(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"


@dataclass(slots=True)
class Cost:
    """One node of a cost tree: its own micro-USD, and what lies below it."""

    name: str
    own: int = 0
    parts: dict[str, Cost] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The node's cost with all below it."""
        return self.own + sum(part.total for part in self.parts.values())

    def part(self, name: str) -> Cost:
        """Return the child of that name, made on first use."""
        return self.parts.setdefault(name, Cost(name))


def cost_tree(task: str, events: Sequence[AnyEvent]) -> Cost:
    """Return what a task cost: task → document → step → model."""
    tree = Cost(f"task {task}")
    for event in events:
        if event.type == "usage.metered":
            used = event.data
            model = tree.part(f"document {used.document}").part(used.step).part(used.model)
            model.own += used.cost_micro_usd
    return tree
