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
    "task.admitted": lambda said: (
        f"admitted with a budget of {usd(said.budget_micro_usd)}"
        + ("" if said.left_micro_usd is None else f", {usd(said.left_micro_usd)} left to the tenant")
        + (f"; {said.turned_away} requests before it came too fast" if said.turned_away else ""),
        said.reason,
    ),
    "task.rejected": lambda said: (f"refused ({said.code})", said.reason),
    "task.placed": lambda said: (f"placed on {said.cloud}", said.reason),
    "task.parked": lambda said: (
        f"parked ({said.code})" + (f" until {said.until:%Y-%m-%d %H:%M:%S} UTC" if said.until else ""),
        said.reason,
    ),
    "task.resumed": lambda said: (
        f"goes on as run {said.run} with a budget of {usd(said.budget_micro_usd)}",
        said.reason,
    ),
    "step.started": lambda said: (
        f"document {said.document}: {said.step} started, attempt {said.attempt}"
        + (f", {usd(said.reserved_micro_usd)} at most" if said.reserved_micro_usd else ""),
        "",
    ),
    "model.routed": lambda said: (
        f"document {said.document}: {said.step} asks {said.deployment} ({_attempt(said)}), {_at_most(said)}",
        "; ".join([said.reason, *(f"not {one.deployment}: {one.reason}" for one in said.refused)]),
    ),
    "usage.saved": lambda said: (
        f"document {said.document}: {said.step} was answered before, {usd(said.saved_micro_usd)} saved",
        f"from the {said.by}, by {said.model}" + _similar(said),
    ),
    "usage.corrected": lambda said: (
        f"document {said.document}: {said.step} cost {usd(said.cost_micro_usd)}, not {usd(said.was_micro_usd)}",
        f"line {said.line} of the bill was charged at its worst case until its end was known",
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
        f"document {said.document}: {_tokens(said)} = {usd(said.cost_micro_usd)}"
        + ("" if said.outcome == "answered" else f" ({said.outcome})"),
        f"prices of {said.price_version}",
    ),
    "approval.requested": lambda said: (
        f"{_about(said)}: asked {_people(said.approvers)} to decide by {_minute(said)}",
        said.reason,
    ),
    "approval.escalated": lambda said: (
        f"{_about(said)}: nobody answered, {_people(said.approvers)} may decide until {_minute(said)}",
        "",
    ),
    "approval.decided": lambda said: (
        f"{_about(said)}: {said.verdict} by {_people(said.by)}",
        said.comment,
    ),
    "approval.expired": lambda said: (
        f"{_about(said)}: {said.verdict}, because nobody decided in time",
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


def _similar(saved: Any) -> str:  # noqa: ANN401  a fact of one type
    return "" if saved.similarity is None else f", about another text with a similarity of {saved.similarity:.3f}"


def _attempt(routed: Any) -> str:  # noqa: ANN401  a fact of one type
    how = routed.kind if routed.attempt == 1 else f"{routed.kind}, attempt {routed.attempt}"
    return f"{how}, after {routed.after}" if routed.after else how


def _at_most(routed: Any) -> str:  # noqa: ANN401  a fact of one type
    return f"{usd(routed.worst_micro_usd)} at most, which leaves {usd(routed.left_micro_usd)}"


def _about(asked: Any) -> str:  # noqa: ANN401  a fact of one type
    return "more budget" if asked.about == "budget" else f"document {asked.document}"


def _minute(asked: Any) -> str:  # noqa: ANN401  a fact of one type
    return f"{asked.deadline:%Y-%m-%d %H:%M} UTC"


def _people(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"


@dataclass(slots=True)
class Cost:
    """One node of a cost tree, in micro-USD: its own and what lies below it; `saved` was not paid again."""

    name: str
    own: int = 0
    spared: int = 0
    parts: dict[str, Cost] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The node's cost with all below it."""
        return self.own + sum(part.total for part in self.parts.values())

    @property
    def saved(self) -> int:
        """What the node and all below it did not have to pay."""
        return self.spared + sum(part.saved for part in self.parts.values())

    def part(self, name: str) -> Cost:
        """Return the child of that name, made on first use."""
        return self.parts.setdefault(name, Cost(name))


def cost_tree(task: str, events: Sequence[AnyEvent]) -> Cost:
    """Return what a task cost: task → document → step → call, each call as it was corrected last."""
    tree = Cost(f"task {task}")
    lines: dict[int, Cost] = {}
    for event in events:
        said = event.data
        if event.type == "usage.metered":
            call = _step(tree, said).part(_call(said))
            call.own += said.cost_micro_usd
            lines[said.line] = call
        elif event.type == "usage.corrected":
            lines[said.line].own += said.cost_micro_usd - said.was_micro_usd
        elif event.type == "usage.saved":
            _step(tree, said).part(f"{said.model}, from the {said.by}").spared += said.saved_micro_usd
    return tree


def _step(tree: Cost, said: Any) -> Cost:  # noqa: ANN401  a fact of one type
    return tree.part(f"document {said.document}").part(said.step)


def _call(used: Any) -> str:  # noqa: ANN401  a fact of one type
    name = f"line {used.line}: {used.deployment or used.model}" if used.line else str(used.model)
    return name if used.outcome == "answered" else f"{name}, {used.outcome}"
