"""Pushes into the record: in batches next to SQLite alone, one at a time next to a function that does nothing."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import functions_framework

from benchmarks.material import events_of
from benchmarks.runner import Effort, Row, each, in_turns
from local.clock import RealClock
from local.engine import Engine
from local.sqlite.database import Database
from shared.core.routes import Route
from shared.events.catalog import AnyEvent, encode

if TYPE_CHECKING:
    from flask import Flask

_BATCH = 500  # what the engine pushes in one transaction
_RECORD = Path(__file__).parents[1] / "gcp" / "main.py"
_HELLO = 'def hello(request):\n    return "Hello"\n'
_MICRO = 1e6


def rows(effort: Effort) -> Iterator[Row]:
    """Measure batches, then single pushes."""
    entities = effort.pick(full=200, quick=60, tiny=2)
    events = [event for number in range(entities) for event in events_of(f"e{number}")]
    yield _batches(effort, events)
    yield _single(effort, events)


def _batches(effort: Effort, events: list[AnyEvent]) -> Row:
    count = len(events)
    with TemporaryDirectory() as folder:
        homes = (Path(folder) / str(number) for number in range(2 * effort.repeats + 1))
        template = next(homes)
        _recorded(template, events)
        audit, billing = _rows_of(template)
        ours, raw = in_turns(
            effort.repeats,
            lambda: count / _recorded(next(homes), events),
            lambda: count / _raw(next(homes), audit, billing),
        )
    note = (
        f"{count} events of {count // 19} entities, {_BATCH} a transaction, onto a new file. Ours: takes them from the"
        " broker, wraps each in Pub/Sub's push, calls the function, which parses it, checks its order and chains its"
        " hash; deletes the message. The limit: executemany of the same audit, billing and entity rows."
    )
    return Row("events recorded", "/s", ours, "limit: raw SQLite", raw, note=note)


def _recorded(home: Path, events: list[AnyEvent]) -> float:
    with Engine(home, RealClock()) as engine:
        engine.work()  # what starts with the first turn
        engine.broker.publish([(Route.RECORDS, event) for event in events])
        began = time.perf_counter()
        engine.work()
        took = time.perf_counter() - began
        assert engine.database.connection.execute("SELECT COUNT(*) FROM record_audit").fetchone() == (len(events),)
    return took


def _rows_of(home: Path) -> tuple[list[Any], list[Any]]:
    database = Database(home / "fabric.db")
    read = database.connection.execute
    audit = read("SELECT * FROM record_audit ORDER BY entity, sequence").fetchall()
    billing = read("SELECT * FROM record_billing ORDER BY entity, sequence").fetchall()
    database.close()
    return audit, billing


def _raw(home: Path, audit: list[Any], billing: list[Any]) -> float:
    database = Database(home / "fabric.db")
    write = database.connection.executemany
    batches = -(-len(audit) // _BATCH)
    share = -(-len(billing) // batches)
    began = time.perf_counter()
    for batch in range(batches):
        rows = audit[batch * _BATCH : (batch + 1) * _BATCH]
        with database.transaction():
            write("INSERT INTO record_audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            write("INSERT OR REPLACE INTO record_entities VALUES (?, ?, ?, ?)", [(*row[:3], row[8]) for row in rows])
            write(
                f"INSERT INTO record_billing VALUES ({', '.join('?' * len(billing[0]))})",  # noqa: S608  marks alone
                billing[batch * share : (batch + 1) * share],
            )
    took = time.perf_counter() - began
    assert database.connection.execute("SELECT COUNT(*) FROM record_audit").fetchone() == (len(audit),)
    database.close()
    return took


def _single(effort: Effort, events: list[AnyEvent]) -> Row:
    pushes = [_push(event) for event in events]
    with TemporaryDirectory() as folder:
        source = Path(folder) / "main.py"
        source.write_text(_HELLO)
        hello = functions_framework.create_app("hello", str(source))
        record = functions_framework.create_app("record", str(_RECORD))
        ours, theirs = in_turns(effort.repeats, lambda: _recording(record, pushes), lambda: _greeting(hello, pushes))
    note = (
        "One HTTP request each, through functions-framework's own WSGI app. Ours: gcp/main.py's `record`, a"
        " transaction of its own for each event, SQLite in memory. The peer: the framework and a function that"
        " says hello, so what the framework itself costs."
    )
    return Row("push recorded, one at a time", "µs", ours, "functions-framework hello", theirs, note=note)


def _recording(app: Flask, pushes: list[bytes]) -> float:
    with Engine(None, RealClock()) as engine:
        took = _post_all(app, pushes, "204 NO CONTENT")
        assert engine.database.connection.execute("SELECT COUNT(*) FROM record_audit").fetchone() == (len(pushes),)
    return took


def _greeting(app: Flask, pushes: list[bytes]) -> float:
    return _post_all(app, pushes, "200 OK")


def _post_all(app: Flask, pushes: list[bytes], expected: str) -> float:
    """Return what a request takes, in microseconds."""
    answers: list[str] = []
    requests = iter([_environ(body) for body in pushes])

    def start(status: str, _headers: object, _error: object = None) -> Callable[[bytes], object]:
        answers.append(status)
        return lambda _: None  # WSGI's old way to write, which nobody takes

    def post() -> None:
        b"".join(app.wsgi_app(next(requests), start))

    took = each(post, len(pushes), scale=_MICRO)()
    assert set(answers) == {expected}
    return took


def _push(event: AnyEvent) -> bytes:
    """https://cloud.google.com/pubsub/docs/push#receive_push ."""
    attributes = {"tenant": event.tenant, "partitionkey": event.entity, "sequence": str(event.sequence)}
    data = base64.b64encode(encode(event).encode()).decode()
    message = {"data": data, "attributes": attributes, "messageId": "1", "message_id": "1"}
    return json.dumps({"message": message, "subscription": "projects/local/subscriptions/records"}).encode()


def _environ(body: bytes) -> dict[str, Any]:
    """PEP 3333."""
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
