"""`submit`, `status`, `tasks` and `cancel`: the client application's verbs, through the API."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local.cli.shared import HOME, USAGE, Home, Json, Person, Stop, accepted, opened, print_json, taxonomy_ref

if TYPE_CHECKING:
    from local.engine import Engine


class Priority(StrEnum):
    """The classes of work, as typer wants them."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BACKGROUND = "background"


def _named(task: str) -> str:
    if not task.strip():
        raise Stop("say which task; `agentfabric tasks` lists them", USAGE)
    return task


Task = Annotated[str, typer.Argument(help="The task's id.", callback=_named)]


def submit(  # noqa: PLR0913  what a client can say is what the verb takes
    documents: Annotated[list[Path], typer.Argument(help="The documents of the task.")],
    person: Person,
    entity: Annotated[str, typer.Option(help="What the documents belong to; its events stay in order.")] = "",
    taxonomy: Annotated[str, typer.Option(help="A .toml file, `general` or `licences`.")] = "general",
    key: Annotated[str, typer.Option(help="Idempotency key; the same key is the same task.")] = "",
    budget: Annotated[int | None, typer.Option(help="What it may cost, in micro-USD, before it asks for more.")] = None,
    home: Home = HOME,
    *,
    priority: Annotated[Priority, typer.Option(help="How urgent it is.")] = Priority.STANDARD,
) -> None:
    """Submit one task and return at once; `resume` or `run` does the work."""
    from local.clouds import aws  # noqa: PLC0415
    from local.corpus import Item, referenced  # noqa: PLC0415
    from local.review import claims  # noqa: PLC0415
    from shared.events.ids import derive  # noqa: PLC0415

    items = [referenced(Item(path, path.name, entity)) for path in documents]
    broken = [f"{item.path}: {item.reason}" for item in items if item.ref is None]
    if broken:
        raise Stop("; ".join(broken), USAGE)
    with opened(home) as engine:
        for item in items:
            engine.documents.add_root(item.path)
        body = {
            "entity": entity or documents[0].name,
            "documents": [item.ref.model_dump(mode="json") for item in items if item.ref],
            "taxonomy": taxonomy_ref(engine, taxonomy).model_dump(mode="json"),
            "priority": priority.value,
        } | ({"budget_micro_usd": budget} if budget is not None else {})
        headers = {"Idempotency-Key": key or derive("submit", json.dumps(body, sort_keys=True))}
        answer = accepted(
            *aws.call_api("POST", "/tasks", claims=claims(person), body=json.dumps(body), headers=headers)
        )
    print_json(answer)


def status(task: Task, person: Person, home: Home = HOME) -> None:
    """Show how far a task is."""
    from local.clouds import aws  # noqa: PLC0415
    from local.review import claims  # noqa: PLC0415

    with opened(home):
        print_json(accepted(*aws.call_api("GET", f"/tasks/{task}", claims=claims(person))))


def tasks(
    person: Person,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 50,
    after: Annotated[str, typer.Option(help="Those after this id.")] = "",
    home: Home = HOME,
    *,
    as_json: Json = False,
) -> None:
    """List tasks."""
    from local.clouds import aws  # noqa: PLC0415
    from local.listings import print_tasks  # noqa: PLC0415
    from local.review import claims  # noqa: PLC0415

    with opened(home):
        query = {"limit": str(limit)} | ({"after": after} if after else {})
        answer = accepted(*aws.call_api("GET", "/tasks", claims=claims(person), query=query))
    if as_json:
        for task in answer["tasks"]:
            print_json(task)
    else:
        print_tasks(answer["tasks"], more=answer["next"] is not None)


def cancel(
    task: Task, person: Person, reason: Annotated[str, typer.Option(help="Why.")] = "", home: Home = HOME
) -> None:
    """Stop a task; what was reviewed stays reviewed."""
    from local.clouds import aws  # noqa: PLC0415
    from local.review import claims  # noqa: PLC0415

    with opened(home) as engine:
        body = json.dumps({"reason": reason})
        print_json(accepted(*aws.call_api("POST", f"/tasks/{task}/cancel", claims=claims(person), body=body)))
        go_on(engine)


def go_on(engine: Engine) -> None:
    """Let the work go on that was set free; whoever is at work on the folder already takes it along."""
    from local.backlog import Backlog  # noqa: PLC0415
    from local.report import Progress  # noqa: PLC0415

    with Progress(Backlog(), brief=True) as progress:
        if not engine.work(progress.heard):
            typer.echo("another agentfabric is at work on this folder and takes this along", err=True)
