"""The screen: how wide it is, what of other people's words it may be sent, rows with lines of their own below them.

Knows rich and the terminal; must not know what is shown.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import SegmentLines
from rich.table import Table
from rich.text import Text

AMOUNTS = frozenset({"calls", "tokens in", "tokens out", "cost", "saved", "in vain"})
WIDE = 120  # columns from which on a table has room for whole ids
_FILE_WIDTH = 140
_INDENT = 2
# Control characters, half characters, and what turns the direction or the line: a terminal would obey these.
_OBEYED = dict.fromkeys(
    (*range(32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), "\ufffd"
)


def columns() -> int:
    """Return how many columns there are; a file has a fixed number."""
    return shutil.get_terminal_size((_FILE_WIDTH, 24)).columns


def is_wide() -> bool:
    """Tell whether there is room for whole ids."""
    return columns() >= WIDE


def say(*parts: RenderableType, sep: str = " ") -> None:
    """Print, folded between words."""
    _console().print(*parts, sep=sep)


def say_command(words: str, meaning: str = "") -> None:
    """Print what somebody may type next on a line of its own, never folded, and after it what that does."""
    _console().print(text(f"  {words}{'  # ' if meaning else ''}{meaning}"), soft_wrap=True)


def command(*words: str) -> str:
    """Return a command line of this program, quoted where a shell needs it."""
    program = "agentfabric" if shutil.which("agentfabric") else os.path.relpath(sys.argv[0])
    return shlex.join([program, *words])


def printable(words: str) -> str:
    """Return the words of strangers (names, ids) on one line, without what a terminal would obey."""
    return words.translate(_OBEYED)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a document is. What does not fit is cut off at its beginning: its end tells it from the others."""

    words: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        shown = printable(self.words)
        if cell_len(shown) > options.max_width:
            while cell_len(shown) >= options.max_width:
                shown = shown[1:]
            shown = f"…{shown}"
        yield Text(shown, no_wrap=True)

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(1, min(options.max_width, cell_len(printable(self.words)))))


def text(words: str, style: str = "") -> Text:
    """Return words of strangers as they may be shown."""
    return Text(printable(words), style)


def prose(words: str, style: str = "") -> Text:
    """Return a stranger's sentences as they may be shown: their line breaks are blanks."""
    return text(" ".join(words.split()), style)


def one_line(*parts: Text) -> Text:
    """Return the parts as a line that ends in an ellipsis where it is too long."""
    joined = Text(" ", no_wrap=True, overflow="ellipsis").join(part for part in parts if part)
    joined.no_wrap, joined.overflow = True, "ellipsis"
    return joined


def at_most(lines: int, part: Text) -> Text:
    """Return a text that takes so many lines below a row, with an ellipsis where it is longer."""
    width = columns() - _INDENT
    wrapped = part.wrap(_console(), width)
    if len(wrapped) <= lines:
        return part
    last = Text(" ").join(wrapped[lines - 1 :])
    last.truncate(width, overflow="ellipsis")
    return Text("\n").join([*wrapped[: lines - 1], last])


def table(*headings: str, grows: str = "") -> Table:
    """Return a table whose rows take one line each; the column that `grows` takes the room the others leave."""
    made = Table(box=None, pad_edge=False, expand=bool(grows))
    for heading in headings:
        ratio = 1 if heading == grows else None
        made.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=ratio)
    return made


def columns_that_fold(count: int) -> Table:
    """Return a table without a heading whose cells show all they have, on as many lines as that takes."""
    made = Table.grid(padding=(0, 2))
    for _ in range(count):
        made.add_column(overflow="fold")
    return made


def statement(*headings: str) -> Table:
    """Return a table of what happened and of amounts, which come last: words fold, amounts stand below each other."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(headings))
    for heading in headings:
        amount = heading in AMOUNTS
        made.add_column(heading, justify="right" if amount else "left", overflow="fold", no_wrap=amount)
    return made


def say_rows(rows: Table, below: Sequence[Sequence[Text]]) -> None:
    """Print the table, each row followed by the texts that belong to it, which have all of the screen's width."""
    console = _console()
    heading, *lines = console.render_lines(rows, pad=False)
    console.print(SegmentLines([heading], new_lines=True))
    for line, texts in zip(lines, below, strict=True):
        console.print(SegmentLines([line], new_lines=True))
        for part in filter(None, texts):
            console.print(Padding(part, (0, 0, 0, _INDENT), expand=False))


def _console() -> Console:
    return Console(width=columns(), highlight=False, markup=False, emoji=False)


def plural(count: int, noun: str) -> str:
    """Return so many of something: `1 document`, `2 documents`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
