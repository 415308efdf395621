from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from local.sqlite.database import Database
from local.sqlite.ledger import SqliteLedger
from tests.contracts.ledger_contract import LedgerContract
from tests.contracts.ledger_storm import LedgerStorm, storm
from tests.core.ledger_planted import PLANTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SqliteStore:
    """One file, and a connection for every replica."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: list[Database] = []

    def ledger(self) -> SqliteLedger:
        """Return the port on a connection of its own."""
        self._open.append(Database(self._path))
        return SqliteLedger(self._open[-1])

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Lock the file; whoever finds it locked is told so at once instead of after seconds."""
        for database in self._open:
            database.connection.execute("PRAGMA busy_timeout = 0")
        other = Database(self._path)
        with other.transaction():
            yield
        other.close()

    def close(self) -> None:
        """Close all connections."""
        for database in self._open:
            database.close()


class TestSqliteLedger(LedgerContract, LedgerStorm):
    usual = 10_000

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        """A file of its own."""
        store = SqliteStore(tmp_path / "ledger.db")
        yield store
        store.close()

    @pytest.mark.parametrize(
        "bug", ["loses the conflict check", "closes without returning", "forgets the books", "settles twice"]
    )
    def test_a_storm_finds_planted_bugs(self, store: SqliteStore, bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Threads that spend with a bug are found out by whoever looks at the rows."""
        PLANTED[bug](monkeypatch)
        with pytest.raises((AssertionError, ValueError)):
            storm(store, ("acme", "other"), "planted", 4_000)
