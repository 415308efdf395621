"""Calls that end after their task, in processes that may die: in the end the bill says what the ledger says.

Every access of the process that made the call is a place to die, and every access of the sweeper that comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from local.faults.process import Death
from local.sqlite.database import Database
from local.wiring import TENANT
from shared.app import ledger
from shared.app.commit import change, relay
from shared.app.leases import charged
from shared.app.parking import Wait, give_back, park, sweep
from shared.app.tasks import cancel
from shared.core.cost_tree import cost_tree
from shared.errors import FabricError
from shared.events.catalog import Cause
from tests.app.test_paid_once import CALLED, SETTLED, Dying
from tests.app.world import SOURCE, World

if TYPE_CHECKING:
    from shared.core.completion import Completion, Prompt
    from shared.core.task import Task
    from shared.events.catalog import AnyEvent
    from shared.ports import Models, Ports
    from tests.app.faults import Moment

    End = Callable[[Ports, Task], object]

OUT = 36  # seconds after which the call must be over
LOOKS = 3
LOOKED_AT = 15  # accesses of a sweeper, at least


def cancelled(ports: Ports, task: Task) -> None:
    """The client stops the task."""
    cancel(ports, TENANT, task.id, "ann", "enough", source=SOURCE)


def parked(ports: Ports, task: Task) -> None:
    """Somebody more urgent wants its money."""
    cause = Cause("a-yield", TENANT, task.id, task.entity, SOURCE)
    give_back(ports, change(ports, cause, lambda now: park(ports, now, Wait("preempted", "others wait"), 0)))


@dataclass
class Interrupted:
    """Models during whose call something happens."""

    models: Models
    meanwhile: Callable[[], object]
    over: bool = False

    def complete(self, prompt: Prompt) -> Completion:
        """Answer after it."""
        self.meanwhile()
        self.over = True
        return self.models.complete(prompt)


@dataclass
class Late:
    """A task that came to an end, or to a halt, while a process had a call of it out."""

    world: World
    task: Task
    process: Dying

    @property
    def bill(self) -> int:
        """What the record will say the task has cost."""
        relay(self.world.ports)
        return cost_tree(self.task.id, self.told()).total

    def told(self) -> list[AnyEvent]:
        """Return what was published about the task, as the recorder takes it: each event once."""
        return list({event.id: event for event in self.world.published(self.task.id)}.values())

    @property
    def corrections(self) -> int:
        """How often a line of the bill was put right."""
        return sum(event.type == "usage.corrected" for event in self.told())

    def in_order(self) -> bool:
        """Whether tree, task and ledger say the same."""
        return self.bill == self.world.load(self.task).spent == charged(self.world.lease(self.task))

    def swept(self, ports: Ports) -> None:
        """Let a sweeper come round until nothing is due."""
        for _ in range(LOOKS):
            sweep(ports, source=SOURCE)
        assert list(ports.ledger.overdue(ports.now(), limit=9)) == []

    def at_rest(self) -> None:
        """Check that nothing is owed to anybody."""
        lease, account = self.world.lease(self.task), self.world.ports.ledger.account(TENANT)
        assert self.in_order()
        assert (lease.state, lease.calls, lease.held) == ("closed", 0, 0)
        assert {(book.settled, book.open) for book in account.books.values()} == {(lease.settled, 0)}


def lived(at: int, moment: Moment, end: End, database: Database) -> Late:
    """Let a task end while a call of it is out, and the process that made the call die."""
    world = World(database)
    sound = world.ports
    task = world.placed()
    results = {"extract": world.step(task, "extract", {})}
    process, models = Dying(at, moment), Interrupted(world.models, lambda: end(sound, task))
    world.ports = process.on(replace(sound, models=models))
    with suppress(Death, FabricError):  # what the step's own process learns of it is somebody else's test
        world.step(task, "classify", results)
    world.ports = sound
    if not models.over:
        end(sound, task)
    return Late(world, task, process)


def deaths(end: End) -> Iterator[Late]:
    """Yield what each death leaves, from the call on."""
    for moment in ("before", "after"):
        for at in count(1):
            with closing(Database(None)) as database:
                late = lived(at, moment, end, database)
                if CALLED in late.process.seen:
                    yield late
                if not late.process.dead:
                    break


def between_settle_and_bill() -> Iterator[Late]:
    """Yield the death that leaves the ledger with the truth, and the bill with the worst case."""
    for late in deaths(cancelled):
        if (late.process.seen[-1], late.process.moment) == (SETTLED, "after"):
            yield late


def test_a_crash_after_a_late_settle_is_found_again() -> None:
    """The bill says the worst case until the sweeper comes round, and then what the call has cost, by a correction."""
    found = 0
    for late in between_settle_and_bill():
        found += 1
        before, truth = late.bill, charged(late.world.lease(late.task))
        assert (before > truth, late.world.lease(late.task).state) == (True, "closing")
        late.world.clock.wait(OUT)
        late.swept(late.world.ports)
        assert (late.bill, late.corrections) == (truth, 1)
        late.at_rest()
    assert found == 1


def test_whoever_dies_the_bill_is_the_ledger() -> None:
    """Wherever the process dies that has a call out at the end of its task, a sweeper sets it right, and once."""
    stories = 0
    for late in deaths(cancelled):
        stories += 1
        late.world.clock.wait(OUT)
        late.swept(late.world.ports)
        late.at_rest()
        told = late.told()
        late.swept(late.world.ports)
        assert late.told() == told
    assert stories > 20


def test_a_parked_task_is_billed_while_it_waits() -> None:
    """Its bill is in order soon; what becomes of a call without an end is its next run's to say, or its end's."""
    for late in deaths(parked):
        late.world.clock.wait(OUT)
        late.swept(late.world.ports)
        assert late.in_order()
        assert ledger.quiet(late.world.ports, TENANT)
        cancelled(late.world.ports, late.task)
        late.swept(late.world.ports)
        late.at_rest()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_sweeper_may_die_at_anything_it_does(moment: Moment) -> None:
    """The next one goes on where it stopped, and nothing is billed twice."""
    (last,) = [len(late.process.seen) for late in between_settle_and_bill()]
    for at in count(1):
        sweeper = Dying(at, moment)
        with closing(Database(None)) as database:
            late = lived(last, "after", cancelled, database)
            late.world.clock.wait(OUT)
            with suppress(Death):
                sweep(sweeper.on(late.world.ports), source=SOURCE)
            late.swept(late.world.ports)
            late.at_rest()
            assert late.corrections == 1
        if not sweeper.dead:
            assert at > LOOKED_AT
            return


def test_it_is_quiet_when_no_call_can_be_out_any_more() -> None:
    """A process that died in a call is waited for as long as the call could have taken, not as long as its lease."""
    for late in deaths(cancelled):
        if SETTLED in late.process.done:
            assert ledger.quiet(late.world.ports, TENANT)
            continue
        late.world.clock.wait(OUT - 2)
        assert not ledger.quiet(late.world.ports, TENANT)
        late.world.clock.wait(2)
        assert ledger.quiet(late.world.ports, TENANT)
