from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shared.core.recording import Parked
from tests.local.stage import MIT, fabric
from tests.local.typed import DONE, FAILED, USAGE

if TYPE_CHECKING:
    from tests.local.typed import Shell

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
AT = datetime(2025, 6, 1, 12, 30, tzinfo=UTC)


def hold_back(shell: Shell, entity: str, *numbers: int) -> None:
    """Park messages that nobody can read."""
    with fabric(shell.folder / ".agentfabric") as opened:
        for number in numbers:
            poison = Parked("local", entity, number, "poison", "unknown event\ntype \x1b[31m", "{}", AT)
            opened.engine.ports.records.park(poison)


def test_nothing_is_held_back(shell: Shell) -> None:
    """Without anything parked or given up, `parked` says so."""
    assert shell.type("parked").out == "nothing is held back, nothing was given up\n"
    assert shell.type("parked", "--json").out == ""


@pytest.mark.parametrize("columns", [60, 140])
def test_what_is_held_back_is_listed_with_its_reason(shell: Shell, columns: int) -> None:
    """`parked` shows entity, number, cause and reason, and the command that settles one."""
    hold_back(shell, "package/a b", 1)
    shell.is_wide(columns)
    heading, row, reason, *rest = shell.type("parked").out.splitlines()
    assert heading.split() == ["entity", "#", "cause", "since"]
    assert row.split() == ["package/a", "b", "1", "poison", "2025-06-01", "12:30:00"]
    assert reason == "  unknown event type \ufffd[31m"
    assert "  agentfabric skip 'package/a b' NUMBER --reason WHY" in rest


def test_all_pages_are_listed(shell: Shell) -> None:
    """However much is parked, all of it is listed, or all of one entity."""
    hold_back(shell, "a", *range(1, 120))
    hold_back(shell, "b", 7)
    listed = [(row["entity"], row["sequence"]) for row in shell.type("parked", "--json").lines]
    assert listed == [*(("a", number) for number in range(1, 120)), ("b", 7)]
    assert [row["sequence"] for row in shell.type("parked", "--entity", "b", "--json").lines] == [7]


def test_a_number_is_skipped_under_a_name(shell: Shell) -> None:
    """`skip` lets the entity go on, and the record keeps who did it and why; again is told as settled."""
    hold_back(shell, "a", 1)
    said = shell.type("skip", "a", "1", "--reason", "a bad release", "--as", "Zoë")
    assert (said.code, said.out) == (DONE, "a 1: skipped\n")
    assert "nothing is held back" in shell.type("parked").out
    (event,) = shell.type("events", "--entity", "a", "--json").lines
    assert (event["type"], event["data"]["by"], event["data"]["reason"]) == ("record.skipped", "Zoë", "a bad release")
    assert shell.type("skip", "a", "1", "--reason", "again").out == "a 1: was settled before\n"


def test_an_earlier_number_comes_first(shell: Shell) -> None:
    """Skipping a number behind the one that holds the entity back is refused with that one's name."""
    hold_back(shell, "a", 1, 2)
    said = shell.type("skip", "a", "2", "--reason", "x")
    assert (said.code, said.out) == (FAILED, "")
    assert "1 holds 'a' back" in said.err


def test_dead_letters_are_listed_with_their_reason(shell: Shell) -> None:
    """What could not be delivered is listed with where it was going, its attempts and the reason."""
    with fabric(shell.folder / ".agentfabric") as opened:
        letters = opened.engine.ports.dead_letters
        assert letters is not None
        letters.bury("{", "broken-json: not JSON", "shard-1")
    out = shell.type("parked").out
    assert "1 dead letter" in out
    row, reason = out.splitlines()[-2:]
    assert (row.split(), reason) == (["work", "shard-1", "1"], "  broken-json: not JSON")
    (told,) = shell.type("parked", "--json").lines
    assert (told["route"], told["key"], told["reason"]) == ("work", "shard-1", "broken-json: not JSON")


def test_a_review_leaves_nothing_behind(shell: Shell) -> None:
    """After a review nothing is parked and nothing was given up."""
    shell.run(good=MIT)
    assert shell.type("parked", "--json").out == ""


@pytest.mark.parametrize("columns", [80, 140])
def test_an_event_is_a_line(shell: Shell, columns: int) -> None:
    """However wide the screen, each event takes a line of it, with its number, type and task."""
    (good,) = shell.run(good=MIT).lines
    shell.is_wide(columns)
    events = shell.type("events", "--task", good["task"], "--json").lines
    heading, *rows = shell.type("events", "--task", good["task"]).out.splitlines()
    assert heading.split()[:2] == ["entity", "#"]
    assert len(rows) == len(events)
    assert all(event["type"] in row and good["task"][:8] in row for event, row in zip(events, rows, strict=True))


def test_another_tenants_bill_and_events_are_asked_for_by_name(shell: Shell) -> None:
    """Whoever has the fabric at hand sees each tenant of its policy, and is told of one that it does not know."""
    assert shell.run(a=MIT).code == DONE
    assert shell.type("tenants", "set", "acme", "max_runs=1").code == DONE
    mine = shell.type("costs", "--by", "tenant", "--json").lines
    assert [one["name"] for one in mine] == ["local"]
    assert shell.type("costs", "--tenant", "local", "--by", "tenant", "--json").lines == mine
    assert shell.type("costs", "--tenant", "acme", "--json").lines == []
    unknown = shell.type("events", "--tenant", "nobody", "--task", "x")
    assert (unknown.code, "nobody" in unknown.err) == (USAGE, True)
