"""What a task cost, as a tree told from its events: task → run → document, of several → step → call. Micro-USD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.events.catalog import AnyEvent

WASTE = frozenset({"failed", "hedged", "unknown"})  # outcomes whose answers nobody used
_KINDS = {"fallback": "instead of another", "retry": "again", "repair": "repair", "hedge": "second call"}
_OUTCOMES = {"failed": "of no use", "hedged": "too late", "unknown": "end unknown, charged at its worst"}
_LATER = "end known later"


@dataclass(slots=True)
class Cost:
    """One node: what it cost itself, what of that was of no use, and what an earlier answer spared; parts below it.

    `kept` is what this task paid for before, and did not pay again: that is no saving.
    """

    name: str
    own: int = 0
    lost: int = 0
    spared: int = 0
    kept: int = 0
    parts: dict[str, Cost] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The node's cost with all below it."""
        return self.own + sum(part.total for part in self.parts.values())

    @property
    def wasted(self) -> int:
        """What of it was of no use."""
        return self.lost + sum(part.wasted for part in self.parts.values())

    @property
    def saved(self) -> int:
        """What the node and all below it did not have to pay."""
        return self.spared + sum(part.saved for part in self.parts.values())

    @property
    def not_paid_again(self) -> int:
        """What was paid once and used more often."""
        return self.kept + sum(part.not_paid_again for part in self.parts.values())

    def part(self, name: str) -> Cost:
        """Return the child of that name, made on first use."""
        return self.parts.setdefault(name, Cost(name))

    def charge(self, amount: int, *, wasted: bool) -> None:
        """Add an amount; a negative one was charged too much before."""
        self.own += amount
        self.lost += amount if wasted else 0


def cost_tree(task: str, events: Sequence[AnyEvent]) -> Cost:
    """Return what a task cost, each line of its bill as it was corrected last, in the run that made the call."""
    tree, names, calls = Cost(f"task {task}"), document_names(events), calls_of(events)
    lines: dict[int, tuple[Cost, bool]] = {}
    later = {event.data.line for event in events if event.type == "usage.corrected"}
    run = 1
    for event in events:
        said = event.data
        if event.type == "task.resumed":
            run = said.run
        elif event.type == "usage.metered":
            call, wasted = calls.get(event.id), said.outcome in WASTE
            made_in = call.data.run if call is not None and call.data.run else run
            line = _step(tree, made_in, names, said).part(_line(said, call, known_later=said.line in later))
            line.charge(said.cost_micro_usd, wasted=wasted)
            lines[said.line] = line, wasted
        elif event.type == "usage.corrected":
            line, wasted = lines[said.line]
            line.charge(said.cost_micro_usd - said.was_micro_usd, wasted=wasted)
        elif event.type == "usage.saved":
            _spare(_step(tree, run, names, said), said)
    return tree


def calls_of(events: Sequence[AnyEvent]) -> Mapping[str, AnyEvent]:
    """Return by the id of each line of the bill the choice of a model that it paid for: both name the same draw.

    A draw whose call was not served is made again: the last of its choices is the one that was paid for.
    """
    made = {event.data.call: event for event in events if event.type == "model.routed" and event.data.call}
    lines = (event for event in events if event.type == "usage.metered")
    return {event.id: made.pop(event.data.call) for event in lines if event.data.call in made}


def document_names(events: Sequence[AnyEvent]) -> Mapping[int, str]:
    """Return what the task's documents are called, by their positions; two of one name are told apart."""
    documents = [one.name for event in events if event.type == "task.submitted" for one in event.data.documents]
    return {
        place: name if documents.count(name) == 1 else f"{name} ({place + 1})" for place, name in enumerate(documents)
    }


def _step(tree: Cost, run: int, names: Mapping[int, str], said: Any) -> Cost:  # noqa: ANN401  a fact of one type
    node = tree.part(f"run {run}")
    return (node if len(names) == 1 else node.part(names.get(said.document, f"document {said.document}"))).part(
        said.step
    )


def _spare(step: Cost, said: Any) -> None:  # noqa: ANN401  a fact of one type
    if said.by == "journal":
        step.part(f"{said.deployment or said.model}, not paid again").kept += said.saved_micro_usd
    else:
        step.part(f"{said.deployment or said.model}, from the {said.by}").spared += said.saved_micro_usd


def _line(used: Any, call: AnyEvent | None, *, known_later: bool = False) -> str:  # noqa: ANN401  a fact of one type
    told = [
        f"line {used.line}: {used.deployment or used.model}" if used.line else str(used.model),
        _KINDS.get(call.data.kind, "") if call is not None else "",
        _LATER if known_later else _OUTCOMES.get(used.outcome, ""),
    ]
    return ", ".join(filter(None, told))
