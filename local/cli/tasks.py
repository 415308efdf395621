"""`submit`, `status`, `tasks` and `cancel`: the client application's verbs, through the API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local.cli.doors import Place, Where, doors
from local.cli.shared import HOME, USAGE, Home, Json, Person, Stop, accepted, print_json, taxonomy_ref

if TYPE_CHECKING:
    from local.corpus import Item


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
    where: Where = Place.EMBEDDED,
    priority: Annotated[Priority, typer.Option(help="How urgent it is.")] = Priority.STANDARD,
) -> None:
    """Submit one task and return at once; `resume` or `run` does the work."""
    from local.corpus import Item, referenced  # noqa: PLC0415
    from shared.events.ids import derive  # noqa: PLC0415

    items = [referenced(Item(path, path.name, entity)) for path in documents]
    _refuse_broken(items)
    with doors(home, where) as to:
        with to.documents() as kept:
            brought = [to.bring(item, kept) for item in items]
            classes = taxonomy_ref(kept, taxonomy)
        _refuse_broken(brought)
        body = {
            "entity": entity or documents[0].name,
            "documents": [item.ref.model_dump(mode="json") for item in brought if item.ref],
            "taxonomy": classes.model_dump(mode="json"),
            "priority": priority.value,
        } | ({"budget_micro_usd": budget} if budget is not None else {})
        text = json.dumps(body)
        headers = {"Idempotency-Key": key or derive("submit", json.dumps(body, sort_keys=True))}
        answer = accepted(*to.api("POST", "/tasks", person=person, body=text, headers=headers))
    print_json(answer)


def _refuse_broken(items: Sequence[Item]) -> None:
    broken = [f"{item.path}: {item.reason}" for item in items if item.ref is None]
    if broken:
        raise Stop("; ".join(broken), USAGE)


def status(task: Task, person: Person, home: Home = HOME, where: Where = Place.EMBEDDED) -> None:
    """Show how far a task is."""
    from local.listings import waits  # noqa: PLC0415

    with doors(home, where) as to:
        answer = accepted(*to.api("GET", f"/tasks/{task}", person=person))
    print_json(answer)
    said = waits(dict(answer))
    if said:
        typer.echo(f"the task {said}", err=True)


def tasks(
    person: Person,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 50,
    after: Annotated[str, typer.Option(help="Those after this id.")] = "",
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
    *,
    as_json: Json = False,
) -> None:
    """List tasks."""
    from local.listings import print_tasks  # noqa: PLC0415

    with doors(home, where) as to:
        query = {"limit": str(limit)} | ({"after": after} if after else {})
        answer = accepted(*to.api("GET", "/tasks", person=person, query=query))
    if as_json:
        for task in answer["tasks"]:
            print_json(task)
    else:
        print_tasks(answer["tasks"], more=answer["next"] is not None, where=where.words)


def cancel(
    task: Task,
    person: Person,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
) -> None:
    """Stop a task; what was reviewed stays reviewed."""
    with doors(home, where) as to:
        body = json.dumps({"reason": reason})
        print_json(accepted(*to.api("POST", f"/tasks/{task}/cancel", person=person, body=body)))
        to.go_on()
