"""`storm`: thousands of tasks under a seeded weather of faults, and proof that nothing is lost or doubled."""

from __future__ import annotations

import os
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from local.cli.shared import DONE, FAILED

if TYPE_CHECKING:
    from local.faults.storm import Outcome

_WIDTHS = (6, 5, 8, 7, 7, 9, 10, 8, 8, 9, 6)
_HEAD = ("seed", "part", "tasks", "kills", "faults", "completed", "cancelled", "failed", "refused", "events", "wrong")
_SHOWN = 10
_CERTAINTY = 3  # no failure in n trials: with 95 % certainty, less than 3 in n fail


def storm(
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks each seed's storm has.")] = 10_000,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, counted from `--seed`.")] = 3,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 1,
    only: Annotated[
        str, typer.Option(help="The kinds of faults, with commas between them; all, if none is named.")
    ] = "",
    without: Annotated[str, typer.Option(help="Kinds of faults to leave out.")] = "",
    part: Annotated[int | None, typer.Option(help="One part of a storm, as a failure names it.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many parts run at a time.")] = os.cpu_count() or 1,
) -> None:
    """Let tasks through a storm of crashes, lost answers, duplicates and the like, and prove that all holds.

    Exit code 0 means: every task ended once, with one bill and its exact order, and nothing was published uncommitted.
    """
    from local.faults.kinds import chosen  # noqa: PLC0415  `agentfabric --help` should not load it
    from local.faults.storm import all_endured, plans  # noqa: PLC0415

    kinds = chosen(only, [name.strip() for name in without.split(",") if name.strip()])
    began = monotonic()
    _say(_HEAD)
    outcomes: list[Outcome] = []
    for outcome in all_endured(plans(tasks, range(seed, seed + seeds), kinds, part), processes):
        outcomes.append(outcome)
        _say_row(outcome)
    _say_end(outcomes, monotonic() - began)
    raise typer.Exit(FAILED if any(outcome.wrong for outcome in outcomes) else DONE)


def _say_row(one: Outcome) -> None:
    cells = (one.plan.seed, one.plan.part, one.plan.tasks, one.kills.total(), one.struck.total())
    ends = (one.ends[end] for end in ("completed", "cancelled", "failed", "rejected"))
    _say((*map(str, cells), *map(str, ends), str(one.events), str(len(one.wrong))))


def _say_end(outcomes: list[Outcome], seconds: float) -> None:
    struck: Counter[str] = Counter()
    kills: Counter[str] = Counter()
    for one in outcomes:
        struck.update({kind.value: count for kind, count in one.struck.items()})
        kills.update(one.kills)
    tasks = sum(one.plan.tasks for one in outcomes)
    typer.echo("\nfaults: " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(struck.items())))
    calm = sorted(kind.value for kind in set().union(*(one.plan.kinds for one in outcomes)) if kind.value not in struck)
    if calm:
        typer.echo(f"never struck: {', '.join(calm)}")
    typer.echo("kills: " + ", ".join(f"{where} {count}" for where, count in kills.most_common()))
    used = sum(one.seconds for one in outcomes)
    calls = sum(one.calls for one in outcomes)
    typer.echo(
        f"{tasks:,} tasks, {kills.total():,} kills, {calls:,} calls of models, "
        f"in {seconds:.0f} s, {1000 * used / tasks:.1f} ms of a processor a task"
    )
    bad = [one for one in outcomes if one.wrong]
    for one in bad:
        typer.echo(f"\nagentfabric storm --seeds 1 {one.name}")
        for sentence in one.wrong[:_SHOWN]:
            typer.echo(f"  NOT SO: {sentence}")
        if len(one.wrong) > _SHOWN:
            typer.echo(f"  and {len(one.wrong) - _SHOWN} more")
    if not bad:
        typer.echo(
            "every task ended once, with one bill and its exact order; nothing was published uncommitted\n"
            f"(no failure in {tasks:,} tasks: fewer than {_CERTAINTY} in {tasks:,} fail so, at a certainty of 95 %)"
        )


def _say(cells: tuple[str, ...]) -> None:
    typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip())
