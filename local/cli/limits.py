"""`tenants`, `policy`, `stop` and `start`: what operators see and change while the fabric runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from local.cli.doors import Place, Where, api_of_the_stack
from local.cli.shared import DONE, FAILED, HOME, USAGE, Home, Json, Person, Stop, print_json
from local.controls import Fabric, controls
from shared.errors import Permanent

if TYPE_CHECKING:
    from local.desks import Desk
    from shared.core.switches import Scope

_LOOKS = 0.25
_Made = TypeVar("_Made")
On = Annotated[Fabric, typer.Option("--on", help="The fabric here, or the one on a cloud that the environment names.")]
Tenant = Annotated[str, typer.Option(help="This tenant's work.")]
Flow = Annotated[str, typer.Option(help="The work on this workflow.")]
Everything = Annotated[bool, typer.Option("--all", help="All work.")]


class Do(StrEnum):
    """What is done with tenants."""

    LIST = "list"
    SHOW = "show"
    SET = "set"


class With(StrEnum):
    """What is done with a policy."""

    SHOW = "show"
    CHECK = "check"
    SET = "set"


def tenants(  # noqa: PLR0913  an option each
    person: Person,
    do: Annotated[Do, typer.Argument(help="List all, show one, or set its limits.")] = Do.LIST,
    name: Annotated[str, typer.Argument(help="Which tenant.")] = "",
    changes: Annotated[list[str] | None, typer.Argument(help="Limits, such as daily_budget=5000000.")] = None,
    home: Home = HOME,
    on: On = Fabric.HERE,
    where: Where = Place.EMBEDDED,
    *,
    as_json: Json = False,
) -> None:
    """See what tenants may spend, have spent and hold, or change a tenant's limits."""
    from local import accounts  # noqa: PLC0415  `agentfabric --help` should not load what few verbs need

    _check_words(do, name, changes or [])
    with _desk(home, on, where, person) as desk:
        if do is Do.SET:
            text = _changed(desk, name, changes or [])
            desk.put(text)
            _warn_of(text, name)
        found = desk.tenants()
    facts = [_named(found, name)] if name else found
    if as_json:
        for one in facts:
            print_json(one)
    elif do is Do.LIST:
        accounts.print_all(facts)
    else:
        accounts.print_one(facts[0])


def _check_words(do: Do, name: str, changes: list[str]) -> None:
    if do is not Do.LIST and not name:
        raise Stop(f"say which tenant: agentfabric tenants {do.value} NAME", USAGE)
    if do is Do.LIST and name:
        raise Stop("`tenants list` takes no name; `agentfabric tenants show NAME` shows one", USAGE)
    if (do is Do.SET) != bool(changes):
        raise Stop("limits are set as `agentfabric tenants set NAME daily_budget=5000000 …`", USAGE)


def _changed(desk: Desk, name: str, changes: list[str]) -> str:
    from shared.core.policy_edit import edit, values  # noqa: PLC0415

    pairs = [change.partition("=") for change in changes]
    if not all(sign for _, sign, _ in pairs):
        raise Stop("write each limit as key=value, such as daily_budget=5000000", USAGE)
    try:
        return edit(desk.text(), name, values({key.strip(): value for key, _, value in pairs}))
    except Permanent as error:
        raise Stop(f"nothing was changed: {error}", USAGE) from error


def _named(facts: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    found = next((one for one in facts if one["tenant"] == name), None)
    if found is None:
        raise Stop(f"no tenant {name!r}; there are {', '.join(one['tenant'] for one in facts)}", USAGE)
    return found


def policy(
    person: Person,
    do: Annotated[With, typer.Argument(help="Show the one written, check a file, or put one in force.")] = With.SHOW,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE|VERSION", help="A policy; to show, the version of one or of its prices."),
    ] = "",
    home: Home = HOME,
    on: On = Fabric.HERE,
    where: Where = Place.EMBEDDED,
) -> None:
    """See the policy, check a file before it is used, or put one in force; a broken one changes nothing."""
    from shared.core.policy_text import parse  # noqa: PLC0415

    if do is not With.SHOW and not file:
        raise Stop("`policy check FILE` and `policy set FILE` take a file", USAGE)
    with _desk(home, on, where, person) as desk:
        if do is With.SHOW:
            shown = _of_version(desk, file) if file else desk.text()
            typer.echo(shown.rstrip("\n"))
            if shown.strip():
                _usable(file or "the policy that is written", lambda: parse(shown))
            return
        before, text = desk.text(), _text_of(file)
        if do is With.SET:
            made = _usable(file, lambda: desk.put(text))
            typer.echo(f"in force within a second: {_described(*made)}")
    checked = _usable(file, lambda: parse(text))
    wrong = _warn_of(text)
    if do is With.CHECK:
        state = "usable, but it cannot work as it says" if wrong else "in order"
        typer.echo(f"{state}: {_described(checked.version, len(checked.tenants), len(checked.candidates))}")
    _say_changes(before, text)
    raise typer.Exit(FAILED if wrong and do is With.CHECK else DONE)


def _of_version(desk: Desk, version: str) -> str:
    try:
        return desk.text_of(version)
    except Permanent as error:
        raise Stop(str(error), USAGE) from error


def _say_changes(before: str, text: str) -> None:
    """Say what a policy in order changes, where that can be told."""
    from shared.core.policy_check import changes  # noqa: PLC0415
    from shared.core.policy_text import parse  # noqa: PLC0415

    try:
        there = parse(before)
    except Permanent as broken:
        typer.echo(f"what it changes cannot be told; the one that is written is broken: {broken}")
        return
    for change in changes(there, parse(text)):
        typer.echo(f"  {change}")


def _warn_of(text: str, *tenants: str) -> bool:
    """Warn of what cannot work as a policy in order says; return whether there is anything."""
    from shared.core.policy_check import doubts  # noqa: PLC0415
    from shared.core.policy_text import parse  # noqa: PLC0415

    found = doubts(parse(text), *tenants)
    for doubt in found:
        _warn(doubt)
    return bool(found)


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"{file} cannot be used: {error}", USAGE) from error


def _usable(file: str, use: Callable[[], _Made]) -> _Made:
    """Return what becomes of a file's text."""
    try:
        return use()
    except Permanent as error:
        if error.code != "bad-policy":
            raise
        raise Stop(f"{file} cannot be used: {error}", USAGE) from error


def _described(version: str, tenants: int, candidates: int) -> str:
    from local.screen import plural  # noqa: PLC0415

    return f"version {version}, {plural(tenants, 'tenant')}, {plural(candidates, 'model')}"


def stop(  # noqa: PLR0913  as above
    reason: Annotated[str, typer.Option(help="Why; whoever is stopped reads it.")],
    person: Person,
    tenant: Tenant = "",
    workflow: Flow = "",
    home: Home = HOME,
    on: On = Fabric.HERE,
    where: Where = Place.EMBEDDED,
    *,
    everything: Everything = False,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when no call is out any more.")] = False,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 300.0,
) -> None:
    """Stop new calls of models within a second: a tenant's, a workflow's, or all; what waits goes on after `start`."""
    scope, name = _meant(tenant, workflow, everything=everything)
    if not reason.strip():
        raise Stop("--reason wants a reason", USAGE)
    with _desk(home, on, where, person) as desk:
        typer.echo(f"stopped: {desk.stop(scope, name, by=person, reason=reason)}")
        if wait:
            _wait(desk, scope, name, patience)


def _wait(desk: Desk, scope: Scope, name: str, patience: float) -> None:
    """Wait until no call can be out any more."""
    over = time.monotonic() + patience
    while not desk.quiet(scope, name):
        if time.monotonic() > over:
            raise Stop(f"calls are still out after {patience:g} s; they end by themselves, or their leases do", FAILED)
        time.sleep(_LOOKS)
    typer.echo("all is quiet: no call is out")


def start(
    person: Person,
    tenant: Tenant = "",
    workflow: Flow = "",
    home: Home = HOME,
    on: On = Fabric.HERE,
    where: Where = Place.EMBEDDED,
    *,
    everything: Everything = False,
) -> None:
    """Let go on what `stop` stopped."""
    scope, name = _meant(tenant, workflow, everything=everything)
    with _desk(home, on, where, person) as desk:
        left = desk.start(scope, name)
    typer.echo("started" + "".join(f"; {one.stops} is still stopped by {one.by}: {one.reason}" for one in left))


def trail(
    person: Person,
    home: Home = HOME,
    on: On = Fabric.HERE,
    where: Where = Place.EMBEDDED,
    *,
    as_json: Json = False,
) -> None:
    """See who changed policy, tenants or switches, when and why; exit code 1 when that is not the whole truth."""
    with _desk(home, on, where, person) as desk:
        found = desk.trail()
    for deed in found.deeds:
        if as_json:
            print_json(deed)
        else:
            typer.echo(_told(deed))
    if found.wrong:
        raise Stop(found.wrong, FAILED)


def _told(deed: Mapping[str, Any]) -> str:
    from local.screen import printable  # noqa: PLC0415  `agentfabric --help` should not load what few verbs need

    did = "set the policy" if deed["act"] == "policy" else f"{deed['act']} {deed['of']}: {deed['reason']}"
    version = f"policy {deed['policy']}, {deed['digest'][:8]}"
    return printable(f"{deed['number']}  {deed['at']}  {deed['by']}  {did}  ({version})")


@contextmanager
def _desk(home: Path, on: Fabric, where: Place, person: str) -> Iterator[Desk]:
    """Open the desk of the fabric that is meant."""
    from local.desks import AtHand, OverTheApi  # noqa: PLC0415  `agentfabric --help` should not load what few verbs need

    if where is Place.EMULATORS:
        if on is not Fabric.HERE:
            raise Stop(f"the stack or --on {on.value}: one of them", USAGE)
        yield OverTheApi(api_of_the_stack(home, person))
        return
    with controls(on, home, _warn) as mine:
        yield AtHand(mine, person)


def _meant(tenant: str, workflow: str, *, everything: bool) -> tuple[Scope, str]:
    if sum((bool(tenant), bool(workflow), everything)) != 1:
        raise Stop("say what: --tenant NAME, --workflow NAME, or --all", USAGE)
    if everything:
        return "all", ""
    return ("tenant", tenant) if tenant else ("workflow", workflow)


def _warn(problem: str) -> None:
    typer.echo(f"agentfabric: {problem}", err=True)
