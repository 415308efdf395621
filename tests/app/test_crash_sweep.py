"""Every access to a store or the bus fails once, before its effect or after it, and everybody repeats what they asked.

The end must always be the same: one effect of each request, one bill for each usage, one order. The planted faults at
the end show that the sweep sees what it is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from local.sqlite.database import Database
from local.wiring import TENANT
from shared.app import commit
from shared.app.record import record, verify
from shared.app.tasks import dispatch
from shared.core.routes import Route
from shared.core.task import Progress, Status, evolve
from shared.errors import Transient
from shared.events.catalog import parse
from tests.app.faults import CrashError, HonestBus, Trouble
from tests.app.world import ENTITY, SOURCE, World

if TYPE_CHECKING:
    from local.sqlite.broker import Message
    from shared.ports import Change, Ports, Tasks
    from tests.app.faults import Moment

Plant = Callable[[Ports], Ports] if TYPE_CHECKING else Any

TEXTS = ("Ask me first. Then go on.", "Pass it on. Keep the notice.")
ROUNDS = 8
ONCE = {
    "task.submitted": 1,
    "task.admitted": 1,
    "task.placed": 1,
    "tool.called": 8,
    "usage.metered": 4,
    "step.completed": 8,
    "approval.requested": 1,
    "approval.decided": 1,
    "document.reviewed": 2,
    "task.completed": 1,
}


@dataclass
class Life:
    """A client, a dispatcher, a review, a human and a recorder, each asking again until they get an answer."""

    world: World

    def __post_init__(self) -> None:
        self.heard: list[tuple[Route, Message]] = []
        self.submitted = self.voted = False

    def live(self) -> bool:
        """Go on until nothing is left to do; False when that does not come to an end."""
        for _ in range(ROUNDS):
            if not self.turn():
                return True
        return False

    def turn(self) -> bool:
        """Let everybody who waits for an answer ask; True when somebody did."""
        asked = False
        if not self.submitted:
            asked, self.submitted = True, self.answered(lambda: self.world.submit(*TEXTS))
        for route in (Route.WORK, Route.REVIEWS, Route.RECORDS):
            for message in self.world.messages(route):
                asked = True
                if self.answered(lambda: self.handle(route, message)):  # noqa: B023  called at once
                    self.heard.append((route, message))
                    self.world.broker.done([message])
        pending = self.world.store.approvals.pending(TENANT, limit=2)
        if pending and not self.voted:
            asked, self.voted = True, self.answered(lambda: self.world.vote(pending[0]))
        return asked

    @staticmethod
    def answered(ask: Callable[[], object]) -> bool:
        """Ask once; False when there was no answer."""
        try:
            ask()
        except (CrashError, Transient):
            return False
        return True

    def handle(self, route: Route, message: Message) -> None:
        """Do what the message's consumer does."""
        event = parse(message.body)
        if route is Route.RECORDS:
            record(self.world.ports, message.body, message.attributes)
        elif route is Route.WORK:
            dispatch(self.world.ports, event, source=SOURCE)
        elif event.type == "task.placed":
            task = self.world.load_id(event.taskid)
            for document in range(len(TEXTS)):
                if not self.world.pipeline(task, document):
                    self.world.request(task, document)
        elif event.type == "approval.decided":
            self.world.record(self.world.load_id(event.taskid), event.data.document)

    def repeat(self) -> None:
        """Deliver every message a second time, as brokers may, and let client and human repeat themselves."""
        for route, message in list(self.heard):
            self.handle(route, message)
        task = self.world.submit(*TEXTS)
        self.world.vote(self.world.approval(task))
        assert self.live()


def findings(life: Life, bus: HonestBus) -> list[str]:
    """Return what is wrong with the end of a life; nothing, if all is well."""
    world = life.world
    (task,) = world.store.tasks.page(TENANT, limit=2)
    rows = world.store.records.history(TENANT)
    facts = [parse(row.body).data for row in rows]
    counts = Counter(row.type for row in rows)
    told_again = evolve(
        task.model_copy(update={"status": Status.NEW, "progress": (Progress.QUEUED,) * len(TEXTS)}), *facts
    )
    bill = world.store.records.bill(TENANT)
    wrong = {
        "early on the bus": bool(bus.early),
        "not sent": bool(world.unsent()),
        "parked": bool(world.store.records.parked(TENANT)),
        "order": [row.sequence for row in rows] != list(range(1, len(rows) + 1)),
        "trail": verify(world.store, TENANT, ENTITY).broken is not None,
        "effects": {kind: counts[kind] for kind in counts if kind != "step.started"} != ONCE,
        "attempts": counts["step.started"] not in (8, 9),
        "end": (task.status, set(task.progress)) != (Status.COMPLETED, {Progress.REVIEWED}),
        "story": (told_again.status, told_again.progress) != (task.status, task.progress),
        "calls": len(world.models.calls) not in (4, 5),
        "bill": sum(row.cost_micro_usd for row in bill) != task.spent or len(bill) != ONCE["usage.metered"],
        "money": task.reserved != 0 or task.spent > task.budget,
    }
    return [name for name, found in wrong.items() if found]


def unchanged(ports: Ports) -> Ports:
    """Plant nothing."""
    return ports


def lived(trouble: Trouble, plant: Plant) -> list[str]:
    """Live through a life with one trouble, then through all its repetitions; return what is wrong in the end."""
    database = Database(None)
    world = World(database)
    bus = HonestBus(world.ports.bus, database)
    world.ports = plant(trouble.on(replace(world.ports, bus=bus)))
    life = Life(world)
    try:
        if not life.live():
            return ["no end"]
        trouble.over = True
        wrong = findings(life, bus)
        rows = world.rows("record_audit")
        life.repeat()
        return wrong + (["repetition"] if world.rows("record_audit") != rows else [])
    finally:
        database.close()


def sweep(moment: Moment, error: type[Exception], plant: Plant = unchanged) -> Iterator[tuple[str, list[str]]]:
    """Yield each access after whose failure something was wrong in the end, and what."""
    for at in count(1):
        trouble = Trouble(at=at, moment=moment, error=error)
        wrong = lived(trouble, plant)
        if len(trouble.seen) < at:
            return
        if wrong:
            yield f"{at} {trouble.seen[-1]}", wrong


def test_a_calm_life_uses_every_kind_of_access() -> None:
    """Without any trouble all is well, and the sweep has every store and the bus to break."""
    calm = Trouble()
    assert lived(calm, unchanged) == []
    assert {name.split(".")[0] for name in calm.seen} == {"tasks", "outbox", "bus", "journal", "approvals", "records"}
    assert len(calm.seen) > 100


@pytest.mark.parametrize("error", [CrashError, Transient])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_no_single_failure_changes_the_end(moment: Moment, error: type[Exception]) -> None:
    """Whichever access fails, as a crash or as an outage, before its effect or after it: the end is the same."""
    assert list(sweep(moment, error)) == []
