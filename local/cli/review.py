"""`demo`, `run` and `resume`: reviewing documents, with progress while it works and a table at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from local.cli.doors import Place, Where
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
from local.entrance import PATIENCE_SECONDS, let_all_in

if TYPE_CHECKING:
    from local.corpus import Item
    from local.engine import Engine
    from local.report import Progress
    from local.stack.client import Client
    from shared.core.task import Task


Again = Annotated[bool, typer.Option("--again", help="Try what failed or was cancelled again; leave the rest.")]


def run(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders to look into.")],
    person: Person,
    taxonomy: Annotated[
        str, typer.Option(help="The classes: a .toml file, or `general` or `licences`, which come along.")
    ] = "general",
    home: Home = HOME,
    *,
    again: Again = False,
    as_json: Json = False,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for work, or a place for it, when nothing moves.")
    ] = PATIENCE_SECONDS,
) -> None:
    """Review documents: what each is, a summary, and whether a human must decide.

    Running it again goes on where it stopped; a document that changed is reviewed anew.
    """
    from local.corpus import documents_in  # noqa: PLC0415

    missing = [str(path) for path in paths if not _exists(path)]
    if missing:
        raise Stop(f"no such file or folder: {', '.join(missing)}", USAGE)
    corpus = list(documents_in(paths))
    if not corpus:
        raise Stop(f"no documents in {', '.join(map(str, paths))}", USAGE)
    with opened(home) as engine:
        items = _reviewed(engine, corpus, taxonomy, person, again=again, patience=patience)
    _print(items, as_json=as_json)
    raise typer.Exit(_exit_code({item.status for item in items}))


def demo(
    person: Person, home: Home = HOME, where: Where = Place.EMBEDDED, *, again: Again = False, as_json: Json = False
) -> None:
    """Review the licences of the packages installed here, and compare with what they say of themselves.

    On the emulators it starts those that do not run yet; if none ran, it stops them at the end.
    """
    if where is Place.EMULATORS:
        _demo_on_the_stack(person, home, again=again, as_json=as_json)
    from local.corpus import installed_packages  # noqa: PLC0415

    started = time.perf_counter()
    with opened(home) as engine:
        items = _reviewed(engine, installed_packages(), "licences", person, again=again)
    _end_demo(items, time.perf_counter() - started, where, as_json=as_json)


def _demo_on_the_stack(person: str, home: Path, *, again: bool, as_json: bool) -> NoReturn:
    from local.cli.stack import running  # noqa: PLC0415
    from local.corpus import installed_packages  # noqa: PLC0415

    if again:
        raise Stop("--again is for the fabric in this process; a stack that the demo starts begins anew", USAGE)
    with running(home) as client:
        started = time.perf_counter()
        items = reviewed_on_the_stack(client, installed_packages(), person, home)
        seconds = time.perf_counter() - started
    _end_demo(items, seconds, Place.EMULATORS, as_json=as_json)


def reviewed_on_the_stack(client: Client, corpus: Iterable[Item], person: str, home: Path) -> list[Item]:
    """Review licences through the stack's endpoints, with progress."""
    from local.report import Progress  # noqa: PLC0415
    from local.stack.demo import PATIENCE_SECONDS as UNHURRIED  # noqa: PLC0415
    from local.stack.demo import StackReview, follow_to_the_end  # noqa: PLC0415
    from shared.taxonomies import builtin  # noqa: PLC0415

    review = StackReview(client, person)
    progress = Progress(review)
    review.submit(corpus, builtin("licences"), progress.submitted)
    with progress:
        let_all_in(review, progress.follow, patience=UNHURRIED, told=progress.held_up)
        follow_to_the_end(review, progress.follow, home / "stack" / "logs")
    return review.collected()


def _end_demo(items: list[Item], seconds: float, where: Place, *, as_json: bool) -> NoReturn:
    from local.report import print_accuracy  # noqa: PLC0415

    _print(items, as_json=as_json, where=where)
    if not as_json:
        print_accuracy(items, seconds, where.words)
    raise typer.Exit(FAILED if any(item.status == "queued" for item in items) else DONE)


def resume(home: Home = HOME) -> None:
    """Go on with everything that was interrupted."""
    from local.backlog import Backlog  # noqa: PLC0415
    from local.report import Progress  # noqa: PLC0415
    from local.screen import plural  # noqa: PLC0415
    from local.wiring import TENANT  # noqa: PLC0415

    done = Backlog()
    with opened(home) as engine:
        with Progress(done, brief=True) as progress:
            _work(engine, progress)
        page = engine.ports.tasks.page(TENANT, limit=100_000)
    waiting, failed = sum(task.waiting for task in page), done.tally["failed"]
    parked = Counter("budget" if task.parked_for == "budget" else "rest" for task in page if task.parked_for)
    told = [
        f"{sum(task.over for task in page)} over",
        f"{_waits(waiting, 'document')} for a human",
        *([f"{_waits(parked['budget'], 'task')} for a decision on its budget"] if parked["budget"] else []),
        *([_rest([task for task in page if task.parked_for not in {None, "budget"}])] if parked["rest"] else []),
        *([f"{failed} failed now"] if failed else []),
    ]
    typer.echo(f"{plural(len(page), 'task')}: {', '.join(told)}")
    raise typer.Exit(_exit_code({"failed"} if failed else {"waiting"} if waiting or parked else set()))


def _waits(count: int, noun: str) -> str:
    from local.screen import plural  # noqa: PLC0415

    return f"{plural(count, noun)} {'waits' if count == 1 else 'wait'}"


def _rest(parked: list[Task]) -> str:
    """Say how many tasks wait for something else than a decision, and when the first of them goes on."""
    until = min((task.parked_until for task in parked if task.parked_until), default=None)
    then = f", the first until {until:%Y-%m-%d %H:%M:%S} UTC" if until else ""
    return f"{len(parked)} parked{then}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # where nobody may look, or a name longer than any file's
        return False


def _reviewed(
    engine: Engine,
    corpus: Iterable[Item],
    taxonomy: str,
    person: str,
    *,
    again: bool,
    patience: float = PATIENCE_SECONDS,
) -> list[Item]:
    from local.report import Progress  # noqa: PLC0415
    from local.review import Review  # noqa: PLC0415

    review = Review(engine, taxonomy_ref(engine.documents, taxonomy), person, again)
    progress = Progress(review)
    review.submit(corpus, progress.submitted)
    review.catch_up()

    def work() -> None:
        _work(engine, progress, patience)
        review.follow()

    with progress:
        let_all_in(review, work, patience=patience, told=progress.held_up)
        review.catch_up()
    return review.collected()


def _work(engine: Engine, progress: Progress, patience: float = PATIENCE_SECONDS) -> None:
    """Do the work, or follow the engine that is at it already and take over when that one ends."""
    if not engine.work(progress.heard, patience=patience):
        typer.echo("\nanother agentfabric is at work on this folder; following it", err=True)
        engine.work_in_turn(progress.heard, enough=progress.follow)


def _print(items: list[Item], *, as_json: bool, where: Place = Place.EMBEDDED) -> None:
    from local.report import print_table  # noqa: PLC0415

    if as_json:
        for item in items:
            print_json(item.line())
    else:
        print_table(items, where.words)
    unlucky = sum(item.task != "" and item.status in {"failed", "cancelled"} for item in items)
    if unlucky and where is Place.EMBEDDED:
        typer.echo(f"{unlucky} refused, failed or cancelled; --again tries that again", err=True)


def _exit_code(states: Collection[str]) -> int:
    """What was cancelled is done: somebody wanted it so."""
    if "failed" in states or "queued" in states:
        return FAILED
    return WAITING if {"waiting", "parked"} & set(states) else DONE
