"""`render` and `schema`: the developer's verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from local.cli.shared import FAILED, Stop


def render(
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a file is stale.")] = False,
) -> None:
    """Write the state machines and the JSON Schemas from the workflow table and the models."""
    from shared.render import rendered  # noqa: PLC0415

    stale = [path for path, text in rendered().items() if not Path(path).is_file() or Path(path).read_text() != text]
    if check and stale:
        raise Stop(f"stale: {', '.join(stale)}; run `agentfabric render`", FAILED)
    for path in stale:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(rendered()[path])
        typer.echo(f"wrote {path}")
    if not stale:
        typer.echo("all rendered files are up to date")


def schema(
    name: Annotated[str, typer.Argument(help="An event type, `envelope`, or `tools`; without one, the list.")] = "",
) -> None:
    """Print the JSON Schema of an event type, of the envelope, or of the tools for function calling."""
    from shared.render import envelope_schema, event_schemas  # noqa: PLC0415
    from shared.tools.registry import schemas  # noqa: PLC0415

    known = event_schemas() | {"envelope": envelope_schema()}
    if not name:
        typer.echo("\n".join([*known, "tools"]))
        return
    found = schemas() if name == "tools" else known.get(name)
    if found is None:
        raise Stop(f"no schema {name!r}; `agentfabric schema` lists them", 2)
    typer.echo(json.dumps(found, indent=2))
