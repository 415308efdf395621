"""The loads of the requirements in virtual time: a million submissions in ten minutes, one provider of three failing.

`python -m benchmarks.loads [SECONDS]` prints who was let in, refused and why, how long each class waited, and what each
tenant spent of its budget.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.loads_places import world
from benchmarks.loads_world import NOON, PER_SECOND
from benchmarks.runner import Effort, Row, at_most
from shared.core.ledger import Book, windows_at
from shared.core.policy import PRIORITIES

if TYPE_CHECKING:
    from benchmarks.loads_world import Tally, World

TEN_MINUTES = 600
_DRAINED_WITHIN = 300.0
_INTERACTIVE_MS = 50.0  # our own bound
_REASONS = {
    "pressure": "queue",
    "requests": "requests",
    "tokens": "tokens",
    "runs": "runs",
    "money": "money",
    "quota-used-up": "budget",
}


def rows(effort: Effort) -> Iterator[Row]:
    """Measure the waits of the most and the least urgent work."""
    seconds = effort.pick(full=TEN_MINUTES, quick=60, tiny=4)
    done = loaded(seconds)
    check(done)
    said = (
        f"{PER_SECOND * seconds:,} submissions in {seconds} simulated seconds, ten in the background for each that is"
        f" interactive; three providers, one of them away from {seconds * 0.3:g} to {seconds * 0.6:g} s. Ours alone:"
        " really decided are rates, leases, turns, routes and gates; played are clients, providers and the store."
    )
    urgent = quantile(done.by_class["interactive"].waits, 0.99) * 1000
    yield Row("interactive wait, p99", "ms", [urgent], target=at_most(_INTERACTIVE_MS, "ours"), note=said)
    longest = max(done.by_class["background"].waits)
    bound = done.policy.classes.background.most_wait
    yield Row("background wait, longest", "s", [longest], target=at_most(bound, "ours"), note=f"{said} All ended.")


def loaded(seconds: float) -> World:
    """Return the world after so many seconds of load, and after all that was let in has been done."""
    made = world(failing=(seconds * 0.3, seconds * 0.4, seconds * 0.6))
    made.submissions(seconds)
    made.drain(_DRAINED_WITHIN)
    return made


def check(done: World) -> None:
    """Assert that nothing was lost, overspent, or left open; whose money is used up stays parked till the next day."""
    for tally in (*done.by_class.values(), *done.by_tenant.values()):
        assert tally.submitted == tally.accepted + tally.refused.total()
        assert tally.ended + tally.parked == tally.accepted
    for name, account in done.accounts.items():
        assert account.runs == 0
        assert all(book.open == 0 for book in account.books.values())
        assert done.by_tenant[name].most <= done.clients[name].limits.daily_budget


def quantile(waits: Sequence[float], part: float) -> float:
    """Return the wait that such a part of them stays below."""
    ordered = sorted(waits)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def main() -> None:
    """Run, check, and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else float(TEN_MINUTES)
    done = loaded(seconds)
    check(done)
    console = Console(width=None if sys.stdout.isatty() else 160)
    submitted = sum(tally.submitted for tally in done.by_class.values())
    away, broken, well = (f"{seconds * part:g} s" for part in (0.3, 0.4, 0.6))
    console.print(
        f"{submitted:,} submissions in {seconds:g} s, {PER_SECOND} a second; the last run ended at"
        f" {done.now - NOON:.0f} s; `large` answers 429 from {away}, 503 from {broken}, and is well at {well}",
        highlight=False,
    )
    for table in (_classes(done), _tenants(done), _providers(done)):
        console.print(table)


def _classes(done: World) -> Table:
    table = Table(
        title="by class; refused with 429 for the queue, rates, runs and leased money, with 403 for the budget"
    )
    heads = (
        "class",
        "submitted",
        "accepted",
        *_REASONS.values(),
        "wait p50",
        "p99",
        "longest",
        "bound",
        "gave way",
        "parked",
    )
    _columns(table, heads)
    for one in PRIORITIES:
        tally = done.by_class[one]
        bound = done.policy.classes.of(one).most_wait
        waits = (f"{quantile(tally.waits, part):.3f} s" for part in (0.5, 0.99, 1.0))
        table.add_row(one, *_counts(tally), *waits, f"{bound:g} s", f"{tally.gave_way:,}", f"{tally.parked:,}")
    return table


def _tenants(done: World) -> Table:
    table = Table(title="by tenant; money in USD, `most` is the most that was spent and leased at any moment")
    heads = ("tenant", "submitted", "accepted", *_REASONS.values(), "spent", "most", "of")
    _columns(table, heads)
    for name, tally in done.by_tenant.items():
        today = done.accounts[name].books.get(windows_at(NOON)[0], Book())
        money = (today.settled, tally.most, done.clients[name].limits.daily_budget)
        table.add_row(name, *_counts(tally), *(f"{amount / 1e6:,.2f}" for amount in money))
    return table


def _providers(done: World) -> Table:
    table = Table(title="by provider")
    _columns(table, ("provider", "calls a second", "answered", "429", "503"))
    for name, one in done.providers.items():
        counts = (f"{one.said[end]:,}" for end in ("answered", "throttled", "failed"))
        table.add_row(name, str(one.per_second), *counts)
    return table


def _columns(table: Table, heads: Sequence[str]) -> None:
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right")


def _counts(tally: Tally) -> list[str]:
    return [f"{number:,}" for number in (tally.submitted, tally.accepted, *(tally.refused[code] for code in _REASONS))]


if __name__ == "__main__":
    main()
