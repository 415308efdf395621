"""What must hold after a drill, whatever was killed: decided from what was seen, by nobody who took part in the work.

Pure: evidence in, sentences out; no sentence means that all holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.stack.drill.work import Submitted

ENDS = ("document.reviewed", "document.failed")

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trail:
    """What the record holds of an entity: its events in their order, and how far its chain of hashes holds.

    `committed` is the number of the entity's last event at home.
    """

    events: Sequence[Event]
    verified: int
    intact: bool
    committed: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found: trails by entity, bills and states by task, and what is left anywhere by its place."""

    trails: Mapping[str, Trail]
    bills: Mapping[str, Sequence[Mapping[str, Any]]]
    states: Mapping[str, str]
    left: Mapping[str, int]

    def ends(self) -> Counter[tuple[str, int]]:
        """Count the endings of each document, by its task and position."""
        return Counter(
            (event["taskid"], event["data"]["document"])
            for trail in self.trails.values()
            for event in trail.events
            if event["type"] in ENDS
        )

    @property
    def doubled(self) -> int:
        """How many documents ended more than once."""
        return sum(count > 1 for count in self.ends().values())

    @property
    def in_order(self) -> bool:
        """Whether every entity's numbers are 1 to n."""
        return all(_numbers(trail) == list(range(1, len(trail.events) + 1)) for trail in self.trails.values())


def problems(submitted: Sequence[Submitted], found: Evidence) -> list[str]:
    """Return what does not hold, a sentence each."""
    return [
        *_not_ended_once(submitted, found),
        *_out_of_order(submitted, found),
        *_misbilled(submitted, found),
        *_not_over(submitted, found),
        *(f"{count} left in {place}" for place, count in found.left.items() if count),
    ]


def _not_ended_once(submitted: Sequence[Submitted], found: Evidence) -> Iterator[str]:
    ends = found.ends()
    asked = [(task.task, position) for task in submitted for position in range(task.documents)]
    for task, position in asked:
        if ends[task, position] != 1:
            yield f"document {position} of task {task} ended {ends[task, position]} times"
    for task, position in sorted(ends.keys() - set(asked)):
        yield f"document {position} of task {task} ended, and was never submitted"


def _out_of_order(submitted: Sequence[Submitted], found: Evidence) -> Iterator[str]:
    for entity in sorted({task.entity for task in submitted}):
        trail = found.trails.get(entity)
        if trail is None:
            yield f"the record knows nothing of {entity}"
            continue
        numbers = _numbers(trail)
        if numbers != list(range(1, trail.committed + 1)):
            yield f"{entity} has {_described(numbers)}, and 1 to {trail.committed} were committed"
        ids = Counter(event["id"] for event in trail.events)
        for name, count in ids.items():
            if count > 1:
                yield f"event {name} of {entity} is recorded {count} times"
        if not trail.intact or trail.verified != len(numbers):
            yield f"the chain of {entity} covers {trail.verified} of {len(numbers)} events, intact: {trail.intact}"


def _misbilled(submitted: Sequence[Submitted], found: Evidence) -> Iterator[str]:
    used: dict[str, Counter[str]] = {task.task: Counter() for task in submitted}
    costs: Counter[str] = Counter()
    for trail in found.trails.values():
        for event in trail.events:
            if event["type"] == "usage.metered":
                used.setdefault(event["taskid"], Counter())[event["id"]] += 1
                costs[event["taskid"]] += event["data"]["cost_micro_usd"]
    for task, uses in used.items():
        billed = Counter(row["event_id"] for row in found.bills.get(task, ()) if row.get("outcome") != "closed")
        if billed != uses or any(count > 1 for count in billed.values()):
            yield f"task {task} has {billed.total()} bills for {uses.total()} uses"
        elif sum(row["cost_micro_usd"] for row in found.bills.get(task, ())) != costs[task]:
            yield f"task {task} was billed another sum than it used"


def _not_over(submitted: Sequence[Submitted], found: Evidence) -> Iterator[str]:
    for task in submitted:
        state = found.states.get(task.task, "unknown")
        if state not in {"completed", "failed"}:
            yield f"task {task.task} is {state} at home"


def _numbers(trail: Trail) -> list[int]:
    return [event["sequence"] for event in trail.events]


def _described(numbers: Sequence[int]) -> str:
    gaps = [str(after) for before, after in zip([0, *numbers], numbers, strict=False) if after != before + 1]
    return f"{len(numbers)} events" + (f", out of step at {', '.join(gaps[:5])}" if gaps else "")
