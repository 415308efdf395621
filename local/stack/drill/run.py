"""A drill on a stack that runs: kill one part after the other in the middle of the work, then prove that all holds.

Knows the supervisor, the work and the proof; prints nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.stack import state
from local.stack.drill import evidence
from local.stack.drill.corpus import batches
from local.stack.drill.patience import PatientClient
from local.stack.drill.proof import Evidence, problems
from local.stack.drill.work import Work
from shared.errors import Permanent

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack.part import Part
    from local.stack.supervisor import Supervisor

_FIRST, _LAST = 0.05, 0.85  # of the documents: the middle of the work
_REST_SECONDS = 180.0
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Blow:
    """A part to be struck when so many documents have ended."""

    part: str
    killed: bool
    after: int


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a blow: how many documents had ended, how long the part was away, and how the record stood then."""

    part: str
    killed: bool
    done: int
    downtime: float
    doubled: int
    in_order: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drill ended; without problems all holds."""

    rows: tuple[Row, ...]
    found: Evidence
    documents: int
    problems: tuple[str, ...]
    seconds: float


def blows(parts: Sequence[Part], documents: int, seed: int) -> list[Blow]:
    """Return when each part with a process is struck, in an order and at moments that the seed decides."""
    chance = random.Random(seed)  # noqa: S311  repeatable, not secret
    struck = [part for part in parts if part.command is not None]
    chance.shuffle(struck)
    width = (_LAST - _FIRST) / max(1, len(struck))
    moments = [_FIRST + width * (position + chance.random()) for position in range(len(struck))]
    return [
        Blow(part.name, part.killable, int(documents * moment)) for part, moment in zip(struck, moments, strict=True)
    ]


@dataclass(frozen=True)
class Drill:
    """A drill in the stack's `folder`; `told` hears of every row."""

    folder: Path
    supervisor: Supervisor
    told: Callable[[Row], None] = lambda _row: None

    def run(self, plan: Sequence[Blow], documents: int, mark: str) -> Outcome:
        """Strike as planned while the work goes on, wait until everything is at rest, and prove."""
        began, ran = time.monotonic(), self._running()
        client = PatientClient(state.facts(self.folder))
        work = Work(client, batches(documents, mark))
        with evidence.opened(state.facts(self.folder)) as home:
            work.start()
            rows = tuple(self._strike(blow, work, client) for blow in plan if work.failure is None)
            work.join()
            self._await_rest(client, home, work)
            found = evidence.gathered(client, home, work.submitted)
        wrong = problems(work.submitted, found) + self._gone(ran)
        wrong += [f"{row.part} was struck when the work was over" for row in rows if row.done >= documents]
        return Outcome(rows, found, documents, tuple(wrong), time.monotonic() - began)

    def _strike(self, blow: Blow, work: Work, client: PatientClient) -> Row:
        done = work.wait_for(blow.after)
        began = time.monotonic()
        self.supervisor.restart(blow.part, kill=blow.killed)
        downtime = time.monotonic() - began
        seen = evidence.glimpsed(client, list(work.submitted))
        row = Row(blow.part, blow.killed, done, downtime, seen.doubled, seen.in_order)
        self.told(row)
        return row

    def _await_rest(self, client: PatientClient, home: evidence.Home, work: Work) -> None:
        """Wait until nothing is on its way: what is pending is not lost. The proof tells what never came to rest."""
        deadline = time.monotonic() + _REST_SECONDS
        while not evidence.at_rest(client, home, work.submitted) and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)

    def _running(self) -> set[str]:
        current = state.load(self.folder)
        ran = {name for name in current.entries if current.lives(name)}
        if not ran:
            raise Permanent(f"no stack runs in {self.folder}", code="not-up")
        return ran

    def _gone(self, ran: set[str]) -> list[str]:
        return [f"{name} has ended by itself" for name in sorted(ran - self._running())]
