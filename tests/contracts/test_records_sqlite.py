from __future__ import annotations

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
        return SqliteRecords(self._database())

    def ports(self) -> Ports:
        return ports_with(self.records(), lambda: AT)

    def tamper(self, tenant: str, entity: str, sequence: int) -> None:
        self._execute("UPDATE record_audit SET type = 'x' WHERE tenant = ? AND entity = ? AND sequence = ?", tenant, entity, sequence)

    def forget(self, tenant: str, entity: str, sequence: int) -> None:
        self._execute("DELETE FROM record_audit WHERE tenant = ? AND entity = ? AND sequence = ?", tenant, entity, sequence)

    def _execute(self, statement: str, *values: str | int) -> None:
        with self._database().transaction() as connection:
            assert connection.execute(statement, values).rowcount == 1

    def close(self) -> None:
        for database in self._open:
            database.close()


class TestSqliteRecords(RecordsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        store = SqliteStore(tmp_path / "records.db")
        yield store
        store.close()
