"""`settle`: what a call has cost whose end nobody knew, said by an operator who looked it up at the provider."""

from __future__ import annotations

from typing import Annotated

import typer

from local.cli.doors import Place, Where, operators
from local.cli.shared import HOME, USAGE, Home, Json, Person, Stop, print_json
from local.cli.tasks import Task
from shared.core.money import usd


def settle(  # noqa: PLR0913  what an operator can say is what the verb takes
    task: Task,
    person: Person,
    draw: Annotated[str, typer.Argument(help="Which call; without one they are listed.")] = "",
    *,
    cost: Annotated[int | None, typer.Option(min=0, help="What it has cost, in micro-USD.")] = None,
    reason: Annotated[str, typer.Option(help="How you know: the provider's request id, an invoice.")] = "",
    tokens_in: Annotated[int, typer.Option(min=0, help="Tokens it read.")] = 0,
    tokens_out: Annotated[int, typer.Option(min=0, help="Tokens it wrote.")] = 0,
    tenant: Annotated[str, typer.Option(help="Whose task it is.")] = "local",
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
    as_json: Json = False,
) -> None:
    """See the calls of a task that are charged at their worst case, or say what one has cost."""
    from local.desks import Calls  # noqa: PLC0415  `agentfabric --help` should not load what few verbs need

    if bool(draw) != (cost is not None) or bool(draw) != bool(reason.strip()):
        raise Stop("say all of it: agentfabric settle TASK DRAW --cost MICRO_USD --reason WHY", USAGE)
    with operators(home, where, person) as call:
        calls = Calls(call)
        if draw:
            told = {"tokens_in": tokens_in, "tokens_out": tokens_out, "reason": reason, "cost_micro_usd": cost}
            found = [calls.settle({"tenant": tenant, "task": task, "draw": draw} | told)]
        else:
            found = list(calls.unknown(tenant, task))
    for one in found:
        if as_json:
            print_json(one)
        elif draw:
            typer.echo(f"call {draw} of {one['step']} is charged at {usd(one['cost_micro_usd'])}")
        else:
            worst, name = usd(one["worst_micro_usd"]), one["deployment"]
            typer.echo(f"{one['draw']}  document {one['document']}, {one['step']} by {name}: charged at {worst}")
    if not found and not as_json:
        typer.echo("no call of this task has an end that nobody knows")
