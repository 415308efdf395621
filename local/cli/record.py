"""`events`, `explain`, `parked` and `skip`: the system of record, through its query function."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from local.cli.doors import Ask, Place, Where, Whose, doors
from local.cli.shared import FAILED, HOME, Home, Json, Person, Stop, accepted, print_json
from local.cli.tasks import Task

WHERE_LINES_ARE = (
    "lines may be on their way: `agentfabric resume` sends what waits; `agentfabric parked` names what is held back"
)


def events(
    task: Annotated[str, typer.Option(help="Of this task.")] = "",
    entity: Annotated[str, typer.Option(help="Of this entity.")] = "",
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
    tenant: Whose = "",
    *,
    as_json: Json = False,
) -> None:
    """List recorded events, an entity's in its order."""
    from local.listings import print_events  # noqa: PLC0415

    with doors(home, where, tenant) as to:
        rows = _history(to.ask, task, entity)
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_events(rows)


def explain(task: Task, home: Home = HOME, where: Where = Place.EMBEDDED, tenant: Whose = "") -> None:
    """Tell what happened to a task, why, and what it cost; exit code 1 when its bill is not what was charged."""
    from local.report import print_story  # noqa: PLC0415
    from shared.core.cost_tree import cost_tree  # noqa: PLC0415
    from shared.core.costs import gap_in  # noqa: PLC0415
    from shared.core.money import usd  # noqa: PLC0415
    from shared.core.story import account, tell  # noqa: PLC0415
    from shared.events.catalog import parse  # noqa: PLC0415

    with doors(home, where, tenant) as to:
        told = [parse(json.dumps(row)) for row in _history(to.ask, task, "")]
        if not told:
            raise Stop(
                f"the record knows no task {task!r} yet; `agentfabric tasks` lists those there are, and here"
                " `agentfabric resume` takes what waits to the record"
            )
        ledger = accepted(*to.api("GET", f"/tasks/{task}", person="operator"))["ledger"]
        charged = to.charged(task).get(task)
    tree, missing = cost_tree(task, told), gap_in(task, told)
    print_story(tell(told), tree, account(told), ledger)
    if missing.missing:
        typer.echo(f"its bill lacks {', '.join(map(str, missing.missing))}", err=True)
    if charged is not None and charged != tree.total:
        typer.echo(f"its bill says {usd(tree.total)}, and {usd(charged)} were charged", err=True)
    elif not missing.missing:
        return
    typer.echo(WHERE_LINES_ARE, err=True)
    raise typer.Exit(FAILED)


def parked(
    entity: Annotated[str, typer.Option(help="Of this entity.")] = "",
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
    *,
    as_json: Json = False,
) -> None:
    """List what the recorder holds back and why, and the messages that could not be delivered."""
    from local.listings import print_held_back  # noqa: PLC0415

    with doors(home, where) as to:
        rows = list(rows_of(to.ask, "/parked", "parked", {"entity": entity} if entity else {}))
        letters = [letter for letter in to.letters() if entity in {"", letter.key}]
    if as_json:
        for row in (*rows, *map(asdict, letters)):
            print_json(row)
    else:
        print_held_back(rows, letters, where.words)


def skip(
    entity: Annotated[str, typer.Argument(help="The entity that is held back.")],
    number: Annotated[int, typer.Argument(min=1, help="The number to go on without.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the record, with your name.")],
    person: Person,
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
) -> None:
    """Let an entity's record go on without a number that holds it back."""
    from local.screen import printable  # noqa: PLC0415

    with doors(home, where) as to:
        decision = {"entity": entity, "sequence": number, "reason": reason}
        verdict = accepted(*to.settle(decision, person))["verdict"]
    outcome = "was settled before" if verdict == "duplicate" else "skipped"
    typer.echo(printable(f"{entity} {number}: {outcome}"))


def _history(ask: Ask, task: str, entity: str) -> list[dict[str, Any]]:
    asked = {name: value for name, value in (("task", task), ("entity", entity)) if value}
    return [row["event"] for row in rows_of(ask, "/events", "events", asked)]


def rows_of(ask: Ask, path: str, rows: str, asked: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield an answer's rows, page by page to the end."""
    query = asked
    while True:
        answer = accepted(*ask(path, query))
        yield from answer[rows]
        if answer["next"] is None:
            return
        query = asked | {"after": str(answer["next"])}
