"""`events` and `explain`: reading the system of record, through its query function."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from local.cli.shared import HOME, Home, Json, Stop, accepted, opened, print_json
from local.cli.tasks import Task


def events(
    task: Annotated[str, typer.Option(help="Of this task.")] = "",
    entity: Annotated[str, typer.Option(help="Of this entity.")] = "",
    home: Home = HOME,
    *,
    as_json: Json = False,
) -> None:
    """List recorded events, an entity's in its order."""
    from local.report import print_events  # noqa: PLC0415

    with opened(home):
        rows = _history(task, entity)
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_events(rows)


def explain(task: Task, home: Home = HOME) -> None:
    """Tell what happened to a task, why, and what it cost."""
    from local.report import print_story  # noqa: PLC0415
    from shared.core.story import cost_tree, tell  # noqa: PLC0415
    from shared.events.catalog import parse  # noqa: PLC0415

    with opened(home):
        told = [parse(json.dumps(row)) for row in _history(task, "")]
    if not told:
        raise Stop(f"the record knows no task {task!r}; see `agentfabric tasks`")
    print_story(tell(told), cost_tree(task, told))


def _history(task: str, entity: str) -> list[dict[str, Any]]:
    from local.clouds import gcp  # noqa: PLC0415
    from local.wiring import TENANT  # noqa: PLC0415

    asked = {name: value for name, value in (("task", task), ("entity", entity)) if value}
    found: list[dict[str, Any]] = []
    cursor: int | None = None
    while True:
        query = asked | ({"after": str(cursor)} if cursor else {})
        answer = accepted(*gcp.query("/events", query, {"X-Agentfabric-Tenant": TENANT}))
        found += [row["event"] for row in answer["events"]]
        cursor = answer.get("next")
        if not cursor:
            return found
