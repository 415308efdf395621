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
from shared.app.commit import relay
from shared.app.record import record, verify
from shared.app.tasks import dispatch
from shared.core.routes import Route, routes
from shared.core.task import Progress, Status, evolve
from shared.errors import Transient
from shared.events.catalog import parse
from shared.events.usage import UsageCorrected, UsageMetered
from tests.app.faults import EFFECTS, PORTS, CrashError, HonestBus, Trouble
from tests.app.world import ENTITY, SOURCE, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sqlite.broker import Message
    from shared.core.approval import Approval
    from shared.events.catalog import AnyEvent
    from shared.events.envelope import Fact
    from shared.ports import Change, Outbox, Ports, Tasks
    from tests.app.faults import Moment

    Plant = Callable[[Ports], Ports]

TEXTS = ("Ask me first. Then go on.", "Pass it on. Keep the notice.")
ROUNDS = 8
ONCE = {
    "task.submitted": 1,
    "task.admitted": 1,
    "task.placed": 1,
    "tool.called": 8,
    "step.completed": 8,
    "approval.requested": 1,
    "approval.decided": 1,
    "document.reviewed": 2,
    "task.completed": 1,
}
# A call whose end was lost is made once more: it is chosen and billed once more then, and corrected when it turns up.
# One whose answer was kept is not: that is money saved. An outage, unlike a crash, tells that an attempt failed.
AGAIN = {"step.started", "step.failed", "model.routed", "usage.metered", "usage.corrected", "usage.saved"}


@dataclass
class Life:
    """A client, a dispatcher, a review, a human and a recorder, each asking again until they get an answer."""

    world: World

    def __post_init__(self) -> None:
        self.heard: list[tuple[Route, Message]] = []
        self.submitted = False
        self.voted = False
        self.shown: Approval | None = None

    def live(self) -> bool:
        """Go on until nothing is left to do; False when that does not come to an end."""
        return any(not self.turn() for _ in range(ROUNDS))

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
        self.shown = self.shown or next(iter(self.world.store.approvals.pending(TENANT, limit=1)), None)
        if self.shown is not None and not self.voted:
            asked, self.voted = True, self.answered(self.vote)
        return asked

    def vote(self) -> None:
        """Decide as the human does."""
        if self.shown is not None:
            self.world.vote(self.shown)

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
        """Let the safety net sweep, deliver every message a second time, and let client and human repeat themselves."""
        relay(self.world.ports)
        for route, message in list(self.heard):
            self.handle(route, message)
        self.world.submit(*TEXTS)
        self.vote()
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
    bill = lines_of(facts)
    lease, account = world.lease(task), world.store.ledger.account(TENANT)
    wrong = {
        "early on the bus": bool(bus.early),
        "parked": bool(world.store.records.parked(TENANT)),
        "order": [row.sequence for row in rows] != list(range(1, len(rows) + 1)),
        "trail": verify(world.store, TENANT, ENTITY).broken is not None,
        "effects": {kind: counts[kind] for kind in counts if kind not in AGAIN} != ONCE,
        "attempts": counts["step.started"] not in (8, 9) or counts["step.failed"] > counts["step.started"] - 8,
        "saved": counts["usage.saved"] > 1,
        "end": (task.status, set(task.progress)) != (Status.COMPLETED, {Progress.REVIEWED}),
        "story": (told_again.status, told_again.progress) != (task.status, task.progress),
        "calls": len(world.models.calls) not in (4, 5),
        "lines": sorted(bill) != list(range(1, task.lines + 1)) or task.lines not in (4, 5),
        "bill": not sum(bill.values()) == task.spent == lease.settled,
        "money": (lease.state, lease.held) != ("closed", 0) or task.spent > task.budget,
        "account": account.runs != 0 or any(book.open for book in account.books.values()),
        "books": {book.settled for book in account.books.values()} != {task.spent},
    }
    return [name for name, found in wrong.items() if found]


def lines_of(facts: Sequence[Fact]) -> dict[int, int]:
    """Return the lines of the bill with their last amounts."""
    told = (fact for fact in facts if isinstance(fact, UsageMetered | UsageCorrected))
    return {fact.line: fact.cost_micro_usd for fact in told}


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
        again = (world.rows("record_audit"), world.rows("outbox"), world.rows("messages"))
        return wrong + (["repetition"] if again != (rows, 0, 0) else [])
    finally:
        database.close()


def sweep(moment: Moment, error: type[Exception], plant: Plant = unchanged) -> Iterator[tuple[str, list[str]]]:
    """Yield each access after whose failure something was wrong in the end, and what.

    Only what has an effect can fail after it; a read that fails is a read that fails.
    """
    for at in count(1):
        trouble = Trouble(at=at, moment=moment, error=error, only=EFFECTS if moment == "after" else ())
        wrong = lived(trouble, plant)
        if len(trouble.seen) < at:
            return
        if wrong:
            yield f"{at} {trouble.seen[at - 1]}", wrong


def test_a_calm_life_uses_every_kind_of_access() -> None:
    """Without any trouble all is well, and the sweep has every store and the bus to break."""
    calm = Trouble()
    assert lived(calm, unchanged) == []
    assert {name.split(".")[0] for name in calm.seen} == set(PORTS)
    assert set(EFFECTS) < set(calm.seen)
    assert len(calm.seen) > 100


@pytest.mark.parametrize("error", [CrashError, Transient])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_no_single_failure_changes_the_end(moment: Moment, error: type[Exception]) -> None:
    """Whichever access fails, as a crash or as an outage, before its effect or after it: the end is the same."""
    assert list(sweep(moment, error)) == []


@dataclass
class Planted:
    """A `Tasks` port with a fault that a calm life does not show."""

    tasks: Tasks
    fault: Callable[[Tasks, Change], None]

    def commit(self, change: Change) -> None:
        """Commit as the fault has it."""
        self.fault(self.tasks, change)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tasks, name)


def without_claim(ports: Ports) -> Ports:
    """Plant: a repeated message is not recognised."""
    return with_fault(ports, lambda tasks, change: tasks.commit(replace(change, claim=None)))


def torn_apart(ports: Ports) -> Ports:
    """Plant: state and events are written one after the other instead of together."""

    def torn(tasks: Tasks, change: Change) -> None:
        tasks.commit(replace(change, events=()))
        later = change.task.model_copy(update={"version": change.task.version + 1})
        tasks.commit(replace(change, task=later, expected=change.task.version, claim=None, posting=None))

    return with_fault(ports, torn)


def with_fault(ports: Ports, fault: Callable[[Tasks, Change], None]) -> Ports:
    """Return the ports with a fault in their commits."""
    return replace(ports, tasks=Planted(ports.tasks, fault))


@dataclass
class Mute:
    """An outbox that has nothing to say when a duplicate asks for its entity's events."""

    outbox: Outbox

    def unsent(self, *, limit: int, tenant: str | None = None, entity: str | None = None) -> Sequence[AnyEvent]:
        """Return what is unsent, unless a duplicate asks."""
        return [] if entity else self.outbox.unsent(limit=limit, tenant=tenant)

    def mark_sent(self, events: Sequence[AnyEvent]) -> None:
        """Note what was sent."""
        self.outbox.mark_sent(events)


def silent_duplicates(ports: Ports) -> Ports:
    """Plant: a duplicate changes nothing and says nothing."""
    return replace(ports, outbox=Mute(ports.outbox))


@pytest.mark.parametrize(
    ("plant", "moment"), [(torn_apart, "before"), (torn_apart, "after"), (silent_duplicates, "before")]
)
def test_a_planted_fault_is_found(plant: Plant, moment: Moment) -> None:
    """A fault that a calm life hides is shown by the failure of some access."""
    assert lived(Trouble(), plant) == []
    assert next(sweep(moment, CrashError, plant), None) is not None


def test_a_missing_claim_is_found() -> None:
    """Without claims a client that repeats itself after a lost answer never gets one."""
    trouble = Trouble(at=1, moment="after", only=("tasks.commit",))
    assert lived(trouble, without_claim) == ["no end"]
    assert lived(Trouble(at=1, moment="after", only=("tasks.commit",)), unchanged) == []


def test_speaking_too_early_is_found() -> None:
    """Publishing before the commit is seen by the bus even when nothing fails."""

    def hasty(ports: Ports) -> Ports:
        def early(tasks: Tasks, change: Change) -> None:
            ports.bus.publish([(route, event) for event in change.events for route in routes(event)])
            tasks.commit(change)

        return with_fault(ports, early)

    assert "early on the bus" in lived(Trouble(), hasty)
