"""The verbs, and what a failure looks like to a person."""

from __future__ import annotations

import sqlite3
import sys

import typer

from local.cli import approvals, costs, develop, drill, limits, record, review, settling, stack, storm, tasks, trace
from local.cli.shared import WAITING, Stop, for_now
from shared.errors import FabricError, Throttled

app = typer.Typer(
    name="agentfabric",
    help="Run agent tasks across AWS, Azure and GCP from one contract; here, all three on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (
    review.demo,
    review.run,
    review.resume,
    tasks.submit,
    tasks.status,
    tasks.tasks,
    tasks.cancel,
    approvals.approvals,
    approvals.approve,
    approvals.reject,
    record.events,
    record.explain,
    trace.trace,
    costs.costs,
    record.parked,
    record.skip,
    limits.tenants,
    limits.policy,
    limits.stop,
    limits.start,
    limits.trail,
    settling.settle,
    develop.render,
    develop.schema,
    stack.up,
    stack.down,
    stack.doctor,
    drill.drill,
    storm.storm,
):
    app.command()(verb)


_INTERRUPTED = 130


def main() -> None:
    """Run a verb; its failure is a sentence, Ctrl-C stays KeyboardInterrupt."""
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer hears Ctrl-C first and makes this of it
            raise KeyboardInterrupt from None
        raise
    except Stop as stop:
        typer.echo(f"agentfabric: {stop}", err=True)
        sys.exit(stop.code)
    except Throttled as refusal:
        typer.echo(f"agentfabric: {for_now(refusal)}", err=True)
        sys.exit(WAITING)
    except FabricError as error:
        typer.echo(f"agentfabric: {error}", err=True)
        sys.exit(1)
    except sqlite3.DatabaseError as broken:
        typer.echo(f"agentfabric: the state cannot be used: {broken}; --home names another folder", err=True)
        sys.exit(1)
