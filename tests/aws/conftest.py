"""The stage that the tests of AWS's functions share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.sqlite.database import Database
from local.wiring import using
from tests.aws.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Handlers that work on a database of their own, in memory."""
    database = Database(None)
    made = Stage(database)
    with using(made.ports):
        yield made
    database.close()
