"""What a person sees of a review: progress while it works, tables at the end, stories. Words only, no decisions."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from local import screen
from local.screen import Location, command, one_line, plural, prose, say, say_command, say_rows, text
from shared.core.cost_tree import Cost
from shared.core.money import usd

if TYPE_CHECKING:
    from rich.table import Table

    from local.corpus import Item, Outcome
    from local.sqlite.broker import Message
    from shared.core.story import Account, Line
    from shared.errors import Throttled

_REFRESH_SECONDS = {True: 0.1, False: 2.0}
_PATIENCE_SECONDS = 1.0
_MANY = 200
_STYLES = {
    "done": "green",
    "waiting": "yellow",
    "parked": "yellow",
    "failed": "red",
    "queued": "dim",
    "cancelled": "dim",
}


class Followed(Protocol):
    """What has documents that can be counted while they are worked at."""

    @property
    def spent(self) -> int:
        """What they cost so far, in micro-USD."""
        ...

    @property
    def tally(self) -> Counter[Outcome]:
        """How many are how far."""
        ...

    def follow(self) -> bool:
        """Count what another engine did since; return whether nothing is left to do."""
        ...


@runtime_checkable
class Listening(Followed, Protocol):
    """What hears the record as it is written, beside being asked."""

    def heard(self, message: Message) -> None:
        """Follow the record."""
        ...


class Progress:
    """One line that follows the work: rewritten on a terminal, repeated now and then in a log.

    A `brief` one is for what mostly ends at once: it says nothing before a second has passed.
    """

    def __init__(self, followed: Followed, *, brief: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._followed = followed
        self._clock = clock
        self._terminal = sys.stderr.isatty()
        self._speaks = not brief
        self._held_up_by = ""
        self._next = clock() + (_PATIENCE_SECONDS if brief else _REFRESH_SECONDS[self._terminal])

    def __enter__(self) -> Self:
        if self._speaks:
            self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._speaks:
            self._show()
            if self._terminal:
                sys.stderr.write("\n")

    def submitted(self, done: int, total: int) -> None:
        """Say how many documents are submitted, when that takes long enough to be worth a line."""
        if self._is_time():
            self._say(f"submitting {done:,} of {plural(total, 'document')}")

    def held_up(self, refusal: Throttled, left: int, seconds: float) -> None:
        """Say what keeps documents outside and how long: when that is something else than before, or now and then."""
        if refusal.code != self._held_up_by or self._is_time():
            again = f"asking again in {seconds:.0f} s" if seconds else "asking again"
            self._say(f"{plural(left, 'document')} not let in yet: {refusal}; {again}")
        self._held_up_by = refusal.code

    def heard(self, message: Message) -> None:
        """Count a recorded message, where an engine in this process writes the record."""
        if isinstance(self._followed, Listening):
            self._followed.heard(message)
        if self._is_time():
            self._show()

    def follow(self) -> bool:
        """Count what another engine did since; return whether nothing is left to do."""
        done = self._followed.follow()
        if self._is_time():
            self._show()
        return done

    def _show(self) -> None:
        tally = self._followed.tally
        counts = ", ".join(f"{tally[state]:,} {state}" for state in ("done", "waiting", "failed", "queued"))
        counts += f", {tally['parked']:,} parked" if tally["parked"] else ""
        self._say(f"{plural(tally.total(), 'document')}: {counts}; {usd(self._followed.spent)} spent")

    def _is_time(self) -> bool:
        return self._clock() >= self._next

    def _say(self, line: str) -> None:
        self._speaks = True
        self._next = self._clock() + _REFRESH_SECONDS[self._terminal]
        # A line that went on below could not be taken back.
        sys.stderr.write(f"\r\x1b[2K{line[: screen.columns() - 1]}" if self._terminal else f"{line}\n")
        sys.stderr.flush()


def print_table(items: Sequence[Item], where: Sequence[str] = ()) -> None:
    """Print the documents (all, or of very many those that need somebody), then the sums and what to do next.

    `where` is what a command needs so that it is about the same fabric.
    """
    shown = items if len(items) <= _MANY else [item for item in items if item.status != "done"][:_MANY]
    if shown:
        say_rows(_documents(shown), [_below(item) for item in shown])
    if len(shown) < len(items):
        left = plural(len(items) - len(shown), "more document")
        say(f"{left} {'is' if len(items) - len(shown) == 1 else 'are'} not listed; --json lists all")
    _say_sums(items)
    _say_next_step([item for item in items if item.status == "waiting"], where)
    _say_parked(sum(item.status == "parked" and bool(item.task) for item in items), where)
    _say_outside(sum(item.status == "parked" and not item.task for item in items))


def _documents(items: Sequence[Item]) -> Table:
    declared = any(item.declared for item in items)
    table = screen.table("document", "class", "score", *(("declared",) if declared else ()), "status", grows="document")
    for item in items:
        table.add_row(
            Location(item.title or item.name),
            text(item.label or "-"),
            f"{item.score:.2f}" if item.label else "-",
            *((text(" or ".join(item.declared) or "-"),) if declared else ()),
            text(_status(item), _STYLES[item.status]),
        )
    return table


def _below(item: Item) -> tuple[Text, ...]:
    """Return why, and what the document says. Who must act on it reads all of the reason; the rest is a line."""
    reason, summary = prose(item.reason), prose(item.summary, "dim")
    return (one_line(reason, summary),) if item.status == "done" else (reason, one_line(summary))


def _status(item: Item) -> str:
    return item.status if item.verdict in ("", "automatic") else f"{item.status}, {item.verdict}"


def _say_sums(items: Sequence[Item]) -> None:
    tally = Counter(item.status for item in items)
    labels = Counter(item.label for item in items if item.label)
    states = ", ".join(f"{count:,} {state}" for state, count in tally.most_common())
    classes = ", ".join(f"{count:,} {label}" for label, count in labels.most_common(8))
    say(f"\n{plural(len(items), 'document')}: {states}; {usd(sum(item.cost for item in items))} spent")
    say(Text("classes: ") + text(classes or "none"))


def _say_next_step(waiting: Sequence[Item], where: Sequence[str]) -> None:
    if not waiting:
        return
    example = waiting[0]
    say(f"{plural(len(waiting), 'document')} {'waits' if len(waiting) == 1 else 'wait'} for a human:")
    say_command(command("approvals", *where), "what they are, why, until when")
    say_command(command("approve", example.approval[:8], *where), f"{example.title or example.name}: {example.label}")
    say_command(command("approve", "--label", example.label, *where), f"all that are {example.label}")


def _say_parked(count: int, where: Sequence[str]) -> None:
    if count:
        say(f"{plural(count, 'document')} {'is' if count == 1 else 'are'} parked, which is no failure:")
        say_command(command("resume"), "goes on with what need not wait any longer")
        say_command(command("approvals", *where), "has the decisions on budgets")


def _say_outside(count: int) -> None:
    if count:
        was = "was" if count == 1 else "were"
        say(f"{plural(count, 'document')} {was} not let in yet, which is no failure; the same command asks again")


def print_accuracy(items: Sequence[Item], seconds: float, where: Sequence[str] = ()) -> None:
    """Print how the classes compare with what the packages say of themselves."""
    from local.licences import agrees  # noqa: PLC0415  only the demo knows about licences

    declared = [item for item in items if item.declared and item.label]
    wrong = [item for item in declared if not agrees(item.label, item.declared)]
    right = len(declared) - len(wrong)
    if declared:
        share = 100 * right / len(declared)
        say(f"\naccuracy against the packages' metadata: {right} of {len(declared)} = {share:.1f} %")
    for item in wrong:
        said = item.title or item.name
        say(Padding(text(f"{said}: {item.label}, declared {' or '.join(item.declared)}"), (0, 0, 0, 2), expand=False))
    say(f"in {seconds:.1f} s")
    if items:
        say("Why did one end as it did?")
        say_command(command("explain", items[0].task, *where))


def print_story(lines: Sequence[Line], cost: Cost, account: Account, ledger: Mapping[str, Any] | None) -> None:
    """Print a task's story, its cost tree, and whether the ledger says the same."""
    rows, day = screen.statement("time", "where", "what happened, and why", "cost"), ""
    for line in lines:
        if day != (day := f"{line.at:%Y-%m-%d}"):
            rows.add_row(Text(day, "bold"))
        why = (Padding(prose(line.why, "dim"), (0, 0, 0, 2)),) if line.why else ()
        told = Group(prose(line.text), *why)
        paid = "" if line.cost is None else usd(line.cost)
        rows.add_row(f"{line.at:%H:%M:%S}", text(line.event.source, "dim"), told, paid)
    say(rows)
    say("", _tree(cost), "")
    say(*_sums(cost, account), sep="\n")
    if ledger is not None:
        say(_compared(cost, ledger))


def _tree(cost: Cost) -> Table:
    """Return the tree with its amounts in columns; one that is 0 everywhere is left out."""
    columns = {"cost": attrgetter("total"), "saved": attrgetter("saved"), "in vain": attrgetter("wasted")}
    shown = {name: of for name, of in columns.items() if name == "cost" or of(cost)}
    rows = screen.statement("", *shown)
    for guide, part in _branches(cost):
        amounts: list[int] = [of(part) for of in shown.values()]
        rows.add_row(text(guide + part.name), usd(amounts[0]), *(usd(one) if one else "" for one in amounts[1:]))
    return rows


def _branches(cost: Cost, before: str = "", own: str = "") -> Iterator[tuple[str, Cost]]:
    """Yield the nodes of a tree, each after the lines that lead to it."""
    yield before + own, cost
    below = before + {"├── ": "│   ", "└── ": "    "}.get(own, "")
    parts = list(cost.parts.values())
    for place, part in enumerate(parts, 1):
        yield from _branches(part, below, "└── " if place == len(parts) else "├── ")


def _sums(cost: Cost, account: Account) -> Iterator[str]:
    runs = f" in {account.runs} runs" if account.runs > 1 else ""
    yield f"spent: {usd(cost.total)} of a budget of {usd(account.budget)}{runs}"
    if cost.saved:
        yield f"saved: {usd(cost.saved)} that questions would have cost which were answered before"
    if cost.not_paid_again:
        yield f"not paid again: {usd(cost.not_paid_again)} for answers that this task had paid for before"
    if cost.wasted:
        yield f"in vain: {usd(cost.wasted)} for calls whose answers nobody used"
    if account.prices:
        yield f"prices: version {', '.join(account.prices)}, as `agentfabric policy show VERSION` shows it"


def _compared(cost: Cost, ledger: Mapping[str, Any]) -> str:
    """Say what the ledger says beside the tree; while calls are out, or events on their way, they may differ."""
    settled, held = ledger["settled_micro_usd"], ledger["held_micro_usd"]
    charged = settled if ledger["state"] == "open" else settled + held  # who is over is billed for what is out
    off = abs(charged - cost.total)
    agrees = f"differs from the tree by {usd(off)}" if off else "agrees with the tree to the micro-dollar"
    out = f"{usd(held)} held for calls that are out" if held else "nothing held"
    of = f" of {usd(ledger['leased_micro_usd'])}" if ledger["state"] == "open" else ""
    return f"ledger: {usd(settled)} settled{of}, {out}, lease {ledger['state']}: {agrees}"
