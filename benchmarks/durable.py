"""The replay hub on a SQLite file: chains and fan-outs of activities, next to SQLite's commits alone and to DBOS."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import azure.durable_functions as df

from benchmarks.dbos import ENVIRONMENT, Dbos
from benchmarks.runner import Effort, Row, Target, at_least, in_turns
from local.durable.store import Store
from local.functions_host import FunctionsHost
from local.sqlite.database import Database

CHAIN, FAN = 5, 20
_DONE = "Completed"
_DURABILITIES = {
    "as it comes": "as DBOS opens it (a rollback journal, every commit synced)",
    "in WAL": "set to WAL and NORMAL like ours",
}


def rows(effort: Effort) -> Iterator[Row]:
    """Measure chains and fan-outs, orchestrations started together."""
    count = effort.pick(full=100, quick=30, tiny=2)
    with TemporaryDirectory() as folder:
        homes = (Path(folder) / str(number) for number in range(100))
        for kind, steps in (("chain", CHAIN), ("fan", FAN)):
            yield _limit(effort, kind, steps, count, homes)
        yield from _next_to_dbos(effort, count, homes)


def _limit(effort: Effort, kind: str, steps: int, count: int, homes: Iterator[Path]) -> Row:
    ours, raw = in_turns(
        effort.repeats,
        lambda: count / _orchestrate(next(homes), kind, count),
        lambda: count / _commits(next(homes), steps, count),
    )
    note = (
        f"{count} orchestrations of {steps} activities each, through the unmodified SDK, started together onto a new"
        " SQLite file (WAL, NORMAL), one thread. The limit: SQLite alone, three commits of one row for each activity"
        " (claimed, done, taken in)."
    )
    return Row(f"orchestrations, {_named(kind)}", "/s", ours, "limit: raw commits", raw, note=note)


def _next_to_dbos(effort: Effort, count: int, homes: Iterator[Path]) -> Iterator[Row]:
    targets = {"chain": at_least(3.0), "fan": at_least(5.0)}
    python = ENVIRONMENT.find() if effort.peers else None
    if python is None:
        reason = "its environment could not be made" if effort.peers else "not asked for, --peers does"
        for kind, target in targets.items():
            yield Row(f"{_named(kind)}, DBOS", "/s", (), "DBOS on SQLite", (), target, f"Skipped: {reason}.")
        return
    for durability, words in _DURABILITIES.items():
        with closing(Dbos(python, next(homes), durability)) as dbos:
            for kind, target in targets.items():
                yield _against(dbos, effort, kind, count, homes, target, words)


def _against(
    dbos: Dbos, effort: Effort, kind: str, count: int, homes: Iterator[Path], target: Target, words: str
) -> Row:
    dbos.run(kind, 2)
    ours, theirs = in_turns(
        effort.repeats, lambda: count / _orchestrate(next(homes), kind, count), lambda: count / dbos.run(kind, count)
    )
    note = (
        f"{count} workflows started together. DBOS {dbos.version} in a process of its own, its file {words}: steps one"
        " after the other, or async steps gathered; each recorded before the next depends on it. Ours: WAL, NORMAL."
    )
    return Row(f"{_named(kind)}, DBOS {dbos.durability}", "/s", ours, "DBOS on SQLite", theirs, target, note)


def _named(kind: str) -> str:
    return f"chain of {CHAIN}" if kind == "chain" else f"fan-out of {FAN}"


class _App:
    """The functions, which the SDK hands out only once."""

    def __init__(self) -> None:
        self._functions = list(_made().get_functions())

    def get_functions(self) -> Sequence[Any]:
        """Return the functions."""
        return self._functions


_app = cache(_App)


def _made() -> df.DFApp:
    app, blueprint = df.DFApp(), df.Blueprint()

    def double(number: int) -> int:
        return 2 * number

    def chain(context: Any) -> Generator[Any, Any, int]:  # noqa: ANN401  the SDK's context has no types
        number = 1
        for _ in range(CHAIN):
            number = yield context.call_activity("double", number)
        return number

    def fan(context: Any) -> Generator[Any, Any, int]:  # noqa: ANN401  as above
        found = yield context.task_all([context.call_activity("double", number) for number in range(FAN)])
        return sum(found)

    blueprint.activity_trigger(input_name="number")(double)
    for flow in (chain, fan):
        blueprint.orchestration_trigger(context_name="context", orchestration=flow.__name__)(flow)
    app.register_functions(blueprint)
    return app


def expected(kind: str) -> int:
    """Return what an orchestration has to come to."""
    return 2**CHAIN if kind == "chain" else sum(2 * number for number in range(FAN))


def _orchestrate(home: Path, kind: str, count: int) -> float:
    """Return the seconds that `count` orchestrations take from their start to their end."""
    with (
        closing(Database(home / "hub.db")) as database,
        closing(FunctionsHost(_app(), Store(database), lambda: datetime.now(UTC))) as host,
    ):
        began = time.perf_counter()
        for number in range(count):
            host.hub.start(kind, f"o{number}")
        host.hub.run_until_idle()
        took = time.perf_counter() - began
        for number in range(count):
            found = host.hub.status(f"o{number}")
            assert found is not None
            assert found.status == _DONE
            assert json.loads(found.output or "null") == expected(kind)
    return took


def _commits(home: Path, steps: int, count: int) -> float:
    with closing(Database(home / "raw.db")) as database:
        database.connection.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        began = time.perf_counter()
        for _ in range(3 * steps * count):
            database.connection.execute("INSERT INTO steps (body) VALUES ('{\"result\": 2}')")
        took = time.perf_counter() - began
        assert database.connection.execute("SELECT COUNT(*) FROM steps").fetchone() == (3 * steps * count,)
    return took
