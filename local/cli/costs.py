"""`costs`: the bill, from the record, by whatever column it is asked for."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.doors import Place, Where, doors
from local.cli.record import rows_of
from local.cli.shared import FAILED, HOME, Home, Json, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.costs import Gap, Share


class By(StrEnum):
    """The columns of the bill, as typer wants them."""

    TENANT = "tenant"
    WORKFLOW = "workflow"
    STEP = "step"
    MODEL = "model"
    CLOUD = "cloud"
    DEPLOYMENT = "deployment"
    OUTCOME = "outcome"
    ENTITY = "entity"
    TASK = "task"


def costs(
    by: Annotated[By, typer.Option(help="The column to add up by.")] = By.STEP,
    task: Annotated[str, typer.Option(help="Of this task alone.")] = "",
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
    *,
    as_json: Json = False,
) -> None:
    """Add up what was paid for models; exit code 1 when a line of a bill is missing."""
    from shared.core.costs import gaps, shares  # noqa: PLC0415
    from shared.core.recording import BillingRow  # noqa: PLC0415

    with doors(home, where) as to:
        asked = {"task": task} if task else {}
        rows = [BillingRow(**row) for row in rows_of(to.ask, "/bill", "usage", asked)]
    found, missing = shares(rows, by.value), gaps(rows)
    if as_json:
        for share in found:
            print_json(asdict(share))
    else:
        _print(found, by)
    _tell(missing)
    raise typer.Exit(FAILED if missing else 0)


def _print(found: Sequence[Share], by: By) -> None:
    from local import screen  # noqa: PLC0415
    from shared.core.costs import Share  # noqa: PLC0415

    if not found:
        screen.say("nothing was paid for")
        return
    total = Share("all")
    for share in found:
        for name in ("calls", "tokens_in", "tokens_out", "cost", "wasted", "saved"):
            setattr(total, name, getattr(total, name) + getattr(share, name))
    rows = screen.statement(by.value, "calls", "tokens in", "tokens out", "cost", "in vain", "saved")
    for share in (*found, *((total,) if len(found) > 1 else ())):
        rows.add_row(*_cells(share))
    screen.say(rows)


def _cells(share: Share) -> tuple[Any, ...]:
    from local.screen import text  # noqa: PLC0415
    from shared.core.money import usd  # noqa: PLC0415

    counts = (f"{count:,}" for count in (share.calls, share.tokens_in, share.tokens_out))
    return (text(share.name), *counts, *map(usd, (share.cost, share.wasted, share.saved)))


def _tell(missing: Sequence[Gap]) -> None:
    for gap in missing:
        what = [f"lacks {', '.join(map(str, gap.missing))}"] if gap.missing else []
        what += [f"has {', '.join(map(str, gap.repeated))} twice"] if gap.repeated else []
        typer.echo(f"the bill of task {gap.task} {' and '.join(what)}; see agentfabric parked", err=True)
