"""The doors that verbs knock at: the same endpoints in this process, or on the stack that `up` started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

import typer

from local.cli.shared import USAGE, Stop, accepted, opened

if TYPE_CHECKING:
    from local.corpus import Item
    from local.desks import Call
    from local.engine import Engine
    from local.sqlite.broker import DeadLetter
    from local.stack.client import Client
    from shared.ports import Documents


_ENDED = frozenset({"completed", "failed", "cancelled"})


class Place(StrEnum):
    """Where the fabric runs."""

    EMBEDDED = "embedded"
    EMULATORS = "emulators"

    @property
    def words(self) -> tuple[str, ...]:
        """What a command line needs so that it is about this place."""
        return () if self is Place.EMBEDDED else ("--stack", self.value)


Where = Annotated[Place, typer.Option("--stack", help="In this process, or on the emulators that `up` starts.")]


Whose = Annotated[str, typer.Option("--tenant", help="Of this tenant of the policy.")]


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


class Api(Protocol):
    """The way to the clients' endpoints."""

    def __call__(
        self,
        method: str,
        path: str,
        *,
        person: str,
        body: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a request; return the status and the JSON answer."""
        ...


Ask = Callable[[str, Mapping[str, str]], tuple[int, dict[str, Any]]]
Settle = Callable[[dict[str, Any], str], tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Doors:
    """A fabric as people reach it.

    `settle` takes a person's decision to skip a number; `letters` are this machine's own dead ones; `documents` opens
    where documents lie, and `bring` puts one there; `charged` names by task what was charged for good, of one task or
    of all; `go_on` lets the work go on that was set free, where nobody else does; `address` is where a person can
    follow a link to, if anywhere.
    """

    azure: Azure
    ask: Ask
    settle: Settle
    letters: Callable[[], Sequence[DeadLetter]]
    api: Api
    charged: Callable[[str], Mapping[str, int]]
    documents: Callable[[], AbstractContextManager[Documents]]
    bring: Callable[[Item, Documents], Item]
    go_on: Callable[[], None]
    address: str = ""


class _Here(NamedTuple):
    """The fabric in this process, and for whom it is asked."""

    engine: Engine
    tenant: str


@contextmanager
def doors(home: Path, where: Place, tenant: str = "") -> Iterator[Doors]:
    """Open the doors of the fabric whose state is in `home`, for its own tenant or another of its policy."""
    from local.wiring import TENANT  # noqa: PLC0415

    if where is Place.EMULATORS:
        if tenant not in {"", TENANT}:
            raise Stop(f"the stack works for {TENANT} alone", USAGE)
        yield _of_the_stack(home)
        return
    with opened(home) as engine:
        if tenant and tenant not in engine.ports.tenants:
            raise Stop(f"the policy has no tenant {tenant!r}; see `agentfabric tenants`", USAGE)
        whose = tenant or TENANT
        yield Doors(
            azure=engine.azure,
            ask=partial(asked_here, tenant=whose),
            settle=_settled_here,
            letters=engine.broker.dead_letters,
            api=partial(_api_here, _Here(engine, whose)),
            charged=partial(_charged_here, _Here(engine, whose)),
            documents=lambda: nullcontext(engine.documents),
            bring=lambda item, _: _found_by(engine, item),
            go_on=lambda: go_on(engine),
        )


def asked_here(path: str, query: Mapping[str, str], tenant: str = "") -> tuple[int, dict[str, Any]]:
    """Ask the record of the fabric that is open in this process."""
    from local.clouds import gcp  # noqa: PLC0415  `agentfabric --help` should not load three clouds

    return gcp.query(path, query, caller(tenant=tenant))


def _settled_here(decision: dict[str, Any], person: str) -> tuple[int, dict[str, Any]]:
    from local.clouds import gcp  # noqa: PLC0415

    return gcp.query("/skip", {}, caller(person), decision)


def _api_here(
    here: _Here,
    method: str,
    path: str,
    *,
    person: str,
    body: str | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Ask the API of the fabric that is open in this process."""
    from local.review import claims  # noqa: PLC0415

    who = claims(person) | {"tenant": here.tenant}
    return here.engine.call_api(method, path, claims=who, body=body, query=query, headers=headers)


def _charged_here(here: _Here, task: str) -> Mapping[str, int]:
    """Ask the ledger for the leases that have ended."""
    from shared.app import leases, ledger  # noqa: PLC0415

    found = ledger.leases_of(here.engine.ports, here.tenant)
    ended = (lease for lease in found if lease.state not in {"open", "closing"} and task in {"", lease.task})
    return {lease.task: leases.charged(lease) for lease in ended}


def _charged_there(api: Api, task: str) -> Mapping[str, int]:
    """Ask the API for the tasks that have ended: a task ends when it has been charged what its lease was."""
    found: dict[str, int] = {}
    query: dict[str, str] | None = {"limit": "100"}
    while query is not None:
        page = accepted(*api("GET", "/tasks", person="operator", query=query))
        ended = (one for one in page["tasks"] if one["status"] in _ENDED and task in {"", one["id"]})
        found |= {one["id"]: one["spent_micro_usd"] for one in ended}
        query = dict(parse_qsl(urlsplit(page["next"]).query)) if page["next"] else None
    return found


def _found_by(engine: Engine, item: Item) -> Item:
    """Let the engine read a document where it lies."""
    engine.documents.add_root(item.path)
    return item


def go_on(engine: Engine) -> None:
    """Let the work go on that was set free; whoever is at work on the folder already takes it along."""
    from local.backlog import Backlog  # noqa: PLC0415
    from local.report import Progress  # noqa: PLC0415

    with Progress(Backlog(), brief=True) as progress:
        if not engine.work(progress.heard):
            typer.echo("another agentfabric is at work on this folder and takes this along", err=True)


def caller(person: str = "", *, tenant: str = "") -> dict[str, str]:
    """Return what tells the record who asks."""
    from local.wiring import TENANT  # noqa: PLC0415

    return {"X-Agentfabric-Tenant": tenant or TENANT} | ({"X-Agentfabric-User": person} if person else {})


def api_of_the_stack(home: Path, person: str) -> Call:
    """Return the way to the operators' endpoints of the stack."""
    from local.desks import ROLES  # noqa: PLC0415

    client = _client(home)

    def call(
        method: str, path: str, *, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        return client.call_api(method, path, person=person, roles=ROLES, body=body, headers=headers)

    return call


@contextmanager
def operators(home: Path, where: Place, person: str) -> Iterator[Call]:
    """Open the operators' endpoints of the fabric whose state is in `home`; what is changed there is told on."""
    if where is Place.EMULATORS:
        yield api_of_the_stack(home, person)
        return
    from local.desks import ROLES  # noqa: PLC0415

    changed = False
    with opened(home) as engine:

        def call(
            method: str, path: str, *, body: str | None = None, headers: Mapping[str, str] | None = None
        ) -> tuple[int, dict[str, Any]]:
            nonlocal changed
            to, changed = urlsplit(path), changed or method != "GET"
            claims = {"sub": person, "roles": f"[{' '.join(ROLES)}]"}
            query = dict(parse_qsl(to.query))
            return engine.call_api(method, to.path, claims=claims, body=body, query=query, headers=headers)

        yield call
        if changed:
            go_on(engine)


def _of_the_stack(home: Path) -> Doors:
    from local.stack.demo import uploaded  # noqa: PLC0415

    client = _client(home)

    def api(
        method: str,
        path: str,
        *,
        person: str,
        body: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        asked = f"{path}?{urlencode(query)}" if query else path
        return client.call_api(method, asked, person=person, body=body, headers=headers)

    return Doors(
        azure=client,
        ask=client.ask,
        settle=client.settle,
        letters=tuple,  # those of a cloud lie in its own queues
        api=api,
        charged=partial(_charged_there, api),
        documents=client.documents,
        bring=uploaded,
        go_on=lambda: None,
        address=client.address,
    )


def _client(home: Path) -> Client:
    from local.stack import state  # noqa: PLC0415
    from local.stack.client import Client  # noqa: PLC0415

    facts = state.facts(home / "stack")
    if "FUNCTIONS_URL" not in facts or "QUERY_URL" not in facts:
        raise Stop(f"no stack runs in {home}; `agentfabric up` starts one, `up --keep` with what it held")
    return Client(facts)
