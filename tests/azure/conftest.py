"""The stage that the tests of Azure's functions share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from local.sqlite.database import Database
from local.wiring import using
from tests.azure import azurite
from tests.azure.stage import Script, Stage

if TYPE_CHECKING:
    from pathlib import Path

MakeStage = Callable[[Script], Stage]


@pytest.fixture
def stage_for(root: Path) -> Iterator[MakeStage]:
    """Set up a stage for a script, and take it down afterwards."""
    with ExitStack() as stack:

        def make(script: Script) -> Stage:
            database = Database(None)
            stack.callback(database.close)
            stage = Stage(database, root, script)
            stack.callback(stage.close)
            stack.enter_context(using(stage.ports))
            return stage

        yield make


@pytest.fixture
def stage(stage_for: MakeStage) -> Stage:
    """A stage on which document 0 needs a human, and no other."""
    return stage_for(Script(asks=frozenset({0})))


@pytest.fixture(scope="session")
def storage_account(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the connection string of an emulated storage account."""
    command = azurite.found(root)
    if command is None:
        missing = "azurite is not installed: npm install azurite in tools/azurite, or put it on the PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with azurite.running(command, tmp_path_factory.mktemp("azurite")) as account:
        yield account
