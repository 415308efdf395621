from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from local.sqlite.database import Database
from shared.errors import Permanent

if TYPE_CHECKING:
    from pathlib import Path


def test_the_state_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A file with other tables is not written to: the message says what to do instead."""
    path = tmp_path / "fabric.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE tasks (id TEXT)")
    other.close()
    with pytest.raises(Permanent, match=r"another version of agentfabric.*--home"):
        Database(path)
    left = sqlite3.connect(path)
    assert left.execute("SELECT name FROM sqlite_master").fetchall() == [("tasks",)]
    left.close()


def test_our_own_state_is_opened_again(tmp_path: Path) -> None:
    """What this version wrote, it reads."""
    Database(tmp_path / "fabric.db").close()
    again = Database(tmp_path / "fabric.db")
    assert again.connection.execute("SELECT COUNT(*) FROM tasks").fetchone() == (0,)
    again.close()
