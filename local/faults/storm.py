"""Storms of many tasks: plans by seed and part, run beside each other in processes, and what came of them.

A failure names the plan it happened in: the same seed, part, size and kinds always lead to it again.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from time import process_time
from typing import TYPE_CHECKING

from local.faults.kinds import Kind
from local.faults.oracle import findings
from local.faults.weather import Plan
from local.faults.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_TASKS = 2500  # of one part; more of them are more parts
_GARBAGE = 100_000  # objects, before the collector looks: a world is one large graph that lives to its end


@dataclass(frozen=True)
class Outcome:
    """What came of one plan."""

    plan: Plan
    wrong: tuple[str, ...]
    struck: Counter[Kind]
    kills: Counter[str]
    ends: Counter[str]
    events: int
    calls: int
    seconds: float  # of a processor

    @property
    def name(self) -> str:
        """The arguments that lead here again."""
        kinds = "" if self.plan.kinds == frozenset(Kind) else f" --only {','.join(sorted(self.plan.kinds))}"
        return f"--tasks {self.plan.tasks} --seed {self.plan.seed} --part {self.plan.part}{kinds}"


def plans(tasks: int, seeds: Iterable[int], kinds: frozenset[Kind], part: int | None = None) -> list[Plan]:
    """Return the parts of the storms of these seeds, each of `tasks` in all; one `part` has all of them."""
    whole = Plan(tasks=tasks, kinds=kinds)
    if part is not None:
        return [replace(whole, seed=seed, part=part) for seed in seeds]
    sizes = [min(MOST_TASKS, tasks - done) for done in range(0, tasks, MOST_TASKS)]
    return [replace(whole, seed=seed, part=number, tasks=size) for seed in seeds for number, size in enumerate(sizes)]


def endured(plan: Plan) -> Outcome:
    """Live through a storm."""
    began = process_time()
    before, logged = gc.get_threshold(), logging.root.manager.disable
    gc.set_threshold(_GARBAGE, 50, 50)
    logging.disable(logging.CRITICAL)  # the handlers log each fault that they are given
    world = World(plan)
    try:
        wrong = tuple(findings(world, rests=world.run()))
        return Outcome(
            plan,
            wrong,
            world.weather.struck,
            world.weather.kills,
            _ends(world),
            len(world.transport.known),
            world.provider.calls,
            process_time() - began,
        )
    finally:
        world.close()
        logging.disable(logged)
        gc.set_threshold(*before)


def _ends(world: World) -> Counter[str]:
    rows = world.database.connection.execute(
        "SELECT type, COUNT(*) FROM record_audit WHERE type IN"
        " ('task.completed', 'task.failed', 'task.cancelled', 'task.rejected') GROUP BY type"
    )
    return Counter({kind.removeprefix("task."): count for kind, count in rows})


def all_endured(found: list[Plan], processes: int) -> Iterator[Outcome]:
    """Live through storms, so many at a time; yield their outcomes in their order."""
    if processes == 1 or len(found) == 1:
        yield from map(endured, found)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(endured, found)
