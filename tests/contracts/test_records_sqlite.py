from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from local.sqlite.database import Database
from local.sqlite.records import SqliteRecords
from tests.contracts.fakes import ports_with
from tests.contracts.records_contract import AT, RecordsContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shared.ports import Ports


class SqliteStore:
    """One file, and a connection for everybody who asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: list[Database] = []

    def _database(self) -> Database:
        self._open.append(Database(self._path))
        return self._open[-1]

    def records(self) -> SqliteRecords:
        """Return the port on a connection of its own."""
        return SqliteRecords(self._database())

    def ports(self) -> Ports:
        """Return ports around the records."""
        return ports_with(self.records(), lambda: AT)

    def tamper(self, tenant: str, entity: str, sequence: int) -> None:
        """Change the type of a recorded event behind the port's back."""
        self._execute("UPDATE record_audit SET type = 'x'", tenant, entity, sequence)

    def forget(self, tenant: str, entity: str, sequence: int) -> None:
        """Delete the row of a recorded event behind the port's back."""
        self._execute("DELETE FROM record_audit", tenant, entity, sequence)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the file's write lock, as another process would; whoever finds it so is told at once."""
        for database in self._open:
            database.connection.execute("PRAGMA busy_timeout = 0")
        with self._database().transaction():
            yield

    def _execute(self, words: str, tenant: str, entity: str, sequence: int) -> None:
        where = "WHERE tenant = ? AND entity = ? AND sequence = ?"
        with self._database().transaction() as connection:
            assert connection.execute(f"{words} {where}", (tenant, entity, sequence)).rowcount == 1

    def close(self) -> None:
        """Close all connections."""
        for database in self._open:
            database.close()


class TestSqliteRecords(RecordsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        """Yield a store on a file of its own."""
        store = SqliteStore(tmp_path / "records.db")
        yield store
        store.close()
