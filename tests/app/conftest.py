"""The world in which the tests of the use cases happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.sqlite.database import Database
from tests.app.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    """A fabric in memory."""
    database = Database(None)
    yield World(database)
    database.close()
