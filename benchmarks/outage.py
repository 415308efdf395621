"""A provider is away for hours and comes back, in virtual time: its own 429s, then 503s, while a thousand tasks wait.

The real router, gates, adapters and the model server, in one thread, with a clock that nobody waits for. The queue is a
plain one: the highest class first, the oldest first, and who is told to wait comes back then.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.runner import Effort, Row, at_least, at_most
from benchmarks.wallet import Wallet
from local.model_server.exchange import Call
from local.model_server.scenario import Deployment, Latency, Phase, Quota, Scenario
from local.model_server.service import ModelService
from providers.deployments import Deployments
from providers.http import Request, Response
from shared.app.learned import Learned
from shared.app.purse import Terms
from shared.app.router import Router
from shared.core.completion import NoAnswer, Prompt
from shared.core.gate import RANKS
from shared.core.routing import Candidate, Route, routes
from shared.errors import FabricError, Throttled, Transient

if TYPE_CHECKING:
    from shared.events.task import Priority

_ATTEMPTS = 4
_WORKERS = 20
PROCESSES = 4
_LATENCY = 2.0
_BEGINS = 120.0  # seconds of peace first, in which the gates measure
_MINUTE = 60.0
_PROVISIONED, _ON_DEMAND = 120, 60  # calls a minute
CAPACITY = _PROVISIONED + _ON_DEMAND
_CLASSES: tuple[Priority, ...] = ("interactive", *("standard",) * 3, *("background",) * 6)
_SCHEMA = {
    "type": "object",
    "required": ["quotes"],
    "properties": {"quotes": {"type": "array", "maxItems": 1, "items": {"type": "string", "maxLength": 200}}},
}


@dataclass(slots=True)
class Clock:
    """Stands where it is put."""

    at: float = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.at


@dataclass(frozen=True, slots=True)
class InProcess:
    """The model server without a socket."""

    service: ModelService
    clock: Clock

    def post(self, request: Request, *, total: float, idle: float) -> Response:
        """Answer at once; how long it took is for the queue's workers to wait."""
        path = request.url.removeprefix("http://127.0.0.1:1")
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = self.service.reply(Call("POST", path, {}, headers, request.body), self.clock.now())
        if reply.seconds > total or idle <= 0:
            raise NoAnswer("too slow", code="too-slow", served=True)
        return Response(reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.content)


@dataclass(slots=True)
class Job:
    """One queued task: one question."""

    number: int
    priority: Priority
    arrived: float
    purse: Wallet = field(default_factory=Wallet)
    attempts: int = 0
    done_at: float | None = None

    @property
    def prompt(self) -> Prompt:
        """The question; no two are the same."""
        return Prompt("summarise", "Quote.", f"Pump {self.number} leaks.", _SCHEMA, max_output_tokens=60)


class Change(NamedTuple):
    """One more task of a class waits, or one less."""

    at: float
    priority: Priority
    by: int


class Minute(NamedTuple):
    """What the providers saw in one minute, and what was left to do at its end."""

    sent: int
    answered: int
    refused: int
    waiting: Counter[str]


@dataclass(slots=True)
class Outage:
    """What came of it."""

    jobs: list[Job]
    back_at: float
    failed: int
    minutes: dict[int, Minute]
    during: Counter[str]

    @property
    def answered(self) -> int:
        """Tasks with an answer."""
        return sum(job.done_at is not None for job in self.jobs)

    @property
    def paid_once(self) -> int:
        """Tasks that paid for one answer and for nothing else."""
        return sum(Counter(one.paid for one in job.purse.ended if one.cost) == {"answered": 1} for job in self.jobs)

    @property
    def peak(self) -> int:
        """The most calls in a minute after the provider was back, refused ones included."""
        return max(minute.sent for minute in self.minutes.values())

    @property
    def refused(self) -> int:
        """Calls refused after the provider was back."""
        return sum(minute.refused for minute in self.minutes.values())

    def waits(self, priority: Priority) -> list[float]:
        """Return how long tasks of a class waited since the provider was back, or since they came."""
        waited = (
            job.done_at - max(self.back_at, job.arrived)
            for job in self.jobs
            if job.done_at and job.priority == priority
        )
        return sorted(seconds for seconds in waited if seconds >= 0)


class Ungated(Learned):
    """The control: health is learned as ever, and no gate is kept."""

    def enter(self, route: Route, now: float, rank: int) -> float:
        """Let everything through."""
        self._gates.pop(route.name, None)
        return super().enter(route._replace(per_second=0.0), now, rank)


def simulate(tasks: int, hours: float = 2.75, processes: int = PROCESSES, learned: type[Learned] = Learned) -> Outage:
    """Let the provider be away for so long, and everything be done by processes that know nothing of each other."""
    back_at = _BEGINS + hours * 3600
    clock = Clock()
    service = ModelService(_scenario(back_at))
    jobs = _jobs(tasks, back_at)
    workers = [_Process(_router(service, clock, learned(seat / processes))) for seat in range(processes)]
    return _told(jobs, service, back_at, _work(jobs, workers, clock))


def _scenario(back_at: float) -> Scenario:
    """Both deployments of the provider throttle for the first half and are down for the second."""
    half = _BEGINS + (back_at - _BEGINS) / 2
    phases = (Phase(kind="429", start=_BEGINS, end=half, retry_after=30.0), Phase(kind="503", start=half, end=back_at))

    def deployment(limit: int) -> Deployment:
        quota = Quota(requests_per_minute=limit, burst=10.0)
        return Deployment(latency=Latency(fixed=_LATENCY), quota=quota, phases=phases)

    return Scenario(deployments={"ours": deployment(_PROVISIONED), "spill": deployment(_ON_DEMAND)})


def _router(service: ModelService, clock: Clock, learned: Learned) -> Router:
    def candidate(name: str, **more: str) -> Candidate:
        given = {"provider": "gemini", "url": "http://127.0.0.1:1/v1beta", "tokens_in": 150_000, "tokens_out": 600_000}
        return Candidate.model_validate({"name": name, "model": name, **given, **more})

    named = {one.name: one for one in (candidate("ours", kind="provisioned"), candidate("spill"))}
    known = routes(named.values())
    models = Deployments(lambda: named, {}, InProcess(service, clock))
    return Router(models, lambda: known, clock.now, learned)


def _jobs(tasks: int, back_at: float) -> list[Job]:
    """A few before, as many as were asked for while the provider is away, and people who go on asking afterwards."""
    times = [n * 2.0 for n in range(int(_BEGINS / 2))]
    times += [_BEGINS + (back_at - _BEGINS) * n / tasks for n in range(tasks)]
    jobs = [Job(n, _CLASSES[n * 7 % len(_CLASSES)], time) for n, time in enumerate(times)]
    return jobs + [Job(len(jobs) + n, "interactive", back_at + 10 + n * 15.0) for n in range(30)]


@dataclass(slots=True)
class _Process:
    """A queue's worker: its router, and how it heeds what it is told.

    A class that was told to wait is left alone until then, and so are those below it.
    """

    router: Router
    ready: list[tuple[int, float, int]] = field(default_factory=list)
    shut: dict[int, float] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)

    def opens(self, now: float) -> float:
        """Return from when on it can try the next task; never, when there is none."""
        while self.busy and self.busy[0] <= now:
            heapq.heappop(self.busy)
        if not self.ready:
            return math.inf
        rank = self.ready[0][0]
        shut = max((until for other, until in self.shut.items() if other <= rank), default=0.0)
        return max(shut, self.busy[0]) if len(self.busy) >= _WORKERS else shut

    def work(self, jobs: list[Job], now: float) -> Job | None:
        """Try the next task; return it when it is done."""
        rank, arrived, number = heapq.heappop(self.ready)
        job = jobs[number]
        wait = _try(job, self.router, now)
        if job.done_at is not None:
            heapq.heappush(self.busy, now + _LATENCY)
            return job
        if job.attempts < _ATTEMPTS:
            heapq.heappush(self.ready, (rank, arrived, number))
            self.shut[rank] = now + wait
        return None


def _work(jobs: list[Job], processes: list[_Process], clock: Clock) -> list[Change]:
    """Do all; return every change of how many wait."""
    changes = [Change(job.arrived, job.priority, 1) for job in jobs]
    arrivals = sorted((job.arrived, job.number) for job in jobs)[::-1]
    while True:
        while arrivals and arrivals[-1][0] <= clock.at:
            time, number = arrivals.pop()
            mine = processes[number % len(processes)]
            heapq.heappush(mine.ready, (RANKS[jobs[number].priority], time, number))
        opens = [process.opens(clock.at) for process in processes]
        first = min(range(len(processes)), key=opens.__getitem__)
        if opens[first] <= clock.at:
            done = processes[first].work(jobs, clock.at)
            changes += [Change(clock.at, done.priority, -1)] if done else []
            continue
        following = min(opens[first], arrivals[-1][0] if arrivals else math.inf)
        if following == math.inf:
            return changes
        clock.at = max(clock.at + 1e-6, following)


def _try(job: Job, router: Router, now: float) -> float:
    """Ask once; return the seconds until it is worth trying again. Throttling uses up no attempt."""
    terms = Terms("acme", 0, "summarise", "prices", priority=job.priority, attempt=job.attempts + 1)
    try:
        router.complete(job.prompt, job.purse, terms)
    except Throttled as error:
        return error.retry_after
    except Transient as error:
        job.attempts += 1
        return error.retry_after
    except FabricError:
        job.attempts = _ATTEMPTS
    else:
        job.done_at = now + _LATENCY
    return 0.0


def _told(jobs: list[Job], service: ModelService, back_at: float, changes: list[Change]) -> Outage:
    sent: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    during: Counter[str] = Counter()
    for entry in service.log.entries():
        if entry.time >= back_at:
            minute = int((entry.time - back_at) // _MINUTE)
            sent[minute] += 1
            answered[minute] += entry.kind == "ok"
        elif entry.time >= _BEGINS:
            during[entry.kind] += 1
    left: dict[int, Counter[str]] = {minute: Counter() for minute in range(max(sent) + 1)}
    for minute, waiting in left.items():
        end = back_at + (minute + 1) * _MINUTE
        for change in changes:
            waiting[change.priority] += change.by if change.at < end else 0
    minutes = {m: Minute(sent[m], answered[m], sent[m] - answered[m], left[m]) for m in left}
    return Outage(jobs, back_at, sum(job.done_at is None for job in jobs), minutes, during)


def table(outage: Outage) -> Table:
    """Return the rate against the capacity, minute by minute after the provider was back."""
    shown = Table(title=f"after the outage: {CAPACITY} calls a minute are what the provider takes")
    for heading in ("minute", "sent", "of capacity", "answered", "refused", *RANKS):
        shown.add_column(heading, justify="right")
    for number, minute in outage.minutes.items():
        waiting = [str(minute.waiting[priority]) for priority in RANKS]
        share = f"{minute.sent / CAPACITY:.0%}"
        figures = (minute.sent, minute.answered, minute.refused)
        shown.add_row(str(number + 1), str(figures[0]), share, *map(str, figures[1:]), *waiting)
    return shown


def rows(effort: Effort) -> Iterator[Row]:
    """Let the provider be away, and say what became of the tasks."""
    tasks = effort.pick(full=1_000, quick=1_000, tiny=60)
    outage = simulate(tasks, effort.pick(full=2.75, quick=2.75, tiny=0.25))
    if effort.size != "tiny":
        Console(stderr=True, width=110).print(table(outage))
    count = len(outage.jobs)
    calls = ", ".join(f"{number} of {kind}" for kind, number in sorted(outage.during.items()))
    yield Row("outage: tasks answered", "tasks", [outage.answered], target=at_least(count, "ours"), note=f"of {count}")
    note = f"of {count}; while the provider was away it was asked {sum(outage.during.values())} times: {calls}"
    yield Row("outage: paid once", "tasks", [outage.paid_once], target=at_least(count, "ours"), note=note)
    control = simulate(tasks, effort.pick(full=2.75, quick=2.75, tiny=0.25), learned=Ungated)
    note = (
        f"the busiest minute after it was back, of {PROCESSES} processes that know nothing of each other, refused calls"
        f" included; without the gates {control.peak}, of which {control.refused} refused in the whole recovery"
        f" instead of {outage.refused}"
    )
    yield Row("outage: peak of recovery", "calls/min", [outage.peak], "capacity", [CAPACITY], at_most(1.2), note)
    last = {priority: outage.waits(priority)[-1] for priority in RANKS}
    note = "the slowest interactive task next to the slowest background task, both since the provider was back"
    slowest = ([last["interactive"]], "background", [last["background"]])
    yield Row("outage: slowest interactive", "s", *slowest, at_most(0.5), note)
