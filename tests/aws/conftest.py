"""The stage and the account that the tests of AWS's functions share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.sqlite.database import Database
from local.wiring import using
from tests.aws import formation
from tests.aws.cloud import Cloud, deployed
from tests.aws.stage import Json, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Handlers that work on a database of their own, in memory."""
    database = Database(None)
    made = Stage(database)
    with using(made.ports):
        yield made
    database.close()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The resources of the template, as far as one process can have them, and wiring's own clients."""
    with deployed(monkeypatch) as made:
        yield made


@pytest.fixture(scope="session")
def template() -> Json:
    """The template as it is deployed."""
    return formation.read()
