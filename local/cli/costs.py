"""`costs`: the bill, from the record, by whatever column it is asked for."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.doors import Place, Where, Whose, doors
from local.cli.record import WHERE_LINES_ARE, rows_of
from local.cli.shared import FAILED, HOME, USAGE, Home, Json, Stop, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.costs import Difference, Gap, Share


def _a_time(said: str) -> str:
    if said and not (_is_date(said) or _is_date(f"{said}-01")):
        raise Stop(f"{said} is no day and no month; write 2026-11-21, or 2026-11", USAGE)
    return said


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


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
    during: Annotated[
        str, typer.Option(help="In this month or day of the budgets, such as 2026-11.", callback=_a_time)
    ] = "",
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
    tenant: Whose = "",
    *,
    as_json: Json = False,
) -> None:
    """Add up what was paid for models; exit code 1 when a bill lacks a line, or does not say what was charged.

    Days are those of the tenants' budgets, in UTC: what a run spends counts in the one in which its money was leased.
    """
    from shared.core.costs import differences, gaps, shares, within  # noqa: PLC0415
    from shared.core.recording import BillingRow  # noqa: PLC0415

    with doors(home, where, tenant) as to:
        asked = {"task": task} if task else {}
        rows = [BillingRow(**row) for row in rows_of(to.ask, "/bill", "usage", asked)]
        missing, wrong = gaps(rows), differences(rows, to.charged(task))
    found = shares(within(rows, during) if during else rows, by.value)
    if as_json:
        for share in found:
            print_json(asdict(share))
    else:
        _print(found, by)
    _tell(missing, wrong)
    raise typer.Exit(FAILED if missing or wrong else 0)


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


def _tell(missing: Sequence[Gap], wrong: Sequence[Difference]) -> None:
    from shared.core.money import usd  # noqa: PLC0415

    for gap in missing:
        what = [f"lacks {', '.join(map(str, gap.missing))}"] if gap.missing else []
        what += [f"has {', '.join(map(str, gap.repeated))} twice"] if gap.repeated else []
        typer.echo(f"the bill of task {gap.task} {' and '.join(what)}", err=True)
    for one in wrong:
        said = f"{usd(one.billed)}, and {usd(one.charged)} were charged"
        typer.echo(f"the bill of task {one.task} says {said}", err=True)
    if missing or wrong:
        typer.echo(WHERE_LINES_ARE, err=True)
