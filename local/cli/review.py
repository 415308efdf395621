"""`demo`, `run` and `resume`: reviewing documents, with progress while it works and a table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local.cli.shared import (
    DONE,
    FAILED,
    HOME,
    USAGE,
    WAITING,
    Home,
    Json,
    Person,
    Stop,
    opened,
    print_json,
    taxonomy_ref,
)

if TYPE_CHECKING:
    from local.corpus import Item
    from local.engine import Engine
    from local.review import Review


def run(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders to look into.")],
    person: Person,
    taxonomy: Annotated[
        str, typer.Option(help="The classes: a .toml file, or `general` or `licences`, which come along.")
    ] = "general",
    home: Home = HOME,
    *,
    as_json: Json = False,
) -> None:
    """Review documents: what each is, a summary, and whether a human must decide.

    Running it again goes on where it stopped; a document that changed is reviewed anew.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise Stop(f"no such file or folder: {', '.join(missing)}", USAGE)
    from local.corpus import documents_in  # noqa: PLC0415

    with opened(home) as engine:
        items = _reviewed(engine, documents_in(paths), taxonomy, person)
    if not items:
        raise Stop(f"no documents in {', '.join(map(str, paths))}", USAGE)
    _print(items, as_json=as_json)
    raise typer.Exit(_exit_code(items))


def demo(person: Person, home: Home = HOME, *, as_json: Json = False) -> None:
    """Review the licences of the packages installed here, and compare with what they say of themselves."""
    from local.corpus import installed_packages  # noqa: PLC0415
    from local.report import print_accuracy  # noqa: PLC0415

    started = time.perf_counter()
    with opened(home) as engine:
        items = _reviewed(engine, installed_packages(), "licences", person)
    _print(items, as_json=as_json)
    if not as_json:
        print_accuracy(items, time.perf_counter() - started)
    raise typer.Exit(FAILED if any(item.status == "queued" for item in items) else DONE)


def resume(home: Home = HOME) -> None:
    """Go on with everything that was interrupted."""
    from local.wiring import TENANT  # noqa: PLC0415

    with opened(home) as engine:
        _work(engine, None)
        page = engine.ports.tasks.page(TENANT, limit=100_000)
        waiting = sum(task.waiting for task in page)
        typer.echo(f"{len(page)} tasks: {sum(task.over for task in page)} over, {waiting} documents wait for a human")
    raise typer.Exit(WAITING if waiting else DONE)


def _reviewed(engine: Engine, corpus: Iterable[Item], taxonomy: str, person: str) -> list[Item]:
    from local.review import Review  # noqa: PLC0415

    review = Review(engine, taxonomy_ref(engine, taxonomy), person)
    review.submit(corpus)
    review.catch_up()
    _work(engine, review)
    return review.collected()


def _work(engine: Engine, review: Review | None) -> None:
    from local.report import Progress  # noqa: PLC0415

    with Progress(review) as progress:
        if not engine.work(progress.heard):
            typer.echo("another agentfabric is at work on this folder and takes this along", err=True)


def _print(items: list[Item], *, as_json: bool) -> None:
    from local.report import print_table  # noqa: PLC0415

    if as_json:
        for item in items:
            print_json(item.line())
    else:
        print_table(items)


def _exit_code(items: list[Item]) -> int:
    states = {item.status for item in items}
    if "failed" in states or "queued" in states:
        return FAILED
    return WAITING if "waiting" in states else DONE
