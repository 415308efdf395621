"""`drill`: kill each process of the stack in the middle of real work, and prove that nothing was lost or doubled."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local.cli.shared import DONE, FAILED, USAGE, Stop

if TYPE_CHECKING:
    from local.stack.drill.run import Outcome, Row
    from local.stack.part import Part

_WIDTHS = (12, 7, 10, 16, 12, 8)
_SHOWN = 20


def drill(
    documents: Annotated[int, typer.Option(min=1, help="How many documents are reviewed.")] = 200,
    parts: Annotated[
        str, typer.Option(help="The parts to kill, with commas between them; all, if none is named.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Decides the order of the kills, and their moments.")] = 1,
    home: Annotated[
        Path | None, typer.Option(help="Where the drill's own stack lives; a temporary folder, if none is named.")
    ] = None,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data and the logs when all holds, too.")] = False,
) -> None:
    """Review documents on a stack of its own, kill its processes one after the other, and prove that all holds.

    Exit code 0 means: every document ended once, in exact order, with one bill per use, and nothing is left over.
    """
    from local.cli.stack import check_complete, terminated  # noqa: PLC0415  `agentfabric --help` should not load it
    from local.stack.parts import all_parts  # noqa: PLC0415

    struck = _chosen(all_parts(), parts)
    check_complete()
    folder = home if home is not None else Path(tempfile.mkdtemp(prefix="agentfabric-drill-"))
    signal.signal(signal.SIGTERM, terminated)
    outcome = _run(folder, struck, documents, seed)
    _say_end(outcome)
    if outcome.problems or keep or home is not None:
        typer.echo(f"data and logs are in {folder / 'stack'}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(FAILED if outcome.problems else DONE)


def _chosen(parts: list[Part], named: str) -> list[Part]:
    """Return the parts to strike, those that have a process."""
    found = {part.name: part for part in parts if part.command is not None}
    names = [name.strip() for name in named.split(",") if name.strip()] or list(found)
    if unknown := [name for name in names if name not in found]:
        raise Stop(f"no process {', '.join(unknown)}; there are {', '.join(found)}", USAGE)
    return [found[name] for name in names]


def _run(folder: Path, struck: list[Part], documents: int, seed: int) -> Outcome:
    from local.stack import state  # noqa: PLC0415  as above
    from local.stack.drill.run import Drill, blows  # noqa: PLC0415
    from local.stack.parts import all_parts  # noqa: PLC0415
    from local.stack.supervisor import Supervisor  # noqa: PLC0415

    if state.facts(folder / "stack"):
        raise Stop(f"a stack runs in {folder}; a drill wants one of its own", USAGE)
    supervisor = Supervisor(folder / "stack", all_parts(), _say_progress)
    try:
        supervisor.up(keep=False)
        _say(("part", "kills", "downtime", "documents done", "duplicates", "order"))
        plan = blows(struck, documents, seed)
        return Drill(folder / "stack", supervisor, _say_row).run(plan, documents, f"drill-{seed}")
    except BaseException:
        typer.echo(f"the drill did not come to its end; data and logs are in {folder / 'stack'}", err=True)
        raise
    finally:
        supervisor.down()


def _say_progress(part: str, what: str) -> None:
    if what != "runs already":
        typer.echo(f"{part:{_WIDTHS[0]}} {what}", err=True)


def _say_row(row: Row) -> None:
    how = "1" if row.killed else "asked"
    order = "exact" if row.in_order else "BROKEN"
    _say((row.part, how, f"{row.downtime:.1f} s", str(row.done), str(row.doubled), order))


def _say_end(outcome: Outcome) -> None:
    kills = sum(row.killed for row in outcome.rows)
    downtime = sum(row.downtime for row in outcome.rows)
    found, ended = outcome.found, outcome.found.ends()
    order = "exact" if found.in_order else "BROKEN"
    _say(("all", str(kills), f"{downtime:.1f} s", f"{len(ended)} of {outcome.documents}", str(found.doubled), order))
    kinds = [event["type"] for trail in found.trails.values() for event in trail.events]
    failed, uses = kinds.count("document.failed"), kinds.count("usage.metered")
    recorded = f"{len(kinds)} events of {len(found.trails)} entities recorded, {uses} uses billed"
    typer.echo(f"\n{recorded}, {failed} documents failed, in {outcome.seconds:.0f} s")
    for sentence in outcome.problems[:_SHOWN]:
        typer.echo(f"NOT SO: {sentence}")
    if len(outcome.problems) > _SHOWN:
        typer.echo(f"and {len(outcome.problems) - _SHOWN} more")
    if not outcome.problems:
        typer.echo("every document ended once, in exact order, with one bill per use; nothing is left over")


def _say(cells: tuple[str, ...]) -> None:
    typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip())
