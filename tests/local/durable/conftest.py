"""A replay hub on a file with a virtual clock, and apps made with the SDK's own decorators."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from local.durable.hub import Hub, Options
from local.durable.records import Instance
from local.durable.store import Store, Transactional
from local.functions_host import FunctionsHost
from local.sqlite.database import Database

Open = Callable[[Path], Transactional]


@dataclass
class Clock:
    """Time that moves only when told to."""

    now: datetime = datetime(2025, 3, 1, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, **length: float) -> None:
        """Let time pass."""
        self.now += timedelta(**length)


@dataclass
class App:
    """A blueprint in the making: plain functions, given to the SDK's decorators."""

    blueprint: Any = field(default_factory=df.Blueprint)

    def orchestrator(self, function: Callable[..., Any], name: str | None = None) -> None:
        """Register an orchestrator."""
        decorate = self.blueprint.orchestration_trigger(context_name="context", orchestration=name)
        decorate(function)

    def activity(self, function: Callable[..., Any]) -> None:
        """Register an activity."""
        parameter = next(iter(inspect.signature(function).parameters))
        self.blueprint.activity_trigger(input_name=parameter)(function)

    def client(self, function: Callable[..., Any]) -> None:
        """Register an HTTP function with a durable client, as `client`."""
        bound = self.blueprint.durable_client_input(client_name="client")(function)
        self.blueprint.route(route=function.__name__)(bound)


class Rig:
    """One hub on one file; `restart` is what a new process does."""

    def __init__(self, path: Path, clock: Clock, build: Callable[[App], None], options: Options | None) -> None:
        self.path = path
        self.clock = clock
        self.options = options
        self.host = self._make(build, Database)

    def _make(self, build: Callable[[App], None], open_: Open) -> FunctionsHost:
        app, own = df.DFApp(), App()
        build(own)
        app.register_functions(own.blueprint)
        self.database = open_(self.path)
        names = iter(f"new-{number}" for number in range(10_000))
        return FunctionsHost(app, Store(self.database), self.clock, options=self.options, new_id=lambda: next(names))

    @property
    def hub(self) -> Hub:
        """The hub of the process that lives now."""
        return self.host.hub

    def restart(self, build: Callable[[App], None], open_: Open = Database) -> None:
        """Leave everything as it is and start anew from the file."""
        self.close()
        self.host = self._make(build, open_)
        self.hub.recover()

    def close(self) -> None:
        """Close what this process had open."""
        self.host.close()
        self.database.connection.close()

    def play(self) -> None:
        """Work, and move the clock to the next timer, until only the outside could wake anybody."""
        while True:
            self.hub.run_until_idle()
            due = self.hub.next_due()
            if due is None:
                return
            self.clock.now = max(self.clock.now, due)

    def instance(self, instance: str) -> Instance:
        """Return an instance that must exist."""
        found = self.hub.status(instance)
        assert found is not None
        return found

    def outcome(self, instance: str) -> tuple[str, Any]:
        """Return an instance's status and output."""
        found = self.instance(instance)
        return str(found.status), None if found.output is None else json.loads(found.output)

    def count(self, table: str) -> int:
        """Count a table's rows."""
        row = self.database.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()  # noqa: S608  a fixed name
        return int(row[0])


@pytest.fixture
def clock() -> Clock:
    """Return a virtual clock."""
    return Clock()


@pytest.fixture
def make_rig(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Rig]]:
    """Return a maker of hubs on a file, closed at the end."""
    made: list[Rig] = []

    def make(build: Callable[[App], None], options: Options | None = None) -> Rig:
        made.append(Rig(tmp_path / f"hub-{len(made)}.sqlite", clock, build, options))
        return made[-1]

    yield make
    for rig in made:
        rig.close()
