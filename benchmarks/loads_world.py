"""A fabric under the loads of the requirements, in virtual time: rates, money, turns and routes are really decided.

What decides is the product's own: `granting`, `ledger`, `draws`, `schedule`, `routing`, health and gates. What is
played here: clients, and a store that is a dict. A run makes one call, every fifth in the background two. Nobody who is
refused comes back, but interactive work that was asked to wait for money.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from shared.app.learned import Learned
from shared.core import draws, ledger
from shared.core.draws import DrawAsk
from shared.core.draws import Outcome as Paid
from shared.core.gate import RANKS
from shared.core.granting import MONEY_RETURNS, Ask, finish, grant, held_by_others, queue, waited_for
from shared.core.health import Outcome, against
from shared.core.ledger import Account, Lease, LeaseAsk, Posting, left, windows_at
from shared.core.policy import PRIORITIES, Policy
from shared.core.routing import Ask as Question
from shared.core.routing import Route, decide, routes
from shared.core.schedule import Load, Money, Turns, give_way, order, pick, pressure, stay_parked
from shared.errors import Forbidden, Throttled
from shared.events.task import Priority

if TYPE_CHECKING:
    from benchmarks.loads_places import Client, Provider

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
PER_SECOND = 1667
_OUT = 512  # tokens an answer may have
_SHED_EVERY, _RESUME_EVERY = 0.05, 1.0  # seconds
_COMES_BACK = 3  # times, with interactive work that waits for money
_FLOW = "document-review"
_MIX: tuple[Priority, ...] = ("interactive", "standard", *("background",) * 10)


@dataclass(slots=True)
class Run:
    """One run, from its lease to its end; a parked task to `schedule.order`."""

    id: str
    tenant: str
    priority: Priority
    tokens: int
    worst: int
    since: float
    lease: Lease
    steps: int
    parked_at: datetime | None = None

    @property
    def submitted_at(self) -> datetime:
        """Since when it waits."""
        return datetime.fromtimestamp(self.since, UTC)


@dataclass(slots=True)
class Tally:
    """What became of one class, or of one tenant."""

    submitted: int = 0
    accepted: int = 0
    ended: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    gave_way: int = 0
    parked: int = 0  # now
    most: int = 0  # micro-USD spent and set aside at any moment


@dataclass(slots=True)
class World:
    """Everything, and the time."""

    clients: dict[str, Client]
    providers: dict[str, Provider]
    policy: Policy
    chance: Random = field(default_factory=lambda: Random(4))
    now: float = NOON
    turns: Turns = field(default_factory=Turns)
    turned: Counter[str] = field(default_factory=Counter)
    accounts: dict[str, Account] = field(default_factory=dict)
    lines: dict[Priority, deque[Run]] = field(default_factory=lambda: {one: deque() for one in PRIORITIES})
    parked: list[Run] = field(default_factory=list)
    by_class: dict[str, Tally] = field(default_factory=lambda: {one: Tally() for one in PRIORITIES})
    by_tenant: dict[str, Tally] = field(default_factory=dict)
    learned: Learned = field(default_factory=Learned)
    shed: dict[Priority, float] = field(default_factory=dict)
    _events: list[tuple[float, int, tuple[object, ...]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _next_try: float = 0.0
    _looks: dict[str, float] = field(default_factory=lambda: {"shed": 0.0, "resume": 0.0})
    _known: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        self._known = routes(self.policy.candidates.values())
        self.accounts = {name: Account(name) for name in self.clients}
        self.by_tenant = {name: Tally() for name in self.clients}

    def submissions(self, seconds: float) -> None:
        """Let clients submit evenly, and everything be done that is due meanwhile."""
        names, parts = list(self.clients), [one.part for one in self.clients.values()]
        for number in range(int(PER_SECOND * seconds)):
            self.advance(NOON + number / PER_SECOND)
            tenant = self.chance.choices(names, parts)[0]
            self.submit(tenant, self.chance.choice(_MIX), self.chance.randrange(500, 4000))

    def drain(self, seconds: float) -> None:
        """Let no more be submitted, and what was let in be done."""
        end = self.now + seconds
        while self.now < end and (self._events or self.parked or any(self.lines.values())):
            self.advance(self.now + 0.05)

    def advance(self, until: float) -> None:
        """Do what is due up to a moment."""
        while self._events and self._events[0][0] <= until:
            self.now, _, (kind, *given) = heapq.heappop(self._events)
            {"end": self._ended, "back": self._again}[str(kind)](*given)
            self._dispatch()
        self.now = until
        if until >= self._looks["shed"]:
            self._looks["shed"] = until + _SHED_EVERY
            load = self._load()
            self.shed = {one: pressure(load, one, self.policy.classes) for one in PRIORITIES}
        if until >= self._looks["resume"]:
            self._looks["resume"] = until + _RESUME_EVERY
            self._resume()
        self._dispatch()

    def submit(self, tenant: str, priority: Priority, tokens_in: int) -> None:
        """Submit one task."""
        for tally in (self.by_class[priority], self.by_tenant[tenant]):
            tally.submitted += 1
        number = next(self._numbers)
        steps = 2 if priority == "background" and not number % 5 else 1
        worst = max(route.cost(tokens_in, _OUT) for route in self._known)
        name = f"run-{number}"
        self._ask(tenant, Ask(name, name, _FLOW, priority, worst * steps, (tokens_in + _OUT) * steps), steps, 0)

    def _ask(self, tenant: str, ask: Ask, steps: int, times: int) -> None:
        account, limits = self.accounts[tenant], self.clients[tenant].limits
        try:
            asked = ask._replace(turned_away=self.turned[tenant])
            granted = grant(account, self.policy, limits, asked, self.now)
        except Throttled as refusal:
            self.turned[tenant] += 1
            self._refused(tenant, ask.priority, refusal.code)
        except Forbidden as refusal:
            may_wait = ask.priority == "interactive" and held_by_others(account, limits, ask.amount, self.now)
            if not may_wait:
                self._refused(tenant, ask.priority, refusal.code)
            elif times < _COMES_BACK:
                self._post(tenant, queue(account, self.policy, ask, self.now))
                self._later(MONEY_RETURNS, "back", tenant, ask, steps, times + 1)
            else:
                self._refused(tenant, ask.priority, "money")
        else:
            if self.shed[ask.priority]:  # decided, and not posted: its tenant's rates lose nothing by it
                self._refused(tenant, ask.priority, "pressure")
                return
            self.turned[tenant] = 0
            self._post(tenant, granted.posting)
            worst, tokens = ask.amount // steps, ask.tokens // steps
            run = Run(ask.lease, tenant, ask.priority, tokens, worst, self.now, granted.lease, steps)
            self.lines[ask.priority].append(run)
            for tally in (self.by_class[ask.priority], self.by_tenant[tenant]):
                tally.accepted += 1

    def _again(self, *given: object) -> None:
        tenant, ask, steps, times = given
        assert isinstance(ask, Ask)
        assert isinstance(steps, int)
        assert isinstance(times, int)
        self._ask(str(tenant), ask, steps, times)

    def _refused(self, tenant: str, priority: Priority, code: str) -> None:
        self.by_class[priority].refused[code] += 1
        self.by_tenant[tenant].refused[code] += 1

    def _later(self, seconds: float, *event: object) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def _post(self, tenant: str, posting: Posting) -> None:
        """Store an account as a store would, and see that no limit is broken."""
        account = posting.account
        if account is None:
            return
        assert account.version == self.accounts[tenant].version + 1
        limits = self.clients[tenant].limits.money
        out = [sum(account.books.get(window, (0, 0))) for window in windows_at(self.now)]
        assert all(spent <= limit for spent, limit in zip(out, limits, strict=True)), (tenant, out, limits)
        self.by_tenant[tenant].most = max(self.by_tenant[tenant].most, out[0])
        self.accounts[tenant] = account

    def _load(self) -> Load:
        """Return what waits, and what the providers take as far as the fabric knows."""
        per_second, opens = 0.0, []
        for route in self._known:
            gate, known = self.learned.gate(route.name), self.learned.health.get(route.name)
            _, seconds = against(known, 0, self.now) if known else ("", 0.0)
            seconds = max(seconds, gate.shut_until - self.now)
            if seconds > 1:
                opens.append(seconds)
            else:
                per_second += gate.rate or route.per_second
        waiting = {one: len(line) for one, line in self.lines.items()}
        return Load(waiting, per_second=per_second, opens_in=min(opens, default=0.0))

    def _dispatch(self) -> None:
        """Send calls out as long as a provider takes them."""
        while self.now >= self._next_try:
            oldest = {one: line[0].since for one, line in self.lines.items() if line}
            if not oldest:
                return
            priority, turns = pick(oldest, self.turns, self.policy.classes, self.now)
            run = self.lines[priority].popleft()
            if priority == "background" and self._gives_way(run):
                continue
            seconds = self._call(run)
            if seconds:
                self.lines[priority].appendleft(run)
                self._next_try = self.now + seconds
                return
            self.turns = turns

    def _call(self, run: Run) -> float:
        """Make the run's next call, or return the seconds after which to try again."""
        tokens_in = run.tokens - _OUT
        left_of_it = run.lease.amount - run.lease.settled - run.lease.held
        question = Question("classify", tokens_in, tokens_in, tokens_in, _OUT, left_of_it)
        choice = decide(self._known, question, self.learned.health, self.now)
        waits = [refusal.wait for refusal in choice.refused if refusal.wait]
        for one in choice.order:
            seconds = self.learned.enter(one.route, self.now, RANKS[run.priority])
            if not seconds:
                self._made(run, one.route, tokens_in)
                return 0.0
            waits.append(seconds)
        return max(0.001, min(waits))

    def _made(self, run: Run, route: Route, tokens_in: int) -> None:
        name, worst = f"draw-{next(self._numbers)}", route.cost(tokens_in, _OUT)
        drawn = draws.draw(run.lease, None, DrawAsk(name, 0, "classify", route.name, worst, "", self.now, 30.0))
        assert drawn.lease is not None
        run.lease = drawn.lease
        outcome = self.providers[route.name].call(self.now, self.chance)
        self._later(outcome.ms / 1000, "end", run, route, drawn.draw, outcome)
        waited = self.now - run.since
        if outcome.end == "answered":
            self.by_class[run.priority].waits.append(waited)

    def _ended(self, *given: object) -> None:
        run, route, drawn, outcome = given
        assert isinstance(run, Run)
        assert isinstance(route, Route)
        assert isinstance(drawn, ledger.Draw)
        assert isinstance(outcome, Outcome)
        self.learned.leave(route, outcome, self.now)
        if outcome.end != "answered":
            back = draws.release(None, run.lease, drawn)
            assert back.lease is not None
            run.lease = back.lease
            self.lines[run.priority].appendleft(run)
            return
        cost = route.cost((run.tokens - _OUT) // 3, self.chance.randrange(20, 120))
        settled = draws.settle(None, run.lease, drawn, Paid(cost))
        assert settled.lease is not None
        run.lease, run.steps, run.since = settled.lease, run.steps - 1, self.now
        if run.steps:
            self.lines[run.priority].append(run)
            return
        self._closed(run, run.tokens // 2)
        for tally in (self.by_class[run.priority], self.by_tenant[run.tenant]):
            tally.ended += 1

    def _closed(self, run: Run, unused: int) -> None:
        posting = finish(self.accounts[run.tenant], run.lease, self.clients[run.tenant].limits, unused, self.now)
        assert posting.lease is not None
        run.lease = posting.lease
        self._post(run.tenant, posting)

    def _gives_way(self, run: Run) -> bool:
        account = self.accounts[run.tenant]
        if not account.waits:
            return False
        if give_way(run.lease, self._money(run.tenant), [], self.now) is None:
            return False
        self._closed(run, 0)
        run.parked_at = datetime.fromtimestamp(self.now, UTC)
        self.parked.append(run)
        for tally in (self.by_class["background"], self.by_tenant[run.tenant]):
            tally.gave_way += 1
            tally.parked += 1
        return True

    def _money(self, tenant: str) -> Money:
        account, limits = self.accounts[tenant], self.clients[tenant].limits.money
        free = left(account, windows_at(self.now), limits)
        return Money(free, waited_for(account, self.policy, self.now))

    def _resume(self) -> None:
        """Let parked runs go on whose money nobody waits for any more."""
        still: list[Run] = []
        for run in order(self.policy, self.parked, datetime.fromtimestamp(self.now, UTC)):
            amount = run.lease.settled + run.worst * run.steps
            if stay_parked(amount - run.lease.settled, self._money(run.tenant), [], self.now):
                still.append(run)
                continue
            until = self.now + self.policy.runs.lease_seconds
            wants = LeaseAsk(run.lease.id, run.id, _FLOW, run.priority, amount, self.now, until)
            try:
                again = ledger.reopen(
                    self.accounts[run.tenant], run.lease, wants, self.clients[run.tenant].limits.money
                )
            except Forbidden:
                still.append(run)
                continue
            assert again.lease is not None
            self._post(run.tenant, again)
            run.lease, run.parked_at = again.lease, None
            self.lines[run.priority].append(run)
            for tally in (self.by_class[run.priority], self.by_tenant[run.tenant]):
                tally.parked -= 1
        self.parked = still
