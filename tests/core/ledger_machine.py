"""Every way in which replicas can get into one another's way while they spend, as a hypothesis state machine.

Three replicas with clocks that differ work through the real use cases on one real store. Each waits before everything
it asks of the store and after each posting, where it goes on, is overtaken, or dies. After each posting the rows are
held to the rules of `local.faults.ledger_rules`, and the step from the rows before to those of `Watch`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from local.faults.ledger_rules import everything, problems, unended
from local.sqlite.database import Database
from local.sqlite.ledger import SqliteLedger
from shared.app import ledger as spending
from shared.core.draws import DrawAsk, Outcome
from shared.core.ledger import DUE, LeaseAsk, Posting
from tests.core.ledger_watch import LIMITS, STATES, TENANTS, Errand, Watch
from tests.core.replica import Replica, Stepping

if TYPE_CHECKING:
    from local.faults.ledger_rules import Seen
    from shared.core.ledger import Draw, Lease
    from shared.events.task import Priority
    from shared.ports import Ledger

EVENING = datetime(2026, 11, 30, 22, tzinfo=UTC)  # a day and a month end while it works
SKEWS = (0, 600, -600)
OUT = 300.0  # seconds that a call can be out
AGAIN = 7200.0
ROUNDS = 20  # of a sweeper, after which nothing is left to do

Work = Callable[[spending.Treasury], object]


@dataclass
class Till:
    """What spending needs, as one replica has it."""

    ledger: Ledger
    now: Callable[[], datetime]


TO_THE_END = 99

who = st.integers(0, len(SKEWS) - 1)
steps = st.sampled_from((TO_THE_END,) * 3 + (1, 2, 3, 4, 5))  # after which it has to wait: most are not interrupted
tenants = st.sampled_from(TENANTS[:1] * 3 + TENANTS[1:])
names = st.sampled_from(("a", "b", "c", "d"))
calls = st.integers(1, 40).map(str)
picks = st.integers(0, 7)  # one of the rows that are there, those at work before those at rest
amounts = st.sampled_from((100, 150, 260, 40, 0))
worsts = st.sampled_from((5, 10, 20, 50, 0))
costs = st.sampled_from((4, 5, 9, 19, 60, 0))  # some are more than any worst case


class LedgerMachine(RuleBasedStateMachine):
    """Spending by replicas."""

    operations: ClassVar[int] = 0
    stepping: ClassVar[type[Stepping]] = Stepping

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(None)
        self.ledger = SqliteLedger(self.database)
        self.watch = Watch(self.ledger)
        self.time = EVENING
        self.replicas = [Replica() for _ in SKEWS]
        self.errands = [Errand("", EVENING) for _ in SKEWS]
        self.tills = [self._till(number) for number in range(len(SKEWS))]
        self.last: tuple[str, Work, int, float] = ("close", lambda _: None, 0, 0.0)
        self.bills: dict[tuple[str, str], int] = {}  # what the tasks' bills say, by lease
        self.out: dict[tuple[str, str, str], float] = {}  # until when a call can be out, by draw

    def _till(self, number: int) -> Till:
        def now() -> datetime:
            return self.time + timedelta(seconds=SKEWS[number])

        def posted(posting: Posting) -> None:
            self._note(self.errands[number], posting)
            self.watch.posted(self.errands[number], posting, now())

        return Till(self.stepping(self.ledger, self.replicas[number], posted), now)

    def _note(self, errand: Errand, posting: Posting) -> None:
        """A task that ends is billed in the transaction that ends its lease; whoever calls may never come to it."""
        account, lease, drawn = posting
        if lease is not None and errand.doing in {"close", "expire"} and account is not None:
            self.bills[lease.tenant, lease.id] = lease.settled + lease.held
        if drawn is not None and errand.doing == "draw":
            self.out[drawn.tenant, drawn.lease, drawn.id] = errand.until

    def _bill(self, seen: Lease) -> None:
        """Bill what the lease has charged by now: a bill's versions let nobody write what is older."""
        found = self.ledger.lease(seen.tenant, seen.id)
        assert found is not None
        self.bills[found.tenant, found.id] = found.settled + found.held

    def _swept(self, till: spending.Treasury, *, over: bool) -> int:
        """Look after the closing leases whose time has come; return how many there were."""
        due = [lease for lease in till.ledger.overdue(till.now(), limit=9) if lease.state == "closing"]
        for lease in due:
            again_at = till.now().timestamp() + AGAIN
            spending.wind_up(till, lease, self._bill, over=over, again_at=again_at)
        return len(due)

    def _do(self, who: int, steps: int, doing: str, work: Work, asked: int = 0, until: float = 0.0) -> None:
        """Let a replica begin a work and take some steps; what it was doing before, it ends first."""
        LedgerMachine.operations += 1
        replica, till = self.replicas[who], self.tills[who]
        replica.finish()
        self.last = (doing, work, asked, until)
        self.errands[who] = Errand(doing, till.now(), asked, until)
        replica.begin(lambda: work(till))
        for _ in range(steps):
            replica.step()

    def _lease(self, pick: int) -> tuple[str, str]:
        """Return one of the leases, the open ones first."""
        found = [lease for seen in self.watch.before.values() for lease in seen.leases]
        found.sort(key=lambda lease: lease.state != "open")
        one = found[pick % len(found)] if found else None
        return (one.tenant, one.id) if one else ("acme", "a")

    def _call(self, pick: int) -> tuple[str, str, str]:
        """Return one of the draws, the open ones first."""
        found = [drawn for seen in self.watch.before.values() for draws in seen.draws.values() for drawn in draws]
        found.sort(key=lambda drawn: (STATES.index(drawn.state), -int(drawn.id)))
        one = found[pick % len(found)] if found else None
        return (one.tenant, one.lease, one.id) if one else ("acme", "a", "1")

    def _ask(self, who: int, name: str, amount: int, minutes: int = 60) -> LeaseAsk:
        at = self.tills[who].now().timestamp()
        priority: Priority = "background" if name == "a" else "standard"
        return LeaseAsk(name, f"task-{name}", "document-review", priority, amount, at, at + 60 * minutes)

    def _draw(self, who: int, steps: int, lease: tuple[str, str], call: str, worst: int) -> None:
        at = self.tills[who].now().timestamp()
        ask = DrawAsk(call, 0, "classify", "embedded", worst, "0" * 64, at, OUT)
        self._do(who, steps, "draw", lambda till: spending.draw(till, *lease, ask), until=at + OUT)

    @initialize(leases=st.lists(st.tuples(names, amounts, st.lists(worsts, max_size=4)), min_size=1, max_size=3))
    def begin(self, leases: list[tuple[str, int, list[int]]]) -> None:
        """Some runs are at work already."""
        for name, amount, drawn in leases:
            self.reserve(0, TO_THE_END, "acme", name, amount, 300)
            for number, worst in enumerate(drawn):
                self._draw(0, TO_THE_END, ("acme", name), str(100 + number), worst)

    @rule(who=who, steps=steps, tenant=tenants, name=names, amount=amounts, minutes=st.sampled_from((300, 30)))
    def reserve(self, who: int, steps: int, tenant: str, name: str, amount: int, minutes: int) -> None:
        """A run asks for its worst case."""
        ask = self._ask(who, name, amount, minutes)
        self._do(who, steps, "open", lambda till: spending.open_lease(till, tenant, ask, LIMITS), amount)

    @rule(who=who, steps=steps, pick=picks, amount=amounts)
    def reopen(self, who: int, steps: int, pick: int, amount: int) -> None:
        """A run that was parked goes on."""
        tenant, name = self._lease(-1 - pick)
        ask = self._ask(who, name, amount)
        self._do(who, steps, "reopen", lambda till: spending.reopen(till, tenant, ask, LIMITS), amount)

    @rule(who=who, steps=steps, pick=picks, amount=amounts, minutes=st.sampled_from((0, 90)))
    def extend(self, who: int, steps: int, pick: int, amount: int, minutes: int) -> None:
        """A run is granted more money, or more time."""
        tenant, name = self._lease(pick)
        ask = self._ask(who, name, amount, minutes)
        until = ask.expires_at
        self._do(
            who, steps, "extend", lambda till: spending.extend(till, tenant, name, amount, LIMITS, until=until), amount
        )

    @rule(who=who, steps=steps, pick=picks, call=calls, worst=worsts)
    def draw(self, who: int, steps: int, pick: int, call: str, worst: int) -> None:
        """A call is about to be made."""
        self._draw(who, steps, self._lease(pick), call, worst)

    @rule(who=who, steps=steps, pick=picks, cost=costs)
    def settle(self, who: int, steps: int, pick: int, cost: int) -> None:
        """A call was answered."""
        tenant, name, call = self._call(pick)
        self._do(who, steps, "settle", lambda till: spending.settle(till, tenant, name, call, Outcome(cost)))

    @rule(who=who, steps=steps, pick=picks, cost=costs)
    def correct(self, who: int, steps: int, pick: int, cost: int) -> None:
        """The answer of a call was found that nobody heard of."""
        tenant, name, call = self._call(pick)
        self._do(who, steps, "correct", lambda till: spending.correct(till, tenant, name, call, Outcome(cost)))

    @rule(who=who, steps=steps, pick=picks)
    def unknown(self, who: int, steps: int, pick: int) -> None:
        """Nobody knows how a call ended."""
        tenant, name, call = self._call(pick)
        self._do(who, steps, "unknown", lambda till: spending.unknown(till, tenant, name, call))

    @rule(who=who, steps=steps, pick=picks)
    def release(self, who: int, steps: int, pick: int) -> None:
        """A call was surely not served."""
        tenant, name, call = self._call(pick)
        self._do(who, steps, "release", lambda till: spending.release(till, tenant, name, call))

    @rule(who=who, steps=steps, pick=picks)
    def close(self, who: int, steps: int, pick: int) -> None:
        """A run ends, is parked, or is cancelled while others still work for it."""
        tenant, name = self._lease(pick)
        self._do(who, steps, "close", lambda till: spending.close(till, tenant, name))

    @rule(who=who, steps=steps)
    def expire(self, who: int, steps: int) -> None:
        """The sweeper comes round."""
        self._do(who, steps, "expire", lambda till: spending.expire(till, limit=3))

    @rule(who=who, steps=steps, over=st.booleans())
    def wind_up(self, who: int, steps: int, *, over: bool) -> None:
        """The sweeper looks after what closes, and takes the runs for ended or for parked."""
        self._do(who, steps, "wind up", lambda till: self._swept(till, over=over))

    @rule(who=who, steps=steps, pick=picks, over=st.booleans())
    def wind_up_early(self, who: int, steps: int, pick: int, *, over: bool) -> None:
        """A sweeper whose clock is far ahead looks after a lease, whose calls may still be out."""
        found = [lease for seen in self.watch.before.values() for lease in seen.leases if lease.state != "open"]
        found.sort(key=lambda lease: (lease.state != "closing", -lease.calls))
        if not found:
            return
        due, again_at = found[pick % len(found)], self.time.timestamp() + AGAIN
        self._do(
            *(who, steps, "wind up"),
            lambda till: spending.wind_up(till, due, self._bill, over=over, again_at=again_at),
        )

    @rule(who=who, steps=steps, pick=picks)
    def expire_late(self, who: int, steps: int, pick: int) -> None:
        """A sweeper comes to a lease that was overdue when it looked."""
        found = self.ledger.lease(*self._lease(pick))
        if found is None:
            return
        due = found
        self._do(who, steps, "expire", lambda till: spending._expired(till, due))

    @rule(who=who, steps=steps)
    def duplicate(self, who: int, steps: int) -> None:
        """What was asked of one replica last is asked again, of any."""
        self._do(who, steps, *self.last)

    @rule(who=who)
    def go_on(self, who: int) -> None:
        """A replica that waits ends what it was doing."""
        self.replicas[who].finish()

    @rule(who=who)
    def crash(self, who: int) -> None:
        """A replica dies between two steps."""
        self.replicas[who].kill()

    @rule(minutes=st.sampled_from((1, 2, 5, 5, 20, 20, 45, 1500)))
    def tick(self, minutes: int) -> None:
        """Time passes."""
        self.time += timedelta(minutes=minutes)

    @invariant()
    def nothing_leaks(self) -> None:
        """The rows of every tenant keep the rules."""
        for tenant in TENANTS:
            seen = everything(self.ledger, tenant)
            assert [*problems(seen, LIMITS), *self._unbilled(seen)] == []
            self._listened(tenant, seen)

    def _unbilled(self, seen: Seen) -> list[str]:
        """Return where a lease rests and its task's bill says something else."""
        ended = [lease for lease in seen.leases if lease.state not in DUE]
        bills = {lease.id: self.bills.get((lease.tenant, lease.id)) for lease in ended}
        charged = {lease.id: lease.settled + lease.held for lease in ended}
        return [
            f"lease {name} charged {charged[name]}, the bill says {bill}"
            for name, bill in bills.items()
            if bill != charged[name]
        ]

    def _listened(self, tenant: str, seen: Seen) -> None:
        """It is quiet when no call can be out, and some call has been drawn lately when it is not."""
        now, untils = self.time.timestamp(), [until for key, until in self.out.items() if key[0] == tenant]
        drawn = [one for draws in seen.draws.values() for one in draws if one.state == "open"]
        quiet = spending.quiet(Till(self.ledger, lambda: self.time), tenant)
        if quiet:
            assert not any(self.out[one.tenant, one.lease, one.id] > now for one in drawn)
        else:
            assert drawn
            assert max(untils) > now

    def teardown(self) -> None:
        """Whoever still works dies; then every lease ends, whatever became of its calls, and calls may end later."""
        try:
            for replica in self.replicas:
                replica.kill()
            self.time += timedelta(days=1)
            for tenant in TENANTS:
                self._at_rest(tenant)
        finally:
            self.database.close()

    def _end(self) -> None:
        for _ in range(ROUNDS):
            if not self.ledger.overdue(self.time, limit=1):
                return
            self.expire(0, TO_THE_END)
            self.wind_up(0, TO_THE_END, over=True)

    def _settled(self, tenant: str, lease: str, drawn: Draw) -> None:
        cost = Outcome(drawn.worst // 2)
        self._do(0, TO_THE_END, "settle", lambda till: spending.settle(till, tenant, lease, drawn.id, cost))

    def _at_rest(self, tenant: str) -> None:
        self._end()
        seen = everything(self.ledger, tenant)
        assert [*unended(seen), *problems(seen, LIMITS), *self._unbilled(seen)] == []
        till = Till(self.ledger, lambda: self.time)
        assert spending.quiet(till, tenant)
        for lease, draws in seen.draws.items():
            for drawn in draws:
                self._settled(tenant, lease, drawn)
        self._end()
        seen = everything(self.ledger, tenant)
        assert [*unended(seen), *problems(seen, LIMITS), *self._unbilled(seen)] == []
        assert all(drawn.state == "settled" for draws in seen.draws.values() for drawn in draws)
