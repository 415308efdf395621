"""Submitting tasks through the front door onto a SQLite file, next to SQLite writing the same rows."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.material import PERSON, TENANT, licences
from benchmarks.runner import Effort, Row, at_least, at_most, in_turns
from local.clock import RealClock
from local.engine import Engine
from local.sqlite.database import Database

_ACCEPTED = 202
_WRITTEN = ("tasks", "sequences", "inbox", "messages", "ledger_leases")
_MILLI = 1e3


def rows(effort: Effort) -> Iterator[Row]:
    """Measure the rate, and the slowest of a hundred."""
    size = effort.pick(full=2000, quick=500, tiny=3)
    slow: list[float] = []
    with TemporaryDirectory() as folder:
        template = Path(folder) / "template"
        _submissions(template, size)
        written = _rows_by_submission(template / "fabric.db", size)
        homes = (Path(folder) / str(number) for number in range(2 * effort.repeats))

        def through_the_door() -> float:
            took = _submissions(next(homes), size)
            slow.append(quantiles(took, n=100)[98] * _MILLI)
            return size / sum(took)

        ours, raw = in_turns(effort.repeats, through_the_door, lambda: size / _raw(next(homes), written))
    note = (
        f"{size} tasks onto a new SQLite file (WAL, NORMAL). Ours: API Gateway's envelope, validation, admission, one"
        " transaction, publishing to the broker in the same file, 202. The limit: SQLite alone, one transaction"
        " a task, with the rows that ours left."
    )
    yield Row("tasks submitted", "/s", ours, "limit: raw SQLite", raw, note=note)
    yield Row("tasks submitted, rate", "/s", ours, target=at_least(1667, "ours"), note="100,000 a minute.")
    yield Row(
        "tasks submitted, p99", "ms", slow, target=at_most(50, "ours"), note="The slowest of a hundred, per repeat."
    )


def _submissions(home: Path, size: int) -> list[float]:
    """Return what each submission took."""
    with Engine(home, RealClock()) as engine:
        bodies = [_body(engine, number) for number in range(size)]
        took = []
        for number, body in enumerate(bodies):
            began = time.perf_counter()
            status, _ = engine.call_api(
                "POST",
                "/tasks",
                claims={"sub": PERSON, "tenant": TENANT},
                body=body,
                headers={"Idempotency-Key": str(number)},
            )
            took.append(time.perf_counter() - began)
            assert status == _ACCEPTED
        assert _count(engine.database, "tasks") == size
    return took


def _body(engine: Engine, number: int) -> str:
    taxonomy = engine.documents.write(licences(may_ask=False), "application/toml")
    document = engine.documents.write(b"Permission is hereby granted", "text/plain", "LICENSE")
    asked = {
        "entity": f"package:{number}",
        "documents": [document.model_dump(mode="json")],
        "taxonomy": taxonomy.model_dump(mode="json"),
    }
    return json.dumps(asked)


def _rows_by_submission(file: Path, size: int) -> list[dict[str, list[Sequence[Any]]]]:
    """Return the rows of each submission by table, as they stand in the file."""
    connection = sqlite3.connect(file)
    tables = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in _WRITTEN}  # noqa: S608  fixed
    connection.close()
    return [{table: _share(found, number, size) for table, found in tables.items()} for number in range(size)]


def _share(found: list[Any], number: int, size: int) -> list[Sequence[Any]]:
    each = len(found) // size
    return found[number * each : (number + 1) * each]


def _raw(home: Path, written: list[dict[str, list[Sequence[Any]]]]) -> float:
    database = Database(home / "fabric.db")
    connection = database.connection
    began = time.perf_counter()
    for tables in written:
        connection.execute("BEGIN IMMEDIATE")
        for table, found in tables.items():
            marks = ",".join("?" * len(found[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", found)  # noqa: S608  fixed names
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    assert _count(database, "tasks") == len(written)
    database.close()
    return took


def _count(database: Database, table: str) -> int:
    found: int = database.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608  fixed names
    return found
