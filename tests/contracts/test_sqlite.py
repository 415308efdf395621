from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from local.sqlite.broker import Broker
from local.sqlite.database import Database
from local.sqlite.documents import LocalDocuments
from local.sqlite.ledger import SqliteLedger
from local.sqlite.tasks import SqliteApprovals, SqliteJournal, SqliteOutbox, SqliteTasks
from shared.core.routes import Route
from tests.contracts.bus_contract import BusContract
from tests.contracts.documents_contract import Busy, DocumentsContract
from tests.contracts.tasks_contract import TasksContract

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """One file; whoever finds it locked is told so at once instead of after seconds."""
    made = Database(tmp_path / "fabric.db")
    made.connection.execute("PRAGMA busy_timeout = 0")
    yield made
    made.close()


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Hold the file's write lock, as another process would."""
    other = Database(database.path)
    try:
        with other.transaction():
            yield
    finally:
        other.close()


class SqliteStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.tasks = SqliteTasks(database)
        self.outbox = SqliteOutbox(database)
        self.journal = SqliteJournal(database)
        self.approvals = SqliteApprovals(database)
        self.ledger = SqliteLedger(database)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Lock the file."""
        with locked(self._database):
            yield


class TestSqliteTasks(TasksContract):
    fits = 3 * 1024 * 1024  # a file takes what no cloud's store does: a row ends at a gigabyte
    oversize = ()

    @pytest.fixture
    def store(self, database: Database) -> SqliteStore:
        """A file of its own."""
        return SqliteStore(database)


class TestLocalDocuments(DocumentsContract):
    foreign = ("file:///etc/passwd", "file:///tmp/../etc/passwd", "file://host/etc/passwd", "file:///%2e%2e/etc/passwd")
    unknown = "s3://bucket/key"
    missing = "blob:" + "0" * 64
    reads_when_busy = True  # https://www.sqlite.org/wal.html: readers do not wait for a writer

    @pytest.fixture
    def documents(self, database: Database) -> LocalDocuments:
        """Documents that no folder was given to."""
        return LocalDocuments(database)

    @pytest.fixture
    def busy(self, database: Database) -> Busy:
        """Lock the file."""
        return partial(locked, database)


class SqliteWires:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.bus = Broker(database)

    def received(self, route: Route) -> list[str]:
        """Return what waits."""
        return [message.body for message in self.bus.take(route, 0.0, 1000)]

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Lock the file."""
        with locked(self._database):
            yield


class TestBroker(BusContract):
    @pytest.fixture
    def wires(self, database: Database) -> SqliteWires:
        """A file of its own."""
        return SqliteWires(database)
