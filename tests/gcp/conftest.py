"""The two functions, served by functions-framework's own app, on SQLite or on ports that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
import pytest

from gcp import wiring
from local.sqlite.database import Database
from local.sqlite.records import SqliteRecords
from tests.contracts.fakes import ports_with
from tests.contracts.records_contract import AT
from tests.gcp import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient

    from shared.ports import Records


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test choose the environment that wiring reads once."""
    for forget in (wiring.gate.cache_clear, wiring._source.cache_clear):
        forget()
    monkeypatch.setenv("AGENTFABRIC_PORTS", "tests.gcp.served:ports")
    monkeypatch.setenv("AGENTFABRIC_AUTH", "none")
    yield monkeypatch
    for forget in (wiring.gate.cache_clear, wiring._source.cache_clear):
        forget()


@pytest.fixture
def records(settings: pytest.MonkeyPatch) -> Iterator[Records]:  # noqa: ARG001  wiring finds the ports through it
    """Serve a record in memory."""
    database = Database(None)
    mine = SqliteRecords(database)
    token = served.CURRENT.set(ports_with(mine, lambda: AT))
    yield mine
    served.CURRENT.reset(token)
    database.close()


def client(target: str, root: Path) -> FlaskClient:
    """Return a client of one function."""
    app: Flask = functions_framework.create_app(target, str(root / "gcp" / "main.py"))
    return app.test_client()


@pytest.fixture
def recorder(records: Records, root: Path) -> FlaskClient:  # noqa: ARG001  what it writes to
    """Return a client of `record`."""
    return client("record", root)


@pytest.fixture
def asker(records: Records, root: Path) -> FlaskClient:  # noqa: ARG001  what it reads from
    """Return a client of `query`."""
    return client("query", root)
