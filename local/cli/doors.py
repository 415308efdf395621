"""The doors that verbs knock at: the same endpoints in this process, or on the stack that `up` started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from local.cli.shared import Stop, opened
from local.cli.tasks import go_on


class Place(StrEnum):
    """Where the fabric runs."""

    EMBEDDED = "embedded"
    EMULATORS = "emulators"

    @property
    def words(self) -> tuple[str, ...]:
        """What a command line needs so that it is about this place."""
        return () if self is Place.EMBEDDED else ("--stack", self.value)


Where = Annotated[Place, typer.Option("--stack", help="In this process, or on the emulators that `up` starts.")]


class Azure(Protocol):
    """The way to the approvals' endpoints."""

    def call(
        self,
        method: str,
        path: str,
        *,
        person: str,
        roles: Sequence[str],
        body: str = "",
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a request as a signed-in person; return the status and the JSON answer."""
        ...


Ask = Callable[[str, Mapping[str, str]], tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Doors:
    """A fabric as people reach it. `go_on` lets the work go on that was set free, where nobody else does."""

    azure: Azure
    ask: Ask
    api: Ask
    go_on: Callable[[], None]


@contextmanager
def doors(home: Path, where: Place) -> Iterator[Doors]:
    """Open the doors of the fabric whose state is in `home`."""
    if where is Place.EMULATORS:
        yield _of_the_stack(home)
        return
    with opened(home) as engine:
        yield Doors(engine.azure, asked_here, _api_here, lambda: go_on(engine))


def asked_here(path: str, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Ask the record of the fabric that is open in this process."""
    from local.clouds import gcp  # noqa: PLC0415  `agentfabric --help` should not load three clouds

    return gcp.query(path, query, caller())


def _api_here(path: str, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Ask the API of the fabric that is open in this process."""
    from local.clouds import aws  # noqa: PLC0415
    from local.review import claims  # noqa: PLC0415

    return aws.call_api("GET", path, claims=claims("operator"), query=query)


def caller(person: str = "") -> dict[str, str]:
    """Return what tells the record who asks."""
    from local.wiring import TENANT  # noqa: PLC0415

    return {"X-Agentfabric-Tenant": TENANT} | ({"X-Agentfabric-User": person} if person else {})


def _of_the_stack(home: Path) -> Doors:
    from local.stack import state  # noqa: PLC0415
    from local.stack.client import Client  # noqa: PLC0415

    facts = state.facts(home / "stack")
    if "FUNCTIONS_URL" not in facts or "QUERY_URL" not in facts:
        raise Stop(f"no stack runs in {home}; `agentfabric up` starts one, `up --keep` with what it held")
    client = Client(facts)
    return Doors(client, client.ask, lambda path, _: client.call_api("GET", path, person="operator"), lambda: None)
