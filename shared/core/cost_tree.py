"""What a task cost, as a tree told from its events: task → document → step → line of the bill. Micro-USD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.events.catalog import AnyEvent

WASTE = frozenset({"failed", "unknown"})  # outcomes that brought no answer
_KINDS = {"fallback": "instead of another", "retry": "again", "repair": "repair", "hedge": "second call"}
_OUTCOMES = {"failed": "of no use", "hedged": "too late", "unknown": "end unknown, charged at its worst"}


@dataclass(slots=True)
class Cost:
    """One node: what it cost itself, what of that brought no answer, and what was not paid again; parts below it."""

    name: str
    own: int = 0
    lost: int = 0
    spared: int = 0
    parts: dict[str, Cost] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The node's cost with all below it."""
        return self.own + sum(part.total for part in self.parts.values())

    @property
    def wasted(self) -> int:
        """What of it brought no answer."""
        return self.lost + sum(part.wasted for part in self.parts.values())

    @property
    def saved(self) -> int:
        """What the node and all below it did not have to pay."""
        return self.spared + sum(part.saved for part in self.parts.values())

    def part(self, name: str) -> Cost:
        """Return the child of that name, made on first use."""
        return self.parts.setdefault(name, Cost(name))

    def charge(self, amount: int, *, wasted: bool) -> None:
        """Add an amount; a negative one was charged too much before."""
        self.own += amount
        self.lost += amount if wasted else 0


def cost_tree(task: str, events: Sequence[AnyEvent]) -> Cost:
    """Return what a task cost, each line of its bill as it was corrected last."""
    tree, names, calls = Cost(f"task {task}"), document_names(events), calls_of(events)
    lines: dict[int, tuple[Cost, bool]] = {}
    run = 1
    for event in events:
        said = event.data
        if event.type == "task.resumed":
            run = said.run
        elif event.type == "usage.metered":
            wasted = said.outcome in WASTE
            line = _step(tree, names, said).part(_line(said, calls.get(event.id), run))
            line.charge(said.cost_micro_usd, wasted=wasted)
            lines[said.line] = line, wasted
        elif event.type == "usage.corrected":
            line, wasted = lines[said.line]
            line.charge(said.cost_micro_usd - said.was_micro_usd, wasted=wasted)
        elif event.type == "usage.saved":
            spared = _step(tree, names, said).part(f"{said.model}, from the {said.by}")
            spared.spared += said.saved_micro_usd
    return tree


def calls_of(events: Sequence[AnyEvent]) -> Mapping[str, AnyEvent]:
    """Return by the id of each line of the bill the choice of a model that it paid for.

    A line that a crash left off the bill, and that was put on it later, has none.
    """
    found: dict[str, AnyEvent] = {}
    made: defaultdict[tuple[int, str], list[AnyEvent]] = defaultdict(list)
    for event in events:
        said = event.data
        if event.type == "step.started":
            made.pop((said.document, said.step), None)
        elif event.type == "model.routed":
            made[said.document, said.step].append(event)
        elif event.type == "usage.metered":
            open_ = made[said.document, said.step]
            call = next((one for one in open_ if one.data.deployment == (said.deployment or said.model)), None)
            if call is not None:
                open_.remove(call)
                found[event.id] = call
    return found


def document_names(events: Sequence[AnyEvent]) -> Mapping[int, str]:
    """Return what the task's documents are called, by their positions; two of one name are told apart."""
    documents = [one.name for event in events if event.type == "task.submitted" for one in event.data.documents]
    return {
        place: name if documents.count(name) == 1 else f"{name} ({place + 1})" for place, name in enumerate(documents)
    }


def _step(tree: Cost, names: Mapping[int, str], said: Any) -> Cost:  # noqa: ANN401  a fact of one type
    return tree.part(names.get(said.document, f"document {said.document}")).part(said.step)


def _line(used: Any, call: AnyEvent | None, run: int) -> str:  # noqa: ANN401  a fact of one type
    told = [
        f"line {used.line}: {used.deployment or used.model}" if used.line else str(used.model),
        _KINDS.get(call.data.kind, "") if call is not None else "",
        _OUTCOMES.get(used.outcome, ""),
        f"run {run}" if run > 1 else "",
    ]
    return ", ".join(filter(None, told))
