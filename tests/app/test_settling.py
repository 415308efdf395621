"""Calls whose end nobody knew, settled by an operator who looked up what they cost."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from local.wiring import TENANT
from shared.app import trail
from shared.app.leases import charged
from shared.app.settling import Said, settle, unknown
from shared.app.tasks import cancel
from shared.core.money import usd
from shared.core.story import tell
from shared.errors import NotFound, Permanent, Transient
from tests.app.world import SOURCE

if TYPE_CHECKING:
    from shared.core.ledger import Draw
    from shared.core.task import Task
    from tests.app.world import World


def lost(world: World) -> tuple[Task, Draw]:
    """Return a task one of whose calls was cut off, and that call."""
    task = world.placed()
    world.models.faults = [Transient("the stream broke")]
    results = world.worked(task, until="classify")
    with pytest.raises(Transient):
        world.step(task, "classify", results)
    (drawn,) = unknown(world.ports, TENANT, task.id)
    return world.load(task), drawn


def said(drawn: Draw, cost: int) -> Said:
    """Return what an operator found out."""
    return Said(drawn.id, cost, 12, 3, "olga", "request 7 of the invoice")


def settled(world: World, task: Task, what: Said) -> Draw:
    """Settle a call."""
    return settle(world.ports, TENANT, task.id, what, source=SOURCE)


@pytest.mark.parametrize("over", [False, True])
def test_the_ledger_the_bill_and_the_trail_say_the_same(world: World, *, over: bool) -> None:
    """The lease, the task's bill and its story have the true cost; the trail and the story, who said so and why."""
    task, drawn = lost(world)
    assert (charged(world.lease(task)), task.spent) == (drawn.worst, drawn.worst)
    if over:
        cancel(world.ports, TENANT, task.id, "ann", "enough", source=SOURCE)
    assert settled(world, task, said(drawn, 1)).actual == 1
    assert (charged(world.lease(task)), world.load(task).spent) == (1, 1)
    corrected = next(event for event in world.published(task.id) if event.type == "usage.corrected")
    assert (corrected.data.by, corrected.data.reason) == ("olga", "request 7 of the invoice")
    assert "olga settled it: request 7 of the invoice" in " ".join(line.why for line in tell(world.published(task.id)))
    (deed,) = trail.deeds(world.ports.settings)
    assert (deed.act, deed.by, deed.of) == ("settle", "olga", f"call {drawn.id}")
    assert unknown(world.ports, TENANT, task.id) == []


def test_saying_it_again_changes_nothing(world: World) -> None:
    """The same cost is taken again and billed once; another one is refused."""
    task, drawn = lost(world)
    for _ in range(2):
        settled(world, task, said(drawn, 1))
    assert world.told(task).count("usage.corrected") == 1
    assert len(trail.deeds(world.ports.settings)) == 1
    with pytest.raises(Permanent, match=f"it cost \\{usd(1)}") as refused:
        settled(world, task, said(drawn, 2))
    assert refused.value.code == "already-settled"


def test_what_a_crash_left_off_the_bill_is_made_up_for(world: World) -> None:
    """A process that ended between the ledger and the bill is no reason for them to differ: it is said again."""
    task, drawn = lost(world)
    connection = world.database.connection
    connection.execute("CREATE TRIGGER full BEFORE UPDATE ON tasks BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    with pytest.raises(sqlite3.IntegrityError, match="the disk is full"):
        settled(world, task, said(drawn, 1))
    assert (charged(world.lease(task)), world.load(task).spent) == (1, drawn.worst)
    connection.execute("DROP TRIGGER full")
    settled(world, task, said(drawn, 1))
    assert world.load(task).spent == 1


def test_only_a_call_of_unknown_end_is_settled(world: World) -> None:
    """A call that was answered, and one that never was, are left alone; so is another tenant's task."""
    task, drawn = lost(world)
    world.step(task, "classify", world.worked(task, until="classify"))
    answered = next(one for one in world.ports.ledger.draws(TENANT, drawn.lease, limit=9) if one.state == "settled")
    with pytest.raises(Permanent, match="is settled"):
        settled(world, task, said(answered, answered.actual + 1))
    with pytest.raises(NotFound):
        settled(world, task, said(drawn._replace(id="nobody"), 1))
    with pytest.raises(NotFound):
        settle(world.ports, "other", task.id, said(drawn, 1), source=SOURCE)


def test_a_slip_of_the_finger_is_refused(world: World) -> None:
    """Ten times the worst case is no cost of a call: nothing is changed, and the right amount can still be said."""
    task, drawn = lost(world)
    with pytest.raises(Permanent) as refused:
        settle(world.ports, TENANT, task.id, said(drawn, 11 * drawn.worst), source=SOURCE)
    assert refused.value.code == "unlikely-cost"
    assert settle(world.ports, TENANT, task.id, said(drawn, 2 * drawn.worst), source=SOURCE).actual == 2 * drawn.worst
