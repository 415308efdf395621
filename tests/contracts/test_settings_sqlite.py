from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.sqlite.settings import SqliteSettings
from tests.contracts.settings_contract import SettingsContract
from tests.contracts.test_ledger_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Files(SqliteStore):
    """One file, and a connection for every replica."""

    def settings(self) -> SqliteSettings:
        """Return the port on a connection of its own."""
        self.ledger()
        return SqliteSettings(self._open[-1])


class TestSqliteSettings(SettingsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Files]:
        """A file of its own."""
        made = Files(tmp_path / "settings.db")
        yield made
        made.close()
