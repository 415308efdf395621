"""The world of a storm: processes, the transport between them, one store, a clock, and whoever asks for something.

One thread, no real time: a process that stops in the middle of something is a call that lets the others take their
turns before it returns. So every interleaving is repeatable, by the plan alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from local.clock import VirtualClock
from local.faults import work
from local.faults.clients import Clients
from local.faults.kinds import Kind
from local.faults.process import Death, Process, behind
from local.faults.provider import LEASE_SECONDS, TENANTS, Provider, policy
from local.faults.transport import Transport
from local.faults.watch import WATCHED, Watch
from local.faults.weather import Plan, Weather
from local.sqlite.database import Database
from local.sqlite.settings import SqliteSettings
from local.wiring import embedded
from shared.app.approvals import tick_approval
from shared.app.commit import relay
from shared.app.learned import Learned, seat_of
from shared.app.parking import next_due, resume_due, sweep
from shared.app.recent import Recent
from shared.core.routes import Route
from shared.errors import FabricError, Transient
from shared.ports import Refusals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any, Never

    from shared.core.policy import Policy
    from shared.ports import Ports

PROCESSES = 8
IN_FLIGHT = 60  # tasks at a time
_SKEW = 600.0  # seconds
_LONG = 86_400.0
_TURN = 0.005
_DEEPEST = 2  # how often somebody may be interrupted by who interrupts
_TEND_EVERY = 150  # turns
_THE_SAME = 0.1  # of the messages that are being handled
_WHILE_STOPPED = 60  # turns that others take while a process stops
_BATCHES = {Route.WORK: 10, Route.PIPELINE: 1, Route.REVIEWS: 1, Route.RECORDS: 25}
_TURNS_AT_LEAST, _TURNS_PER_TASK = 600, 25  # some four times of what is usual
_MOST_IDLE = 60  # times that nothing is to be done but wait, before that is no end
_HANDLERS = {Route.PIPELINE: work.run_pipeline, Route.REVIEWS: work.review, Route.RECORDS: work.record_message}
Plant = Callable[["Ports"], "Ports"]


class NoPipelines:
    """Pipelines are driven by whoever takes their message."""

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Never:
        """Refuse."""
        raise AssertionError((workflow, name, given))


def unchanged(ports: Ports) -> Ports:
    """Plant nothing."""
    return ports


class World:
    """All of it. `plant` changes the ports of every process: a bug that somebody might write."""

    def __init__(self, plan: Plan, plant: Plant = unchanged, limits: Policy | None = None) -> None:
        self.plan, self._plant = plan, plant
        self.clock = VirtualClock()
        self.database = Database(None)
        self.weather = Weather(plan, self)
        self.transport = Transport(self.database, self.weather)
        self.store = embedded(self.database, NoPipelines(), self.clock.now)  # as it is, for whoever looks from outside
        self.policy = limits or policy()
        self.watch = Watch(self.policy)
        self.provider = Provider(self.weather, self.policy, self.watch.is_reserved)
        self.clients = Clients(self.weather, self.store.documents)
        self.chance = Random(f"{plan.seed}/{plan.part}/world")  # noqa: S311  repeatable, not secret
        self.defects: list[str] = []
        self.started = self.turns = self._depth = 0
        self.processes = [self._start() for _ in range(PROCESSES)]
        self.scarce = limits is not None  # money is: some are refused for want of it
        self._rushing = False
        self._warm_up()

    def _warm_up(self) -> None:
        """Read what every process of this machine remembers, so that all storms find it remembered."""
        from shared.tools._reading import read_taxonomy  # noqa: PLC0415

        for _, ref in sorted(self.clients.taxonomies.items()):
            read_taxonomy(ref, self.store.documents)

    def _start(self) -> Process:
        """Start a process that knows nothing."""
        self.started += 1
        skew = self.chance.uniform(-_SKEW, _SKEW) if self.weather.has(Kind.SKEW) else 0.0
        process = Process(self.started, self.weather, skew)
        if skew:
            self.weather.struck[Kind.SKEW] += 1
        now = partial(self._time_of, process)
        ports = replace(
            self.store,
            bus=self.transport,
            models=self.provider,
            learned=Learned(seat_of(str(self.started))),
            settings=Recent(SqliteSettings(self.database), now),
            policy=lambda: self.policy,
            now=now,
            nearby=None,
            refusals=Refusals(),
            looks={},
        )
        process.ports = self._plant(behind(behind(ports, self.watch.around, WATCHED), process.around))
        return process

    def _time_of(self, process: Process) -> datetime:
        wrong = 0.0 if self.weather.over else process.skew
        return self.clock.now() if not wrong else _moved(self.clock.now(), wrong)

    def now(self) -> float:
        """Return the true time."""
        return self.clock.now().timestamp()

    def close(self) -> None:
        """Forget everything."""
        self.database.close()

    def run(self) -> bool:
        """Live through the storm, then let everything come to rest; False when it does not."""
        most_turns = _TURNS_AT_LEAST + self.plan.tasks * _TURNS_PER_TASK
        while (self.clients.left or not self._is_calm()) and self.turns < most_turns:
            if self._turn() or self._wait():
                continue
            if not self.clients.left:
                break
            self.clients.make()  # a lull: nobody has anything to do until the next client comes
        self.weather.over = True
        idle, last = 0, self.turns + most_turns
        while idle < _MOST_IDLE and self.turns < last and not self._rests():
            if not self._turn():
                self._tend_all()
                idle += 1
                if self.transport.idle and not self._wait():
                    self.clock.wait(LEASE_SECONDS)
        return self._rests()

    def rush(self) -> None:
        """Let all clients come at once, before anything else is done."""
        self._rushing = True
        while self.clients.left:
            self.clients.make()
        while any(due <= self.now() for due, _ in self.clients.waiting):
            self._ask()
        self._rushing = False

    def let_others_work(self, process: Process, turns: int) -> None:
        """Let other processes take their turns now, those first that get into this one's way."""
        if self._depth >= _DEEPEST:
            return
        self._depth += 1
        try:
            self._rival(process)
            for _ in range(turns - 1):
                (self._ask if self._rushing else self._turn)()
        finally:
            self._depth -= 1

    def _rival(self, process: Process) -> None:
        """Let another process handle a message of the same entity, or the very same one; or ask for something."""
        if not process.hands:
            self._ask()
            return
        route, message = process.hands[-1]
        same = self.transport.take_like(route, message)
        if same is not None:
            self._handle(route, same)
        elif self.chance.random() < _THE_SAME:
            self._handle(route, message)

    def outlive_leases(self, process: Process) -> None:
        """Let a process stop: its message comes again to others, its task's lease is over, it is taken for dead."""
        if self._depth >= _DEEPEST:
            return
        for route, message in process.hands:
            self.transport.ready[route].appendleft(message)
        self.clock.wait(LEASE_SECONDS + 2 * _SKEW)
        self._tend()
        self.let_others_work(process, _WHILE_STOPPED)

    def _is_calm(self) -> bool:
        """Whether little is left of what was asked for: the storm may end, and what remains be looked after."""
        return self.transport.idle and not self.clients.waiting

    def _rests(self) -> bool:
        """Whether there is nothing to do any more, now or later."""
        return (
            self.transport.idle
            and not self.transport.later
            and not self.transport.dead
            and not self.clients.waiting
            and not self.clients.to_cancel
            and self.watch.quiet(TENANTS)
            and not self.store.ledger.overdue(_moved(self.clock.now(), _LONG), limit=1)  # open, or not at rest yet
            and not self.store.outbox.unsent(limit=1)
            and not self.store.tasks.parked(limit=1)
        )

    def _wait(self) -> bool:
        """Let time pass until something is due; False when nothing will be."""
        parked = next_due(self.store)
        moments = [self.transport.next_due(), self.clients.next_due(), parked.timestamp() if parked else None]
        due = [moment for moment in moments if moment is not None]
        if not due:
            return False
        self.clock.wait(max(_TURN, min(due) - self.now()))
        self._tend()
        return True

    def _turn(self) -> bool:
        """Let one process do something; False when there was nothing to do."""
        self.turns += 1
        self.clock.wait(_TURN)
        if self.turns % _TEND_EVERY == 0:
            self._tend()
        return any(errand() for errand in self._errands())

    def _errands(self) -> list[Callable[[], bool]]:
        """Return what could be done, in the order in which it is tried this time."""
        errands: list[Callable[[], bool]] = [partial(self._deliver, route) for route in Route]
        errands += [self._ask, self._ask, self._others]
        self.chance.shuffle(errands)
        return errands

    def _ask(self) -> bool:
        if self.clients.left and self.watch.open < IN_FLIGHT and not self.weather.over:
            self.clients.make()
        return self._do(lambda process: self.clients.submit(process.ports, self.now()))

    def _others(self) -> bool:
        """Let people decide and clients cancel, but not at once."""
        if self.chance.random() < 0.5 and not self.weather.over:  # noqa: PLR2004  as often as not
            return False
        first, second = self.clients.vote, self.clients.cancel
        return self._do(lambda process: first(process.ports) or second(process.ports))

    def _deliver(self, route: Route) -> bool:
        messages = self.transport.take(route, _BATCHES[route], self.now())
        if not messages:
            return False
        if route is Route.WORK:
            self._do(partial(self._dispatch, messages), on_failure=partial(self._all_again, route, messages))
        else:
            for message in messages:
                self._handle(route, message)
        return True

    def _dispatch(self, messages: list[Any], process: Process) -> bool:
        if self.weather.happens(Kind.PARTIAL, self.plan.rates.messages):
            process.failing = 1 + self.weather.chance.randrange(2 * len(messages))
        try:
            again = work.dispatch_batch(process.ports, messages)
        finally:
            process.failing = 0
        for message in messages:
            if message.id in again:
                self.transport.again(Route.WORK, message, self.now())
        return True

    def _handle(self, route: Route, message: Any) -> None:  # noqa: ANN401  a message
        if route is Route.PIPELINE and self.weather.happens(Kind.VANISH, self.plan.rates.messages):
            return
        handler = _HANDLERS[route]

        def handled(process: Process) -> bool:
            process.hands.append((route, message))
            try:
                handler(process.ports, message)
            finally:
                process.hands.clear()
            return True

        self._do(handled, on_failure=partial(self._all_again, route, [message]))

    def _all_again(self, route: Route, messages: list[Any], why: BaseException) -> None:
        for message in messages:
            if isinstance(why, FabricError) and not isinstance(why, Transient):
                self._bury(route, message, why)
            else:
                self.transport.again(route, message, self.now())

    def _bury(self, route: Route, message: Any, why: FabricError) -> None:  # noqa: ANN401  a message
        """Keep what can never be handled where a person can look."""
        if self.store.dead_letters is not None:
            self.store.dead_letters.bury(message.body, str(why), f"{route}/{message.id}")

    def _do(
        self, errand: Callable[[Process], bool], on_failure: Callable[[BaseException], None] = lambda _: None
    ) -> bool:
        """Let a process that has nothing else to do do this; one that dies of it is replaced."""
        free = [place for place, process in enumerate(self.processes) if not process.busy]
        if not free:
            return False
        place = free[self.chance.randrange(len(free))]
        process = self.processes[place]
        process.busy = True
        try:
            return errand(process)
        except Death as death:
            self.processes[place] = self._start()
            on_failure(death)
        except FabricError as failure:
            on_failure(failure)
        except Exception as defect:  # noqa: BLE001  a platform would deliver again, and its log would tell
            self.defects.append(f"{type(defect).__name__}: {defect}")
            on_failure(Transient("a defect"))
        finally:
            process.busy = False
        return True

    def _tend(self) -> None:
        """Let one process do what timers bring about."""
        self._do(self._tended)

    def _tended(self, process: Process) -> bool:
        relay(process.ports)
        sweep(process.ports, source=work.SOURCE)
        resume_due(process.ports, source=work.SOURCE)
        if self.weather.happens(Kind.REDRIVE, {Kind.REDRIVE: 0.1}):
            self.transport.redrive()
        return True

    def _tend_all(self) -> None:
        """Look after what is left, now that the weather is fine."""
        self.transport.redrive()
        self._tend()
        for tenant in TENANTS:
            for asked in self.store.approvals.pending(tenant, limit=1000):
                if asked.deadline <= self.clock.now():
                    with suppress(FabricError):
                        tick_approval(self.store, tenant, asked.id, source=work.SOURCE)


def _moved(moment: datetime, seconds: float) -> datetime:
    from datetime import timedelta  # noqa: PLC0415

    return moment + timedelta(seconds=seconds)
