"""What a person sees of tasks, approvals, events and what is held back. Words only, no decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from local import screen
from local.screen import Location, command, prose, say, say_command, say_rows, text
from shared.core import story
from shared.core.money import usd

if TYPE_CHECKING:
    from local.sqlite.broker import DeadLetter

SHORT = 8  # characters of an id or a digest that tell it from the others
_SUMMARY_LINES = 2


def print_tasks(tasks: Sequence[dict[str, Any]], *, more: bool, where: Sequence[str] = ()) -> None:
    """Print tasks, and how to see those after them."""
    if not tasks:
        say("no tasks")
        return
    wide = screen.is_wide()
    rows = screen.table("task", *(("entity",) if wide else ()), *_TASK_HEADINGS, grows="entity" if wide else "")
    for task in tasks:
        rows.add_row(
            text(task["id"]),
            *((Location(_seen_from_here(task["entity"])),) if wide else ()),
            task["status"],
            task["placed_on"] or "-",
            str(task["documents"]),
            str(task["waiting"]),
            usd(task["spent_micro_usd"]),
        )
    entities = [() if wide else (text(_seen_from_here(task["entity"]), "dim"),) for task in tasks]
    say_rows(rows, [(*entity, *_waits(task)) for entity, task in zip(entities, tasks, strict=True)])
    if more:
        say("\nmore:")
        say_command(command("tasks", "--after", tasks[-1]["id"], *where))


def waits(task: dict[str, Any]) -> str:
    """Say what a parked task waits for, and what can be done about it; nothing of any other."""
    if not task.get("parked_for"):
        return ""
    until = task["parked_until"]
    said = story.waits(task["parked_for"], datetime.fromisoformat(until) if until else None, task["reason"])
    return prose(said).plain


def _waits(task: dict[str, Any]) -> tuple[Text, ...]:
    said = waits(task)
    return (text(said, "yellow"),) if said else ()


_TASK_HEADINGS = ("status", "on", "docs", "wait", "spent")


def print_approvals(approvals: Sequence[dict[str, Any]], where: Sequence[str] = ()) -> None:
    """Print what waits for a decision: what it is about, why, until when and who may decide, and the summary.

    `where` is what a command needs so that it is about the same fabric.
    """
    if not approvals:
        say("nothing waits for a decision")
        return
    rows = screen.table("approval", "document", "class", "score", "digest", grows="document")
    for approval in approvals:
        rows.add_row(
            approval["id"][:SHORT],
            Location(_document(approval)),
            text(_label(approval)),
            _score(approval),
            approval["digest"][:SHORT],
        )
    say_rows(rows, [_below(approval) for approval in approvals])
    first = approvals[0]
    say(f"\n{screen.plural(len(approvals), 'decision')} to make. See one whole, and decide exactly that:")
    say_command(command("approvals", first["id"][:SHORT], *where))
    say_command(decide_command(first, where))


def decide_command(approval: dict[str, Any], where: Sequence[str] = ()) -> str:
    """Return what approves exactly what was shown."""
    return command("approve", approval["id"][:SHORT], "--digest", approval["digest"][:SHORT], *where)


def in_a_line(approval: dict[str, Any]) -> str:
    """Return what is to be decided, in a line."""
    shown = approval["shown"]
    found = (
        f"is {_label(approval)} ({_score(approval)})" if "classified" in approval else f"asks for {_label(approval)}"
    )
    what = f"{_document(approval)} {found}, digest {approval['digest'][:SHORT]}"
    return f"{screen.printable(what)}; {prose(shown['reason'])}"


def _label(approval: dict[str, Any]) -> str:
    """Return the class that was found, or how much money is asked for."""
    if "classified" in approval:
        return str(approval["shown"]["label"])
    return f"{usd(approval['shown']['asked'])} more"


def _score(approval: dict[str, Any]) -> str:
    return f"{approval['classified']['score']:.2f}" if "classified" in approval else "-"


def print_approval(approval: dict[str, Any], where: Sequence[str] = ()) -> None:
    """Print an approval whole: everything there is to base the decision on."""
    rows = screen.columns_that_fold(2)
    about = _about_document(approval) if "classified" in approval else _about_budget(approval)
    for name, said in (
        ("approval", text(approval["id"])),
        ("document", text(_document(approval))),
        ("entity", text(approval["entity"])),
        ("task", text(approval["task"])),
        ("why", prose(approval["shown"]["reason"])),
        ("until", text(_until(approval))),
        ("who", text(_who(approval))),
        ("votes", text(", ".join(approval["voted"]) or "none yet")),
        ("asked by", text(approval["requested_by"])),
        *about,
        ("digest", text(approval["digest"])),
    ):
        rows.add_row(Text(name, "dim"), said)
    say(rows)
    say("\nApprove, or reject, exactly this:")
    say_command(decide_command(approval, where))


def _about_document(approval: dict[str, Any]) -> Sequence[tuple[str, Text]]:
    shown, found = approval["shown"], approval["classified"]
    return (
        ("class", text(_class(shown, found))),
        ("summary", prose(shown["summary"] or "-")),
        ("evidence", Text("\n").join(text(_evidence(seen)) for seen in found["evidence"]) or Text("-")),
        ("sha256", text(shown["sha256"])),
    )


def _about_budget(approval: dict[str, Any]) -> Sequence[tuple[str, Text]]:
    shown = approval["shown"]
    return (
        ("budget", text(f"{usd(approval['spent'])} of {usd(shown['budget'])} spent")),
        ("asks for", text(_label(approval))),
    )


def _who(approval: dict[str, Any]) -> str:
    """Return who may decide."""
    but = f", but not {approval['requested_by']}" if approval["four_eyes"] else ""
    return f"{', '.join(approval['approvers'])}{but}"


def _document(approval: dict[str, Any]) -> str:
    """Return entity and document; an entity that is a file is its own document, and money is the whole entity's."""
    entity, name = approval["entity"], approval["name"]
    if approval["about"] == "budget":
        return _seen_from_here(entity)
    return _seen_from_here(entity) if entity.endswith(name) else f"{entity}/{name}"


def _seen_from_here(entity: str) -> str:
    """Return an entity that is a file below this folder by its way from here."""
    return entity.removeprefix(f"{Path.cwd()}/")


def _below(approval: dict[str, Any]) -> tuple[Text, ...]:
    asked = f"until {_until(approval)}: {_who(approval)}"
    summary = screen.at_most(_SUMMARY_LINES, prose(approval["shown"].get("summary", ""), "dim"))
    return prose(approval["reason"]), text(asked), summary


def _until(approval: dict[str, Any]) -> str:
    return f"{_moment(approval['deadline'])[:16]} UTC"


def _moment(time: str) -> str:
    return time[:19].replace("T", " ")


def _class(shown: dict[str, Any], found: dict[str, Any]) -> str:
    said = [f"{shown['label']}, score {found['score']:.2f}", *(f"also {other}" for other in found["also"])]
    return ", ".join([*said, f"runner-up {found['runner_up']}"] if found["runner_up"] else said)


def _evidence(seen: dict[str, Any]) -> str:
    where = f", at {seen['start']} to {seen['end']}" if seen.get("start") is not None else ""
    return f"{seen['what']}{where}"


def print_events(events: Sequence[dict[str, Any]]) -> None:
    """Print events, a line each."""
    if not events:
        say("no events")
        return
    wide = screen.is_wide()
    rows = screen.table("entity", "#", "time", "event", "source", "task", grows="entity")
    for event in events:
        rows.add_row(
            Location(_seen_from_here(event["partitionkey"])),
            str(event["sequence"]),
            _moment(event["time"])[0 if wide else 5 :],
            text(event["type"]),
            text(event["source"]),
            text(event["taskid"] if wide else event["taskid"][:SHORT]),
        )
    say(rows)


def print_held_back(parked: Sequence[dict[str, Any]], letters: Sequence[DeadLetter], where: Sequence[str] = ()) -> None:
    """Print what the recorder holds back, what could not be delivered, and how to go on."""
    if not parked and not letters:
        say("nothing is held back, nothing was given up")
    if parked:
        rows = screen.table("entity", "#", "cause", "since", grows="entity")
        for item in parked:
            rows.add_row(text(item["entity"]), str(item["sequence"]), item["cause"], _moment(item["at"]))
        say_rows(rows, [(prose(item["reason"]),) for item in parked])
        say("\nLet an entity go on without the number that holds it back:")
        example = next((item for item in parked if item["cause"] == "poison"), parked[0])
        words = f" {' '.join(where)}" if where else ""
        say_command(f"{command('skip', example['entity'])} NUMBER --reason WHY{words}")
    if letters:
        _print_letters(letters, after=bool(parked))


def _print_letters(letters: Sequence[DeadLetter], *, after: bool) -> None:
    say(f"{chr(10) if after else ''}{screen.plural(len(letters), 'dead letter')}: given up after so many attempts")
    rows = screen.table("to", "about", "attempts", grows="about")
    for letter in letters:
        rows.add_row(letter.route, text(letter.key), str(letter.attempts))
    say_rows(rows, [(prose(letter.reason),) for letter in letters])
