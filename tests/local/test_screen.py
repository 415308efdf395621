from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.corpus import Item
from local.report import Progress, print_table
from tests.local.stage import INVOICE, MIT, PLAIN, write_corpus

if TYPE_CHECKING:
    from local.corpus import Outcome
    from local.sqlite.broker import Message
    from tests.local.typed import Shell

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
REASON = "extract: document: it ends after 17 of 80123 bytes, so that nobody can tell what was to be read there"
BAD = Item(Path("bad"), "bad.pdf", "bad", status="failed", reason=REASON)


def shown(shell: Shell, *items: Item, columns: int = 80) -> str:
    """Return the table of these documents."""
    shell.is_wide(columns)
    shell.monkeypatch.setattr(sys, "argv", ["agentfabric"])
    shell.capsys.readouterr()
    print_table(items)
    return shell.capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 80, 140])
@pytest.mark.parametrize("status", ["failed", "waiting"])
def test_the_reason_of_what_needs_somebody_is_whole(shell: Shell, columns: int, status: Outcome) -> None:
    """However narrow the screen, the reason of a failed or waiting document is there to its last word."""
    item = replace(BAD, status=status, label="invoice", approval="beefbeef-1", summary="words " * 100)
    out = shown(shell, item, columns=columns)
    assert REASON in " ".join(out.split())
    assert "words words" in out
    assert max(len(line) for line in out.splitlines() if "  agentfabric" not in line) <= columns


def test_a_row_is_a_row(shell: Shell) -> None:
    """Names, reasons and summaries with line breaks and escape sequences make no rows and colour nothing."""
    odd = "a\n\x1b[31mb\r\t\u2028\u202e\x9b.txt"
    item = replace(BAD, name=odd, status="done", label="mit\n", reason="why\nso", summary="x\ny\x07")
    lines = shown(shell, item).splitlines()
    assert lines[1].startswith("a\ufffd\ufffd[31mb")
    assert lines[2] == "  why so x y\ufffd"
    assert lines[3] == ""
    assert not set("".join(lines)) & set("\x1b\x07\r\x9b\u202e\u2028\t")


def test_a_path_loses_its_beginning(shell: Shell) -> None:
    """Where there is no room for a path its end is shown, which tells it from the others."""
    long = "/".join(f"folder-{number}" for number in range(20))
    row = shown(shell, replace(BAD, name=f"{long}/bill.txt")).splitlines()[1]
    assert row.startswith("…")
    assert "/folder-19/bill.txt  -" in row


def test_one_and_many(shell: Shell) -> None:
    """One document is counted in the singular, two in the plural, and so is what waits."""
    waiting = replace(BAD, status="waiting", label="in voice", approval="beefbeef-1")
    one, two = shown(shell, waiting), shown(shell, waiting, waiting)
    assert "\n1 document: 1 waiting; $0.000000 spent\n" in one
    assert "\n1 document waits for a human:\n" in one
    assert "\n2 documents: 2 waiting; $0.000000 spent\n" in two
    assert "\n2 documents wait for a human:\n" in two


def test_a_command_stays_on_its_line(shell: Shell) -> None:
    """What may be typed next is never folded, and is quoted as a shell needs it."""
    waiting = replace(BAD, status="waiting", label="in voice", approval="beefbeef-1", name="x" * 60)
    lines = shown(shell, waiting, columns=40).splitlines()
    assert f"  agentfabric approve beefbeef  # {'x' * 60}: in voice" in lines
    assert "  agentfabric approve --label 'in voice'  # all that are in voice" in lines


@pytest.mark.parametrize("columns", [80, 140])
def test_tasks_say_where_they_are_and_whether_there_are_more(shell: Shell, columns: int) -> None:
    """`tasks` shows the cloud of each task and, unless it is the last page, the command for the next."""
    shell.run(a=MIT, b=MIT, c=INVOICE)
    shell.is_wide(columns)
    ids = [task["id"] for task in shell.type("tasks", "--json").lines]
    page = shell.type("tasks", "--limit", "2").out
    assert f"\nmore:\n  agentfabric tasks --after {ids[1]}\n" in page
    assert page.count(" azure ") == 2
    assert max(map(len, page.splitlines())) <= columns
    rest = shell.type("tasks", "--limit", "1", "--after", ids[1]).out
    assert ids[2] in rest
    assert "more" not in rest


def test_a_taxonomy_is_a_file_whatever_its_name(shell: Shell) -> None:
    """A file that exists is a taxonomy without .toml, too; the packaged names keep their meaning."""
    write_corpus(shell.folder, {"a.txt": MIT, "mine": PLAIN, "licences": "no taxonomy"})
    assert shell.type("run", "a.txt", "--taxonomy", "mine", "--json").lines[0]["label"] == "mit"
    assert shell.type("run", "a.txt", "--taxonomy", "licences", "--json").lines[0]["label"] == "MIT"


class Counted:
    """Documents that all are done, for a cent."""

    spent = 10_000

    @property
    def tally(self) -> Counter[Outcome]:
        """Return three."""
        return Counter({"done": 3})

    def heard(self, message: Message) -> None:
        """Hear nothing."""

    def follow(self) -> bool:
        """Return that nothing is left."""
        return True


@pytest.mark.parametrize(("seconds", "lines"), [(0.9, 0), (1.1, 2)])
def test_brief_work_is_silent(capsys: pytest.CaptureFixture[str], seconds: float, lines: int) -> None:
    """Work that ends within a second says nothing; longer work says how far it is, and once more at its end."""
    moments = iter([0.0, *[seconds] * 9])
    with Progress(Counted(), brief=True, clock=lambda: next(moments)) as progress:
        progress.follow()
    assert capsys.readouterr().err == "3 documents: 3 done, 0 waiting, 0 failed, 0 queued; $0.010000 spent\n" * lines


def test_a_backlog_is_counted_by_whoever_takes_it_along(shell: Shell) -> None:
    """`resume` counts the documents of every task it brings to an end, and their failures make it fail."""
    write_corpus(shell.folder, {"a.txt": MIT, "empty.txt": ""})
    shell.type("submit", "a.txt", "empty.txt", "--taxonomy", "plain.toml")
    said = shell.type("resume")
    assert (said.code, said.out) == (1, "1 task: 1 over, 0 documents wait for a human, 1 failed now\n")
