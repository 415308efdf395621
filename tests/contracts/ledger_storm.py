"""Seeded random spending by many replicas at once on a real store, with somebody who looks all the time.

Every replica has a seed, a clock that differs from the others', and a ledger whose postings fail now and then: not at
all, before they are written, or after. The order in which threads or processes get their turn is the machine's.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from local.faults.ledger_rules import Seen, everything, glimpse, problems, unbooked, unended
from shared.app import ledger as spending
from shared.core.draws import DrawAsk, Outcome
from shared.core.ledger import Draw, Lease, LeaseAsk, Limits, Posting
from shared.errors import Conflict, Forbidden, Permanent, Transient

if TYPE_CHECKING:
    from shared.ports import Ledger

EVENING = datetime(2026, 11, 30, 23, 50, tzinfo=UTC)  # a day and a month end meanwhile
LIMITS = Limits(day=8_000, month=20_000)
SKEW = 600  # seconds between the clocks that differ most
SEEDS = ("2026-11-21",)  # a storm that failed adds its seed
_PACE = 2.0  # seconds that pass with each operation
_SHIFT = 240.0  # seconds after which other runs begin, and the old ones are forgotten by those who worked for them
_RUNS, _CALLS = 4, 10
_LONG = 5_000  # operations after which nothing may have been missing
_OWN = 0.8  # how often a replica goes on with what it began
_CALL_WORKS = {"settle", "correct", "unknown", "release"}
_FAULTS = ("dead before", "dead after", "lost before", "lost after")
_REFUSALS = {"budget-used-up", "lease-over", "quota-used-up", "not-found"}
_WEIGHTS = {
    "open": 12,
    "draw": 30,
    "settle": 24,
    "unknown": 6,
    "correct": 5,
    "release": 5,
    "extend": 4,
    "close": 7,
    "reopen": 4,
    "expire": 3,
}


def operations(usual: int) -> int:
    """Return how many operations a storm has: what fits a usual run, or what the environment asks for."""
    return int(os.environ.get("AGENTFABRIC_OPERATIONS", usual))


class Dead(BaseException):
    """The replica is no more; another one takes its place."""


class Failing:
    """A ledger whose postings meet with accidents."""

    def __init__(self, inner: Ledger, chance: random.Random, share: float) -> None:
        self._inner = inner
        self._chance = chance
        self._share = share
        self.conflicts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def post(self, posting: Posting) -> None:
        """Post it, or not, and say so, or not."""
        fault = self._chance.choice(_FAULTS) if self._chance.random() < self._share else ""
        if "before" not in fault:
            self._really(posting)
        if "dead" in fault:
            raise Dead
        if "lost" in fault:
            raise Transient("nobody answered")

    def _really(self, posting: Posting) -> None:
        try:
            self._inner.post(posting)
        except Conflict:
            self.conflicts += 1
            raise


class Replica:
    """Spends at random; the same seed makes the same choices."""

    def __init__(self, ledger: Ledger, tenants: Sequence[str], seed: str, *, faults: float = 0.1) -> None:
        self._chance = random.Random(seed)
        self._tenants = tenants
        self._skew = self._chance.uniform(0, SKEW)
        self._done = 0
        self._leased: deque[tuple[str, str]] = deque(maxlen=6)
        self._drawn: deque[tuple[str, str, str]] = deque(maxlen=12)
        self._failing = Failing(ledger, self._chance, faults)
        self.ledger: Any = self._failing
        self.counts: Counter[str] = Counter()

    def now(self) -> datetime:
        """Return what this replica takes for the time."""
        return EVENING + timedelta(seconds=self._skew + self._done * _PACE)

    def spend(self, operations: int) -> Counter[str]:
        """Do so many things; return how they ended."""
        names = self._chance.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()), k=operations)
        for name in names:
            work = self._work(name)
            for _ in range(1 if self._chance.random() < 0.95 else 2):  # some messages come twice
                self.counts[f"{name}: {self._told(work)}"] += 1
            self._done += 1
        self.counts["conflict"] = self._failing.conflicts
        return self.counts

    def _told(self, work: Callable[[], object]) -> str:
        try:
            self._remember(work())
        except Dead:
            self._leased.clear()
            self._drawn.clear()
            return "dead"
        except (Forbidden, Permanent) as refused:
            if refused.code not in _REFUSALS:
                raise
            return refused.code
        except Transient:
            return "passing"
        return "done"

    def _remember(self, done: object) -> None:
        if isinstance(done, Lease):
            self._leased.append((done.tenant, done.id))
        elif isinstance(done, spending.Drawn):
            self._drawn.append((done.draw.tenant, done.draw.lease, done.draw.id))

    def _run(self) -> tuple[str, str]:
        """Return a run: more often one that this replica works for, else any that may be at work now."""
        if self._leased and self._chance.random() < _OWN:
            return self._chance.choice(self._leased)
        shift = int((self.now() - EVENING).total_seconds() // _SHIFT) - self._chance.randrange(2)
        return self._chance.choice(self._tenants), f"run-{shift:05}-{self._chance.randrange(_RUNS)}"

    def _call(self) -> tuple[str, str, str]:
        if self._drawn and self._chance.random() < _OWN:
            return self._chance.choice(self._drawn)
        return *self._run(), f"call-{self._chance.randrange(_CALLS)}"

    def _work(self, name: str) -> Callable[[], object]:
        return self._of_a_call(name) if name in _CALL_WORKS else self._of_a_run(name)

    def _of_a_run(self, name: str) -> Callable[[], object]:
        tenant, lease = self._run()
        at, amount = self.now().timestamp(), self._chance.randrange(100, 500)
        until = at + self._chance.choice((120, 600))
        asked = LeaseAsk(lease, lease, "document-review", "standard", amount, at, until)
        drawn = DrawAsk(
            *(f"call-{self._chance.randrange(_CALLS)}", 0, "classify", "embedded"),
            *(self._chance.randrange(60), "0" * 64, at, 90.0),
        )
        works: dict[str, Callable[[], object]] = {
            "open": lambda: spending.open_lease(self, tenant, asked, LIMITS),
            "reopen": lambda: spending.reopen(self, tenant, asked, LIMITS),
            "extend": lambda: spending.extend(self, tenant, lease, amount, LIMITS, until=until),
            "close": lambda: spending.close(self, tenant, lease),
            "expire": lambda: spending.expire(self, limit=10),
            "draw": lambda: spending.draw(self, tenant, lease, drawn),
        }
        return works[name]

    def _of_a_call(self, name: str) -> Callable[[], object]:
        tenant, lease, call = self._call()
        paid = Outcome(self._chance.randrange(62), 1, 1, "{}")  # now and then more than any worst case
        works: dict[str, Callable[[], object]] = {
            "settle": lambda: spending.settle(self, tenant, lease, call, paid),
            "correct": lambda: spending.correct(self, tenant, lease, call, paid),
            "unknown": lambda: spending.unknown(self, tenant, lease, call),
            "release": lambda: spending.release(self, tenant, lease, call),
        }
        return works[name]


@dataclass
class Reader:
    """Looks at rows that others change, and remembers what may not change again."""

    ledger: Ledger
    tenants: Sequence[str]
    looks: int = 0
    wrong: list[str] = field(default_factory=list)
    _leases: dict[tuple[str, str], Lease] = field(default_factory=dict)
    _settled: dict[tuple[str, str, str], Draw] = field(default_factory=dict)

    def look(self) -> None:
        """Look at every tenant once."""
        for tenant in self.tenants:
            seen = glimpse(self.ledger, tenant, self._leases)
            if seen is not None:
                self.looks += 1
                self.wrong += [*problems(seen, LIMITS), *unbooked(seen)]
                self.wrong += self._changed(seen)

    def _changed(self, seen: Seen) -> list[str]:
        settled = [drawn for draws in seen.draws.values() for drawn in draws if drawn.state == "settled"]
        wrong = [
            f"draw {drawn.id} of {drawn.lease} was settled and changed"
            for drawn in settled
            if self._settled.setdefault((drawn.tenant, drawn.lease, drawn.id), drawn) != drawn
        ]
        for lease in seen.leases:
            known = self._leases.get((lease.tenant, lease.id), lease)
            if lease.version < known.version or (lease.version == known.version and lease != known):
                wrong.append(f"lease {lease.id} went from {known} to {lease}")
            if lease.id in seen.draws:
                self._leases[lease.tenant, lease.id] = lease
        return wrong


class Store(Protocol):
    """A store of the ledger."""

    def ledger(self) -> Ledger:
        """Return the port, as one replica has it."""
        ...


def storm(store: Store, tenants: Sequence[str], seed: str, operations: int, replicas: int = 4) -> Counter[str]:
    """Let replicas spend at once while a reader looks, then let everything end; return how the operations ended."""
    works = [Replica(store.ledger(), tenants, f"{seed}-{number}") for number in range(replicas)]
    with watched(store.ledger(), tenants, f"seed {seed}"), ThreadPoolExecutor(replicas) as pool:
        counts = sum(pool.map(lambda one: one.spend(operations // replicas), works), Counter[str]())
    end(store.ledger(), tenants)
    return counts


def _look(reader: Reader, over: threading.Event) -> None:
    while not over.is_set():
        reader.look()


@contextmanager
def watched(ledger: Ledger, tenants: Sequence[str], story: str) -> Iterator[None]:
    """Let somebody look all the time that it takes; nothing wrong may be seen."""
    reader, over = Reader(ledger, tenants), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(_look, reader, over)
        try:
            yield
        finally:
            over.set()
        looking.result()
    assert reader.wrong == [], story
    assert reader.looks > 2, "nobody could look"


def end(ledger: Ledger, tenants: Sequence[str]) -> None:
    """Let all time be over: every lease ends, nothing is open, and calls that end later change nothing of that."""
    last = EVENING + timedelta(days=30)

    class Till:
        def __init__(self) -> None:
            self.ledger = ledger
            self.now = lambda: last

    till = Till()
    while spending.expire(till) or _wound_up(till):
        pass
    for tenant in tenants:
        seen = everything(ledger, tenant)
        assert [*unended(seen), *unbooked(seen), *problems(seen, LIMITS)] == []
        assert spending.quiet(Till(), tenant)
        for drawn in (drawn for draws in seen.draws.values() for drawn in draws if drawn.state != "settled"):
            spending.settle(Till(), tenant, drawn.lease, drawn.id, Outcome(drawn.worst // 2))
        while _wound_up(till):
            pass
        seen = everything(ledger, tenant)
        assert [*unended(seen), *unbooked(seen), *problems(seen, LIMITS)] == []
        assert seen.leases, "nobody ever leased anything"


def _wound_up(till: spending.Treasury) -> int:
    """Let leases rest that close; return how many did. Nobody keeps a bill here."""
    due = [lease for lease in till.ledger.overdue(till.now(), limit=100) if lease.state == "closing"]
    return sum(spending.wind_up(till, lease, _unseen, over=True) is not None for lease in due)


def _unseen(_: Lease) -> None:
    """Bill nothing."""


def check_it_was_a_storm(counts: Counter[str]) -> None:
    """A storm in which nothing happens shows nothing: work was done, replicas had accidents, a long one saw it all."""
    ends = Counter[str]()
    for told, count in counts.items():
        ends[told.partition(": ")[2]] += count
    assert all(counts[f"{name}: done"] for name in ("open", "draw", "settle", "close")), counts
    assert ends["dead"] + ends["passing"] > 0, counts
    if counts.total() >= _LONG:
        assert all(counts[f"{name}: done"] for name in _WEIGHTS), counts
        assert all(ends[name] for name in ("dead", "passing", *_REFUSALS - {"quota-used-up"})), counts


class LedgerStorm:
    """Storms on one store; its test class says how many operations are `usual` there, and how many one store bears."""

    usual: int
    most = 10_000

    def anew(self, store: Store) -> None:
        """Forget what earlier storms have left, where the store gets slow by it."""

    @pytest.mark.timeout(3600)
    @pytest.mark.parametrize("seed", SEEDS)
    def test_nothing_leaks_while_many_spend_at_random(self, store: Store, tenant: str, seed: str) -> None:
        """Whoever looks while replicas spend, die and repeat themselves finds the invariant, and then all ends."""
        counts, asked = Counter[str](), operations(self.usual)
        for number in range(-(-asked // self.most)):
            tenants = (f"{tenant}-{number}a", f"{tenant}-{number}b")
            counts += storm(store, tenants, f"{seed}-{number}", min(asked, self.most))
            self.anew(store)
        check_it_was_a_storm(counts)
