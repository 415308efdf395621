from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from local.stack.drill.proof import Evidence, Trail, problems
from local.stack.drill.work import Submitted

TASKS = [Submitted("t1", "e1", 2), Submitted("t2", "e2", 1)]
Damage = Callable[[Evidence], Evidence]


def event(entity: str, sequence: int, kind: str, task: str, document: int, **data: Any) -> dict[str, Any]:
    """Return an event as the record shows it."""
    named = {"id": f"{entity}-{sequence}", "sequence": sequence, "type": kind, "taskid": task}
    return named | {"data": {"document": document} | data}


def trail(entity: str, *events: tuple[str, str, int]) -> Trail:
    """Return an entity's trail in order; a usage costs seven."""
    told = [event(entity, number, *one, cost_micro_usd=7) for number, one in enumerate(events, start=1)]
    return Trail(told, len(told), intact=True, committed=len(told))


def sound() -> Evidence:
    """Return what a drill finds when all holds."""
    trails = {
        "e1": trail(
            "e1",
            ("usage.metered", "t1", 0),
            ("document.reviewed", "t1", 0),
            ("usage.metered", "t1", 1),
            ("document.failed", "t1", 1),
        ),
        "e2": trail("e2", ("document.reviewed", "t2", 0)),
    }
    bills = {"t1": [{"event_id": name, "cost_micro_usd": 7} for name in ("e1-1", "e1-3")], "t2": []}
    return Evidence(trails, bills, {"t1": "completed", "t2": "failed"}, {"the outbox": 0})


def with_events(change: Callable[[list[Any]], list[Any]]) -> Damage:
    """Return damage done to the first entity's events, with everything that counts them in step."""

    def damaged(found: Evidence) -> Evidence:
        events = change(list(found.trails["e1"].events))
        return replace(found, trails={**found.trails, "e1": replace(trail("e1"), events=events, verified=len(events))})

    return damaged


def with_trail(**fields: Any) -> Damage:
    """Return damage done to what is known of the first entity's trail."""
    return lambda found: replace(found, trails={**found.trails, "e1": replace(found.trails["e1"], **fields)})


def with_bill(*rows: tuple[str, int]) -> Damage:
    """Return another bill of the first task."""
    bill = [{"event_id": name, "cost_micro_usd": cost} for name, cost in rows]
    return lambda found: replace(found, bills={**found.bills, "t1": bill})


DAMAGE: dict[str, tuple[Damage, str]] = {
    "a document that ended twice": (
        with_events(lambda events: [*events, event("e1", 5, "document.failed", "t1", 0)]),
        "document 0 of task t1 ended 2 times",
    ),
    "a document that never ended": (
        with_events(lambda events: events[:3]),
        "document 1 of task t1 ended 0 times",
    ),
    "an ending nobody asked for": (
        with_events(lambda events: [*events, event("e1", 5, "document.failed", "t1", 2)]),
        "document 2 of task t1 ended, and was never submitted",
    ),
    "a gap": (
        with_events(lambda events: [*events[:2], *events[3:]]),
        "e1 has 3 events, out of step at 4",
    ),
    "a lost last event": (with_trail(committed=5), "e1 has 4 events, and 1 to 5 were committed"),
    "events in another order": (
        with_events(lambda events: [events[1], events[0], *events[2:]]),
        "out of step at 2, 1, 3",
    ),
    "an event under two numbers": (
        with_events(lambda events: [*events, events[0] | {"sequence": 5}]),
        "event e1-1 of e1 is recorded 2 times",
    ),
    "an entity the record forgot": (
        lambda found: replace(found, trails={"e2": found.trails["e2"]}),
        "the record knows nothing of e1",
    ),
    "a broken chain": (with_trail(intact=False), "the chain of e1 covers 4 of 4 events, intact: False"),
    "a chain that ends early": (with_trail(verified=3), "the chain of e1 covers 3 of 4 events"),
    "a lost bill": (with_bill(("e1-1", 7)), "task t1 has 1 bills for 2 uses"),
    "a doubled bill": (with_bill(("e1-1", 7), ("e1-3", 7), ("e1-3", 7)), "task t1 has 3 bills for 2 uses"),
    "a stranger's bill": (with_bill(("e1-1", 7), ("x", 7)), "task t1 has 2 bills for 2 uses"),
    "another sum": (with_bill(("e1-1", 7), ("e1-3", 8)), "task t1 was billed another sum"),
    "a task that hangs": (
        lambda found: replace(found, states={"t1": "running", "t2": "failed"}),
        "task t1 is running at home",
    ),
    "a task home forgot": (lambda found: replace(found, states={"t2": "failed"}), "task t1 is unknown at home"),
    "something left": (lambda found: replace(found, left={"the parked": 1}), "1 left in the parked"),
}


def test_a_drill_in_which_all_holds_has_no_problems() -> None:
    """When every document ended once, in order, billed once, and nothing is left, nothing is reported."""
    found = sound()
    assert problems(TASKS, found) == []
    assert (found.doubled, found.in_order) == (0, True)


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_turns_the_proof_red(name: str) -> None:
    """Each thing that must not happen is reported for what it is."""
    damage, complaint = DAMAGE[name]
    assert [found for found in problems(TASKS, damage(sound())) if complaint in found]


def test_a_glimpse_counts_doubles_and_sees_disorder() -> None:
    """The row of a kill tells documents that ended twice, and whether any entity's numbers have a gap."""
    doubled = DAMAGE["a document that ended twice"][0](sound())
    assert (doubled.doubled, doubled.in_order) == (1, True)
    assert not DAMAGE["a gap"][0](sound()).in_order
