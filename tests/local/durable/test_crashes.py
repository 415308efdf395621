from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import pytest

from local.durable.hub import Options
from local.durable.store import Store
from local.sqlite.database import Database

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from tests.local.durable.conftest import App, Rig

Context = Any
Flow = Generator[Any, Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
RESULT = ["decided 7", [10, 1010, 2010], "third time", 6]


class Crash(BaseException):
    """The process dies; nothing may catch it."""


class Mortal(Database):
    """A database whose process dies at its n-th commit, right before or right after it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits = 0
        self.dies_at = 0
        self.dies_after = False

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Die around the commit of an outermost transaction."""
        outermost = self._depth == 0
        with super().transaction() as connection:
            yield connection
            self.commits += outermost
            dying = outermost and self.commits == self.dies_at
            if dying and not self.dies_after:
                raise Crash
        if dying:
            raise Crash


class World:
    """Effects that outlive the processes."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()

    def build(self, app: App) -> None:
        """Register a flow that uses everything the hub offers."""
        app.activity(self.scale)
        app.activity(self.moody)
        app.orchestrator(item)
        app.orchestrator(loop)
        app.orchestrator(flow)

    def scale(self, number: int) -> int:
        """Leave a trace, return ten times the number."""
        self.effects[f"scale {number}"] += 1
        return 10 * number

    def moody(self, key: str) -> str:
        """Succeed from the third attempt on."""
        self.effects[key] += 1
        if self.effects[key] < 3:
            raise RuntimeError(key)
        return "third time"


def item(context: Context) -> Flow:
    """Two activities in a row."""
    first = yield context.call_activity("scale", context.get_input())
    return (yield context.call_activity("scale", first + 1))


def loop(context: Context) -> Flow:
    """Count down by continue_as_new."""
    left, total = context.get_input()
    if left == 0:
        return total
    context.continue_as_new([left - 1, total + left])
    yield context.call_activity("scale", -1)
    return None


def flow(context: Context) -> Flow:
    """A race, a fan-out, a retry and a loop."""
    decision = context.wait_for_external_event("go")
    timer = context.create_timer(context.current_utc_datetime + timedelta(days=2))
    yield context.task_any([decision, timer])
    timer.cancel()
    items = yield context.task_all([context.call_sub_orchestrator("item", number) for number in range(0, 30, 10)])
    kept = yield context.call_activity_with_retry("moody", df.RetryOptions(1000, 9), "moody")
    counted = yield context.call_sub_orchestrator("loop", [3, 0])
    return [f"decided {decision.result}", items, kept, counted]


def drive(rig: Rig) -> None:
    """Do what a client does, again from the start after every crash."""
    rig.hub.start("flow", "f")
    rig.hub.run_until_idle()
    rig.hub.raise_event("f", "go", "7")
    rig.play()


def lives(rig: Rig, world: World, dies_at: int, *, dies_after: bool) -> bool:
    """Drive until the end, dying once; return whether it died."""
    opened: list[Mortal] = []

    def open_(path: Path) -> Database:
        opened.append(Mortal(path))
        return opened[-1]

    rig.restart(world.build, open_)
    opened[0].commits, opened[0].dies_at, opened[0].dies_after = 0, dies_at, dies_after
    try:
        drive(rig)
    except Crash:
        rig.restart(world.build)
        drive(rig)
        return True
    return False


@pytest.mark.parametrize("keep_history", [True, False])
@pytest.mark.parametrize("dies_after", [False, True])
def test_dying_at_any_commit_loses_nothing_and_repeats_at_most_one_activity(
    make_rig: Callable[..., Rig], *, dies_after: bool, keep_history: bool
) -> None:
    """Whichever commit the process dies at, the outcome is right and at most one effect happens twice."""
    for dies_at in count(1):
        world = World()
        rig = make_rig(world.build, Options(keep_history=keep_history))
        died = lives(rig, world, dies_at, dies_after=dies_after)
        assert rig.outcome("f") == ("Completed", RESULT), dies_at
        scaled = [times for key, times in world.effects.items() if key.startswith("scale")]
        assert len(scaled) == 6
        assert sum(scaled) + world.effects["moody"] - 9 <= died
        assert rig.count("durable_activities") == rig.count("durable_messages") == 0
        if not died:
            assert dies_at > 40
            return


def test_claims_of_a_dead_process_are_taken_back(make_rig: Callable[..., Rig]) -> None:
    """An activity in whose middle the process dies is run again by the next one."""
    attempts: list[int] = []

    def deadly(number: int) -> int:
        attempts.append(number)
        if len(attempts) == 1:
            raise Crash
        return number

    def short(context: Context) -> Flow:
        return (yield context.call_activity("deadly", 5))

    def build(app: App) -> None:
        app.activity(deadly)
        app.orchestrator(short)

    rig = make_rig(build)
    rig.hub.start("short", "s")
    with pytest.raises(Crash):
        rig.hub.run_until_idle()
    rig.hub.run_until_idle()
    assert rig.outcome("s") == ("Running", None)
    rig.restart(build)
    rig.hub.run_until_idle()
    assert rig.outcome("s") == ("Completed", 5)
    assert attempts == [5, 5]


def test_every_episode_can_be_another_process(make_rig: Callable[..., Rig]) -> None:
    """An instance whose state is read back from the file before each unit comes to the same end."""
    world = World()
    rig = make_rig(world.build)
    rig.hub.start("flow", "f")
    rig.hub.run_until_idle()
    rig.hub.raise_event("f", "go", "7")
    while (due := rig.hub.next_due()) is not None:
        rig.clock.now = max(rig.clock.now, due)
        rig.restart(world.build)
        rig.hub.run_once()
    assert rig.outcome("f") == ("Completed", RESULT)


def test_work_inside_a_transaction_that_is_rolled_back_did_not_happen(make_rig: Callable[..., Rig]) -> None:
    """The hub's writes belong to the caller's transaction, and its memory notices when that one is undone."""
    world = World()
    rig = make_rig(world.build)
    rig.hub.start("flow", "f")
    rig.hub.run_until_idle()

    def do_all_and_die() -> None:
        with rig.database.transaction():
            rig.hub.raise_event("f", "go", "7")
            rig.hub.run_until_idle()
            raise Crash

    with pytest.raises(Crash):
        do_all_and_die()
    assert rig.outcome("f") == ("Running", None)
    assert rig.count("durable_instances") == 1
    rig.hub.raise_event("f", "go", "7")
    rig.play()
    assert rig.outcome("f") == ("Completed", RESULT)


def test_small_cache_changes_no_outcome(make_rig: Callable[..., Rig]) -> None:
    """A hub that keeps one history in memory reads the others back and ends the same."""
    world = World()
    rig = make_rig(world.build, Options(cached=1))
    drive(rig)
    assert rig.outcome("f") == ("Completed", RESULT)


def test_tables_share_a_file_and_are_made_once(make_rig: Callable[..., Rig]) -> None:
    """Opening the store again leaves what is there, and all its tables begin with durable_."""
    rig = make_rig(World().build)
    connection = rig.database.connection
    before = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    rig.hub.start("flow", "f")
    Store(rig.database)
    after = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert before == after
    assert {"durable_instances", "durable_history", "durable_messages", "durable_activities"} <= after
    assert rig.outcome("f") == ("Pending", None)
