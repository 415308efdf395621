"""`up`, `down`, `doctor`: the real parts on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from local.cli.shared import DONE, FAILED, HOME, Home, Json, Stop, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack.client import Client
    from local.stack.supervisor import Started, Supervisor

_NAME_WIDTH = 11
_TERMINATED = 143


def up(
    parts: Annotated[list[str] | None, typer.Argument(help="Only these parts and all they need.")] = None,
    *,
    keep: Annotated[
        bool | None,
        typer.Option("--keep/--fresh", help="What happens to the data: go on with it, or begin anew (the default)."),
    ] = None,
    restart: Annotated[str, typer.Option(help="Only stop this part, and have it back with its data.")] = "",
    home: Home = HOME,
) -> None:
    """Start the real parts: local AWS, Functions host, Pub/Sub, Spanner and what belongs to them."""
    from local.stack import report, state  # noqa: PLC0415  `agentfabric --help` should not load them
    from local.stack.parts import all_parts  # noqa: PLC0415

    signal.signal(signal.SIGTERM, terminated)
    supervisor = _supervisor(home)
    started = None
    if restart:
        supervisor.restart(restart)
    else:
        started = supervisor.up(parts or (), keep=keep)
    folder = home / "stack"
    facts = state.facts(folder)
    environment = report.write_environment(folder, facts)
    typer.echo()
    for name, where, about in report.endpoints(all_parts(), state.load(folder)):
        typer.echo(f"{name:{_NAME_WIDTH}} {where or '-':28} {about}")
    if started is not None:
        _say_missing(started)
    typer.echo("\nTo try:")
    for sentence, command in report.examples(facts, environment):
        typer.echo(f"  # {sentence}\n  {command}")
    typer.echo(f"\nLogs are in {folder / 'logs'}; `agentfabric down` stops everything.")


def down(
    *,
    keep: Annotated[bool, typer.Option("--keep/--drop", help="Keep the data for `up --keep`, or drop it.")] = True,
    home: Home = HOME,
) -> None:
    """Stop everything that `up` started, and make sure of it."""
    ran = _supervisor(home).down(keep=keep)
    typer.echo(f"stopped {', '.join(ran)}; nothing is left" if ran else "nothing runs")


def doctor(*, json: Json = False) -> None:
    """Say what is installed for the stack, which version, and what installs the rest."""
    from local.stack.doctor import examine  # noqa: PLC0415
    from local.stack.parts import all_parts  # noqa: PLC0415

    findings = examine(all_parts())
    for one in findings:
        if json:
            shown = {"name": one.name, "installed": one.found is not None, "version": one.version}
            print_json(shown | {"parts": one.parts, "install": one.install})
        else:
            what = f"ok       {one.version}" if one.found else f"MISSING  {one.install}"
            typer.echo(f"{one.name:24} {what:34} {', '.join(one.parts)}".rstrip())
    raise typer.Exit(DONE if all(one.found for one in findings) else FAILED)


def check_complete() -> None:
    """Stop unless everything is installed that the whole stack needs."""
    from local.stack.doctor import examine  # noqa: PLC0415
    from local.stack.parts import all_parts  # noqa: PLC0415

    lacking = [f"{one.name} is missing: {one.install}" for one in examine(all_parts()) if one.found is None]
    if lacking:
        raise Stop("; ".join(lacking))


@contextmanager
def running(home: Path) -> Iterator[Client]:
    """Have the whole stack running and yield its client; if nothing ran before, nothing runs afterwards."""
    from local.stack import state  # noqa: PLC0415
    from local.stack.client import Client  # noqa: PLC0415

    check_complete()
    before = signal.signal(signal.SIGTERM, terminated)
    folder = home / "stack"
    ran = bool(state.facts(folder))
    supervisor = _supervisor(home, err=True)
    try:
        supervisor.up()
        yield Client(state.facts(folder))
    finally:
        if not ran:
            supervisor.down()
            typer.echo("stopped, and nothing is left; `agentfabric up --keep` goes on with the data", err=True)
        signal.signal(signal.SIGTERM, before)


def _supervisor(home: Path, *, err: bool = False) -> Supervisor:
    from local.stack.parts import all_parts  # noqa: PLC0415
    from local.stack.supervisor import Supervisor  # noqa: PLC0415

    def say(name: str, what: str) -> None:
        typer.echo(f"{name:{_NAME_WIDTH}} {what}", err=err)

    return Supervisor(home / "stack", all_parts(), say)


def _say_missing(started: Started) -> None:
    for name, lacking in started.missing.items():
        for requirement in lacking:
            typer.echo(f"{name:{_NAME_WIDTH}} not started: {requirement.name} is missing; {requirement.install}")
    for name, need in started.without.items():
        typer.echo(f"{name:{_NAME_WIDTH}} not started: it needs {need}")


def terminated(_number: int, _frame: object) -> NoReturn:
    """Let a polite kill stop what was started, like Ctrl-C does."""
    raise SystemExit(_TERMINATED)
