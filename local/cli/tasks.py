"""`submit`, `status`, `tasks` and `cancel`: the client application's verbs, through the API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    budget: Annotated[
        str, typer.Option(help="What it may cost, in micro-USD (1000000 is one dollar), before it asks for more.")
    ] = "",
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
        } | ({"budget_micro_usd": _amount(budget)} if budget else {})
        mine = derive("submit", json.dumps(body, sort_keys=True))
        keys = [key] if key else (derive(mine, attempt) if attempt else mine for attempt in count())
        answer = accepted(*_submitted(partial(to.api, "POST", "/tasks", person=person, body=json.dumps(body)), keys))
    print_json(answer)


def _submitted(post: Callable[..., tuple[int, dict[str, Any]]], keys: Iterable[str]) -> tuple[int, dict[str, Any]]:
    """Submit under the first of the keys that does not stand for an earlier refusal; that one would be repeated."""
    answers = (post(headers={"Idempotency-Key": key}) for key in keys)
    last: tuple[int, dict[str, Any]] = (0, {})
    for last in answers:
        if last[1].get("code") != "rejected":
            break
    return last


def _amount(budget: str) -> int:
    """Return what was typed as micro-USD; dollars would be a million times too little."""
    if not re.fullmatch(r"-?[0-9][0-9_]{0,17}", budget):
        raise Stop(f"--budget is in whole micro-USD, 1000000 for one dollar; {budget!r} is not", USAGE)
    return int(budget)


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
