"""What a person sees: progress while it works, tables at the end, stories. Words only, no decisions."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from shared.core.story import Cost, Line, usd

if TYPE_CHECKING:
    from local.corpus import Item
    from local.review import Review
    from local.sqlite.broker import Message

_REFRESH_SECONDS = {True: 0.1, False: 2.0}
_MANY = 200
_FILE_WIDTH = 140
_OBEYED = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160), *range(0xD800, 0xE000)), "\ufffd")
_STYLES = {"done": "green", "waiting": "yellow", "failed": "red", "queued": "dim", "cancelled": "dim"}


class Progress:
    """One line that follows a review: rewritten on a terminal, repeated now and then in a log."""

    def __init__(self, review: Review | None) -> None:
        self._review = review
        self._terminal = sys.stderr.isatty()
        self._next = 0.0

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        if self._review is not None and self._terminal:
            sys.stderr.write("\n")

    def heard(self, message: Message) -> None:
        """Count a recorded message."""
        if self._review is None:
            return
        self._review.heard(message)
        if time.monotonic() >= self._next:
            self._show()

    def _show(self) -> None:
        if self._review is None:
            return
        self._next = time.monotonic() + _REFRESH_SECONDS[self._terminal]
        tally = self._review.tally
        counts = ", ".join(f"{tally[state]} {state}" for state in ("done", "waiting", "failed", "queued"))
        line = f"{sum(tally.values())} documents: {counts}; {usd(self._review.spent)} spent"
        sys.stderr.write(f"\r\x1b[2K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()


def print_table(items: Sequence[Item]) -> None:
    """Print the documents (all, or of very many those that need somebody), then the sums."""
    shown = items if len(items) <= _MANY else [item for item in items if item.status != "done"][:_MANY]
    if shown:
        _console().print(_documents(shown))
    if len(shown) < len(items):
        _console().print(f"{len(items) - len(shown)} more documents are not listed; --json lists all")
    _console().print(_text(_sums(items)))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False, markup=False, emoji=False)


def printable(words: str) -> str:
    """Return the words of strangers (names of files, summaries) without what a terminal would obey."""
    return words.translate(_OBEYED)


def _text(words: str, style: str = "") -> Text:
    return Text(printable(words), style)


def _documents(items: Sequence[Item]) -> Table:
    declared = any(item.declared for item in items)
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("document", no_wrap=True, overflow="ellipsis", ratio=2, min_width=20)
    for heading in ("class", "score", *(("declared",) if declared else ()), "status"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why, and what it says", no_wrap=True, overflow="ellipsis", ratio=4)
    for item in items:
        table.add_row(
            _text(item.name if item.entity in item.name else f"{item.entity}/{item.name}"),
            _text(item.label or "-"),
            f"{item.score:.2f}" if item.label else "-",
            *((_text(" or ".join(item.declared) or "-"),) if declared else ()),
            _text(_status(item), style=_STYLES[item.status]),
            Text.assemble(
                _text(item.reason), "\n" if item.summary else "", _text(" ".join(item.summary.split()), "dim")
            ),
        )
    return table


def _status(item: Item) -> str:
    return item.status if item.verdict in ("", "automatic") else f"{item.status}, {item.verdict}"


def _sums(items: Sequence[Item]) -> str:
    tally = Counter(item.status for item in items)
    labels = Counter(item.label for item in items if item.label)
    classes = ", ".join(f"{count} {label}" for label, count in labels.most_common(8))
    states = ", ".join(f"{count} {state}" for state, count in tally.most_common())
    cost = usd(sum(item.cost for item in items))
    return f"\n{len(items)} documents: {states}; {cost} spent\nclasses: {classes or 'none'}{_next_step(items)}"


def _next_step(items: Sequence[Item]) -> str:
    waiting = [item for item in items if item.status == "waiting"]
    if not waiting:
        return ""
    example = waiting[0]
    return (
        f"\n{len(waiting)} wait for a human. See them with `{program()} approvals`; decide with, say,"
        f"\n  {program()} approve {example.approval[:8]}        ({example.entity}: {example.reason})"
        f"\n  {program()} approve --label {example.label}"
    )


def program() -> str:
    """Return what to type for this program."""
    return "agentfabric" if shutil.which("agentfabric") else os.path.relpath(sys.argv[0])


def print_accuracy(items: Sequence[Item], seconds: float) -> None:
    """Print how the classes compare with what the packages say of themselves."""
    from local.licences import agrees  # noqa: PLC0415  only the demo knows about licences

    declared = [item for item in items if item.declared and item.label]
    wrong = [item for item in declared if not agrees(item.label, item.declared)]
    right = len(declared) - len(wrong)
    if declared:
        share = 100 * right / len(declared)
        _console().print(f"\naccuracy against the packages' metadata: {right} of {len(declared)} = {share:.1f} %")
    for item in wrong:
        _console().print(_text(f"  {item.entity}/{item.name}: {item.label}, declared {' or '.join(item.declared)}"))
    _console().print(
        f"in {seconds:.1f} s. Why did one end as it did? {program()} explain {items[0].task if items else ''}"
    )


def print_tasks(tasks: Sequence[dict[str, Any]]) -> None:
    """Print tasks, a line each."""
    table = Table("task", "entity", "status", "on", "documents", "waiting", "spent", box=None, pad_edge=False)
    for task in tasks:
        table.add_row(
            task["id"],
            _text(task["entity"]),
            task["status"],
            task.get("placed_on") or "-",
            str(task["documents"]),
            str(task["waiting"]),
            usd(task["spent_micro_usd"]),
        )
    _console().print(table if tasks else "no tasks")


def print_approvals(approvals: Sequence[dict[str, Any]]) -> None:
    """Print what waits for a decision, a line each."""
    table = Table("approval", "entity", "document", "class", "why", "until", "who", box=None, pad_edge=False)
    for approval in approvals:
        table.add_row(
            approval["id"][:8],
            _text(approval["entity"]),
            _text(approval["name"]),
            _text(approval["shown"]["label"]),
            _text(approval["reason"]),
            approval["deadline"][:16].replace("T", " "),
            ", ".join(approval["approvers"]),
        )
    _console().print(table if approvals else "nothing waits for a decision")


def print_events(events: Sequence[dict[str, Any]]) -> None:
    """Print events, a line each."""
    table = Table("entity", "#", "time", "event", "source", "task", box=None, pad_edge=False)
    for event in events:
        table.add_row(
            _text(event["partitionkey"]),
            str(event["sequence"]),
            event["time"][:19].replace("T", " "),
            event["type"],
            event["source"],
            event["taskid"],
        )
    _console().print(table if events else "no events")


def print_story(lines: Sequence[Line], cost: Cost) -> None:
    """Print a task's story and its cost tree."""
    for line in lines:
        why = f"\n             because {line.why}" if line.why else ""
        _console().print(_text(f"{line.event.time:%H:%M:%S}  {line.event.source:<14} {line.text}{why}"))
    _console().print(_tree(cost, Tree(f"{cost.name}  {usd(cost.total)}")))


def _tree(cost: Cost, tree: Tree) -> Tree:
    for part in cost.parts.values():
        _tree(part, tree.add(f"{part.name}  {usd(part.total)}"))
    return tree
