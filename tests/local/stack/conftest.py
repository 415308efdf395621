"""Supervisors that leave nothing behind, whatever a test does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.stack import processes, state
from local.stack.parts import all_parts
from local.stack.supervisor import Supervisor

if TYPE_CHECKING:
    from local.stack.part import Part

MakeSupervisor = Callable[..., Supervisor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a stack."""
    return tmp_path / "stack"


@pytest.fixture
def supervise(folder: Path) -> Iterator[MakeSupervisor]:
    """Return a way to make supervisors of one stack; what they started is stopped at the end."""
    with ExitStack() as stack:

        def make(*parts: Part, heard: list[str] | None = None) -> Supervisor:
            told = [] if heard is None else heard
            supervisor = Supervisor(folder, parts, lambda name, what: told.append(f"{name} {what}"))
            stack.callback(supervisor.down)
            return supervisor

        yield make
    assert processes.marked(state.load(folder).mark) == []


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Deploy our template on the local AWS, start everything else, and return the home of it all."""
    need(*all_parts())
    home = tmp_path_factory.mktemp("deployed")
    supervisor = Supervisor(home / "stack", all_parts())
    supervisor.up()
    yield home
    supervisor.down()


@pytest.fixture(scope="session")
def facts(deployed: Path) -> dict[str, str]:
    """Return where everything that is deployed is."""
    return state.facts(deployed / "stack")


def need(*parts: Part) -> None:
    """Skip when something that the parts require is not installed here; in CI, fail."""
    lacking = [one for part in parts for one in part.missing()]
    if lacking:
        reason = "; ".join(f"{one.name} is not installed: {one.install}" for one in lacking)
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
