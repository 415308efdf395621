"""The weather: what strikes an access or a message, drawn from a seed. The same plan always has the same weather.

Decides and counts; whatever needs the world (letting others work, letting time pass) it asks the world for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from local.faults.kinds import USUAL, Kind, Rates
from local.faults.process import EFFECTS, Death
from shared.errors import Transient

if TYPE_CHECKING:
    from local.faults.process import Process

_NO_STORES = frozenset({"models", "settings"})
_AWAY = {Kind.CACHE_DOWN: ("cache.", 0.2), Kind.LEDGER_DOWN: ("ledger.", 0.1)}  # whose accesses, and for how long


@dataclass(frozen=True)
class Plan:
    """All that decides a storm: `part` of `seed`, so many tasks, and what is about how often."""

    seed: int = 1
    part: int = 0
    tasks: int = 1000
    kinds: frozenset[Kind] = frozenset(Kind)
    rates: Rates = USUAL
    method: str = ""  # the one access that fails, and in `share` of its calls; `*` for each of them
    share: float = 0.0


class Interruptions(Protocol):
    """What the weather asks of the world."""

    def let_others_work(self, process: Process, turns: int) -> None:
        """Let other processes take their turns now, those first that get into this one's way."""
        ...

    def outlive_leases(self, process: Process) -> None:
        """Let this process stop for so long that others take over what it does."""
        ...

    def now(self) -> float:
        """Return the true time."""
        ...


@dataclass
class Weather:
    """Counts what it does by kind and by access."""

    plan: Plan
    world: Interruptions
    struck: Counter[Kind] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    struck_at: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def __post_init__(self) -> None:
        self.chance = Random(f"{self.plan.seed}/{self.plan.part}/weather")  # noqa: S311  repeatable, not secret
        self._away: dict[tuple[Kind, int], bool] = {}
        self._fates: dict[str, tuple[tuple[float, Kind], ...]] = {}

    def has(self, kind: Kind) -> bool:
        """Tell whether a kind is about."""
        return not self.over and kind in self.plan.kinds

    def happens(self, kind: Kind, rates: dict[Kind, float]) -> bool:
        """Draw whether it happens now, and count it if so."""
        if self.over or kind not in self.plan.kinds or self.chance.random() >= rates[kind]:
            return False
        self.struck[kind] += 1
        return True

    def strike(self, process: Process, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401  as the port has it
        """Do the work, or let something happen to it."""
        if self.over:
            return work()
        if process.failing:
            process.failing -= 1
            if not process.failing:
                raise Transient(f"{name} failed in the middle of a batch")
        self._check_away(name)
        drawn = self.chance.random()
        fates = self._fates.get(name) or self._fates_of(name)
        if drawn >= fates[-1][0]:
            return work()
        kind = next(kind for bound, kind in fates if drawn < bound)
        self.struck[kind] += 1
        self.struck_at[name] += 1
        return self._strike(kind, process, name, work)

    def _fates_of(self, name: str) -> tuple[tuple[float, Kind], ...]:
        """Return what may happen to an access, each with the upper bound of the draws that lead to it."""
        if self.plan.method:
            self._fates[name] = tuple((self._share(name), kind) for kind in self.plan.kinds)
            return self._fates[name]
        kinds = [Kind.CRASH_BEFORE, Kind.TIMEOUT, Kind.EXHAUSTED, Kind.ZOMBIE, Kind.RIVALS]
        if name in EFFECTS or name == "models.complete":
            kinds.append(Kind.CRASH_AFTER)
        if name in EFFECTS:
            kinds.append(Kind.LOST_ANSWER)
        if name == "bus.publish":
            kinds.append(Kind.CRASH_UNSENT)
        if name == "models.complete":
            kinds = [kind for kind in kinds if kind not in {Kind.TIMEOUT, Kind.EXHAUSTED}]  # PROVIDER does that
        bound, fates = 0.0, []
        for kind in kinds:
            if kind in self.plan.kinds:
                bound += self.plan.rates.accesses[kind]
                fates.append((bound, kind))
        self._fates[name] = tuple(fates) or ((0.0, Kind.RIVALS),)
        return self._fates[name]

    def _share(self, name: str) -> float:
        """Return how often an access fails, where one alone does."""
        fails = self.plan.method in {"*", name} and name.partition(".")[0] not in _NO_STORES
        return self.plan.share if fails and (name in EFFECTS or Kind.LOST_ANSWER not in self.plan.kinds) else 0.0

    def _strike(self, kind: Kind, process: Process, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401  as the port has it
        if kind in {Kind.CRASH_BEFORE, Kind.CRASH_UNSENT}:
            raise self.kill(process, f"before {name}")
        if kind is Kind.CRASH_AFTER:
            work()
            raise self.kill(process, f"after {name}")
        if kind is Kind.LOST_ANSWER:
            work()
            raise Transient(f"the answer of {name} was lost")
        if kind is Kind.ZOMBIE:
            self.world.outlive_leases(process)
            return work()
        if kind is Kind.RIVALS:
            self.world.let_others_work(process, 1 + self.chance.randrange(3))
            return work()
        raise Transient(f"{name}: {kind}", retry_after=0.5)

    def kill(self, process: Process, where: str) -> Death:
        """Kill a process, and return what ends it."""
        self.kills[where] += 1
        return process.die(where)

    def _check_away(self, name: str) -> None:
        """Raise Transient while the access's store is away."""
        for kind, (whose, seconds) in _AWAY.items():
            if name.startswith(whose) and kind in self.plan.kinds:
                spell = (kind, int(self.world.now() / seconds))
                away = self._away.get(spell)
                if away is None:
                    chance = Random(f"{self.plan.seed}/{spell}").random()  # noqa: S311  repeatable, not secret
                    away = self._away[spell] = chance < self.plan.rates.accesses[kind]
                if away:
                    self.struck[kind] += 1
                    raise Transient(f"{name}: the store is away", retry_after=1.0)
