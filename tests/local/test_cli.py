"""Every verb, as a person or a script meets it: words, streams and exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from local.cli.verbs import app
from shared.render import event_schemas
from tests.local.stage import ASKING, INVOICE, MIT, UNCLEAR, write_corpus
from tests.local.typed import DONE, FAILED, USAGE, WAITING, Said, Shell

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

FIELDS = ["path", "entity", "label", "score", "summary", "status", "reason", "cost_micro_usd", "verdict", "task"]
FIELDS += ["approval"]


def test_everything_done_is_0(shell: Shell) -> None:
    """A run whose every document is reviewed ends with 0."""
    assert shell.run(good=MIT).code == DONE


def test_a_failed_document_is_1(shell: Shell) -> None:
    """A run with a failed document ends with 1, whatever else waits or is done."""
    said = shell.run(bill=INVOICE, empty="", good=MIT)
    assert said.code == FAILED
    assert [line["status"] for line in said.lines] == ["waiting", "failed", "done"]


def test_a_human_waited_for_is_3(shell: Shell) -> None:
    """A run in which only humans are waited for ends with 3, and so does resuming it."""
    assert shell.run(bill=INVOICE, good=MIT).code == WAITING
    resumed = shell.type("resume")
    assert (resumed.code, resumed.out) == (WAITING, "2 tasks: 1 over, 1 document waits for a human\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "nowhere"], "no such file or folder: nowhere"),
        (["run", "x" * 5000], "no such file or folder: x"),
        (["run", "empty"], "no documents in empty"),
        (["run", "documents", "--taxonomy", "nowhere.toml"], "taxonomy nowhere.toml: "),
        (["run", "documents", "--taxonomy", "unheard-of"], "taxonomy unheard-of: "),
        (["run", "documents", "--taxonomy", "broken.toml"], "taxonomy broken.toml: "),
        (["run", "documents", "--taxonomy", "odd.toml"], "taxonomy odd.toml: "),
        (["run", "documents", "--taxonomy", "bytes.toml"], "taxonomy bytes.toml: "),
        (["submit", "nowhere.txt"], "nowhere.txt: cannot read it"),
        (["submit", "documents"], "documents: cannot read it"),
        (["approve"], "say which"),
        (["approve", "beef"], "nothing waits under 'beef'"),
        (["approve", "--label", "herons"], "nothing waits that was classified as 'herons'"),
        (["schema", "no.such"], "no schema 'no.such'"),
        (["run"], "paths"),
        (["no-such-verb"], "no-such-verb"),
        (["tasks", "--limit", "0"], "--limit"),
        (["approvals", "--as", ""], "--as wants a name"),
        (["explain", ""], "say which task"),
        (["status", " "], "say which task"),
        (["approve", "beef", "--digest", "0123456"], "a digest is 8 to 64"),
        (["approve", "beef", "--digest", "words words"], "a digest is 8 to 64"),
        (["reject", "--all", "--digest", "01234567"], "--digest is of one approval"),
        (["approve", "a", "b", "--digest", "01234567"], "--digest is of one approval"),
        (["approvals", "beef"], "nothing waits under 'beef'"),
        (["submit", "documents/a.txt", "--budget", "0.015"], "in whole micro-USD, 1000000 for one dollar"),
        (["skip", "a", "1"], "--reason"),
        (["skip", "a", "0", "--reason", "x"], "number"),
    ],
)
def test_wrong_usage_is_2(shell: Shell, words: list[str], complaint: str) -> None:
    """Wrong usage ends with 2, a sentence on stderr that says what is wrong, and nothing on stdout."""
    write_corpus(shell.folder, {"documents/a.txt": MIT, "broken.toml": "name = ", "odd.toml": 'name = "x"'})
    write_corpus(shell.folder, {"bytes.toml": b"\xff\xfe\x00"})
    (shell.folder / "empty").mkdir()
    said = shell.type(*words)
    assert (said.code, said.out) == (USAGE, "")
    assert complaint in re.sub(r"\s*│?\n│?\s*", " ", said.err)
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["status", "no-such-task"], "no task 'no-such-task'"),
        (["cancel", "no-such-task"], "no task 'no-such-task'"),
        (["skip", "no-such-entity", "1", "--reason", "x"], "nothing waits on 'no-such-entity'"),
        (["explain", "no-such-task"], "the record knows no task 'no-such-task'"),
        (["status", "../../etc/passwd"], ""),
        (["explain", "☃"], ""),
        (["events"], "name either a task or an entity"),
        (["events", "--task", "a", "--entity", "b"], "name either a task or an entity"),
    ],
)
def test_what_cannot_be_answered_is_1(shell: Shell, words: list[str], complaint: str) -> None:
    """An unknown id or an impossible question ends with 1 and a sentence, never with a traceback."""
    said = shell.type(*words)
    assert (said.code, said.out) == (FAILED, "")
    assert said.err.startswith("agentfabric: ")
    assert complaint in said.err
    assert "Traceback" not in said.err


def test_a_line_of_json_has_exactly_its_fields(shell: Shell) -> None:
    """`run --json` prints an object a document, all with the same fields, in their order."""
    lines = shell.run(bill=INVOICE, empty="", good=MIT).lines
    assert [list(line) for line in lines] == [FIELDS] * 3
    bill, empty, good = lines
    assert (good["path"], good["label"]) == ("documents/good.txt", "mit")
    assert good["entity"] == str(shell.folder / "documents/good.txt")
    assert good["score"] > 0.9
    assert good["cost_micro_usd"] > 0
    assert (good["verdict"], good["approval"]) == ("automatic", None)
    assert (bill["label"], bill["verdict"]) == ("invoice", None)
    assert re.fullmatch(r"[0-9a-f-]{36}", bill["approval"])
    assert (empty["label"], empty["score"], empty["summary"], empty["cost_micro_usd"]) == (None, None, None, 0)
    assert "empty" in empty["reason"]


def test_progress_goes_to_stderr(shell: Shell) -> None:
    """While it works, a run tells stderr how far it is, and what it spent at the end."""
    said = shell.run(bill=INVOICE, good=MIT)
    first, *_, last = said.err.splitlines()
    assert first == "2 documents: 0 done, 0 waiting, 0 failed, 2 queued; $0.000000 spent"
    spent = sum(line["cost_micro_usd"] for line in said.lines) / 1_000_000
    assert last == f"2 documents: 1 done, 1 waiting, 0 failed, 0 queued; ${spent:.6f} spent"


def test_a_table_for_people(shell: Shell) -> None:
    """Without --json a run prints a table, the sums, and how to decide what waits."""
    write_corpus(shell.folder, {"documents/bill.txt": INVOICE, "documents/good.txt": MIT})
    said = shell.type("run", "documents", "--taxonomy", "asking.toml")
    assert said.code == WAITING
    assert re.search(r"good\.txt\s+mit\s+0\.\d\d\s+done", said.out)
    assert "2 documents: 1 waiting, 1 done" in said.out
    assert "agentfabric approve --label invoice" in said.out


def test_running_again_prints_the_same(shell: Shell) -> None:
    """A second run over the same documents reviews nothing anew and prints what the first one printed."""
    assert shell.run(bill=INVOICE, good=MIT).out == shell.run().out


def test_two_folders_in_one_run(shell: Shell) -> None:
    """`run` takes files and folders, and says of each document which path it was found under."""
    write_corpus(shell.folder, {"one/a.txt": MIT, "two/b.txt": MIT, "c.txt": MIT, "one/.hidden": MIT})
    said = shell.type("run", "one", "two", "c.txt", "--taxonomy", "plain.toml", "--json")
    assert [line["path"] for line in said.lines] == ["one/a.txt", "two/b.txt", "c.txt"]


def test_state_lives_where_home_says(shell: Shell) -> None:
    """--home, or AGENTFABRIC_HOME, names the folder that keeps the state."""
    write_corpus(shell.folder, {"a.txt": MIT})
    shell.type("run", "a.txt", "--taxonomy", "plain.toml", "--home", "elsewhere")
    assert (shell.folder / "elsewhere/fabric.db").is_file()
    assert not (shell.folder / ".agentfabric").exists()
    shell.monkeypatch.setenv("AGENTFABRIC_HOME", "elsewhere")
    assert len(shell.type("tasks", "--json").lines) == 1


def test_submit_returns_at_once_and_resume_does_the_work(shell: Shell) -> None:
    """`submit` answers with the task, whose review `resume` brings to its end; the same submission is the same task."""
    write_corpus(shell.folder, {"a.txt": MIT, "b.txt": MIT})
    words = ("submit", "a.txt", "b.txt", "--entity", "pair", "--taxonomy", "plain.toml")
    (task,) = shell.type(*words).lines
    assert shell.type(*words).lines[0]["id"] == task["id"]
    assert shell.type("status", task["id"]).lines[0]["status"] == "admitted"
    resumed = shell.type("resume")
    assert (resumed.code, resumed.out) == (DONE, "1 task: 1 over, 0 documents wait for a human\n")
    assert shell.type("status", task["id"]).lines[0]["status"] == "completed"


def test_a_key_belongs_to_one_submission(shell: Shell) -> None:
    """An idempotency key used for something else is refused."""
    write_corpus(shell.folder, {"a.txt": MIT, "b.txt": UNCLEAR})
    assert shell.type("submit", "a.txt", "--taxonomy", "plain.toml", "--key", "k").code == DONE
    said = shell.type("submit", "b.txt", "--taxonomy", "plain.toml", "--key", "k")
    assert said.code == FAILED
    assert "key already belongs" in said.err


def test_tasks_are_listed_page_by_page(shell: Shell) -> None:
    """`tasks` lists in the order of ids, so that `--after` the last one shows the next."""
    shell.run(a=MIT, b=MIT, c=MIT)
    ids = [task["id"] for task in shell.type("tasks", "--json").lines]
    assert ids == sorted(ids)
    first = [task["id"] for task in shell.type("tasks", "--json", "--limit", "2").lines]
    rest = [task["id"] for task in shell.type("tasks", "--json", "--after", first[-1]).lines]
    assert first + rest == ids
    assert ids[0] in shell.type("tasks").out


def test_cancel_stops_a_waiting_task(shell: Shell) -> None:
    """`cancel` ends what waits, once; cancelling again says the same, cancelling what is done is refused."""
    bill, good = shell.run(bill=INVOICE, good=MIT).lines
    assert shell.type("cancel", bill["task"], "--reason", "no need").lines[0]["status"] == "cancelled"
    assert shell.type("cancel", bill["task"]).code == DONE
    assert "nothing waits" in shell.type("approvals").out
    refused = shell.type("cancel", good["task"])
    assert (refused.code, refused.err) == (FAILED, "agentfabric: the task is already completed\n")
    assert shell.run().lines[0]["status"] == "cancelled"


def test_approve_by_the_first_characters(shell: Shell) -> None:
    """An approval is named by as many characters as tell it from the others; the review then goes on by itself."""
    (bill,) = shell.run(bill=INVOICE).lines
    (pending,) = shell.type("approvals", "--json").lines
    assert (pending["id"], pending["shown"]["label"]) == (bill["approval"], "invoice")
    assert bill["approval"][:8] in shell.type("approvals").out
    said = shell.type("approve", bill["approval"][:8], "--as", "bob", "--comment", "fine")
    assert (said.code, said.out) == (DONE, f"{bill['approval'][:8]}  bill.txt: approved\n")
    (done,) = shell.run().lines
    assert (done["status"], done["verdict"]) == ("done", "approved")


def test_an_ambiguous_name_is_refused(shell: Shell) -> None:
    """Characters that several approvals start with decide none of them."""
    shell.run(**{f"bill{number}": f"{INVOICE} {number}" for number in range(17)})
    starts = [approval["id"][0] for approval in shell.type("approvals", "--json").lines]
    twice = next(start for start in starts if starts.count(start) > 1)
    said = shell.type("approve", twice)
    assert (said.code, said.out) == (USAGE, "")
    assert f"several approvals start with '{twice}'" in said.err
    assert len(shell.type("approvals", "--json").lines) == 17


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_what_was_decided_waits_no_more(shell: Shell, second: str) -> None:
    """Deciding again, the same way or the other, finds nothing that waits under that name; the verdict stands."""
    (bill,) = shell.run(bill=INVOICE).lines
    assert shell.type("approve", bill["approval"]).code == DONE
    said = shell.type(second, bill["approval"])
    assert (said.code, said.out) == (USAGE, "")
    assert "nothing waits under" in said.err
    assert shell.run().lines[0]["verdict"] == "approved"


def test_decide_all_of_a_label_or_all(shell: Shell) -> None:
    """`--label` decides what was classified as that, `--all` whatever is left."""
    shell.folder.joinpath("asking.toml").write_text(ASKING.replace("unknown_needs_approval = false", ""))
    lines = shell.run(bill=INVOICE, odd=UNCLEAR, other=f"{INVOICE} again").lines
    assert {line["status"] for line in lines} == {"waiting"}
    assert len(shell.type("approve", "--label", "invoice").out.splitlines()) == 2
    assert len(shell.type("reject", "--all").out.splitlines()) == 1
    verdicts = {line["path"]: line["verdict"] for line in shell.run().lines}
    assert verdicts == {
        "documents/bill.txt": "approved",
        "documents/odd.txt": "rejected",
        "documents/other.txt": "approved",
    }


def test_deciding_all_of_nothing_is_done(shell: Shell) -> None:
    """`--all` of nothing is nothing to do, and says so."""
    assert shell.type("approve", "--all") == Said(DONE, "nothing waits for a decision\n", "")


def test_a_stranger_may_not_decide(shell: Shell) -> None:
    """Somebody without an approver's role is refused with a reason, and the document goes on waiting."""
    (bill,) = shell.run(bill=INVOICE).lines
    said = shell.type("approve", bill["approval"], "--as", "eve", "--role", "guest")
    assert said.code == FAILED
    assert "eve is not among reviewer" in said.out
    assert shell.run().lines[0]["status"] == "waiting"


def test_events_by_task_and_by_entity(shell: Shell) -> None:
    """`events` lists an entity's or a task's events in their order, for people and as JSON."""
    (good,) = shell.run(good=MIT).lines
    by_task = shell.type("events", "--task", good["task"], "--json").lines
    assert [event["sequence"] for event in by_task] == list(range(1, len(by_task) + 1))
    assert shell.type("events", "--entity", good["entity"], "--json").lines == by_task
    assert "document.reviewed" in shell.type("events", "--entity", good["entity"]).out
    assert shell.type("events", "--entity", "nobody").out == "no events\n"


def test_long_histories_are_listed_to_the_end(shell: Shell) -> None:
    """An entity's history is printed whole, however many pages the record answers in."""
    write_corpus(shell.folder, {f"many/{number:02}.txt": MIT for number in range(20)})
    documents = [str(path) for path in sorted((shell.folder / "many").iterdir())]
    shell.type("submit", *documents, "--entity", "many", "--taxonomy", "plain.toml")
    shell.type("resume")
    numbers = [event["sequence"] for event in shell.type("events", "--entity", "many", "--json").lines]
    assert len(numbers) > 200
    assert numbers == list(range(1, len(numbers) + 1))


def test_explain_tells_the_story_and_the_cost(shell: Shell) -> None:
    """`explain` says where a task ran and why, what became of each document, and what it cost."""
    bill, _ = shell.run(bill=INVOICE, good=MIT).lines
    shell.type("approve", "--all", "--as", "bob")
    told = shell.type("explain", bill["task"]).out
    assert "Azure" in told
    assert "bob" in told
    assert "invoice" in told
    assert f"${bill['cost_micro_usd'] / 1_000_000:.6f}" in told


def test_schema_lists_and_prints(shell: Shell) -> None:
    """`schema` lists what there is, and prints each of them as JSON."""
    names = shell.type("schema").out.split()
    assert {"envelope", "tools", "document.reviewed"} <= set(names)
    assert set(event_schemas()) < set(names)
    for name in names:
        said = shell.type("schema", name)
        assert (said.code, said.err) == (DONE, "")
        assert json.loads(said.out)


def test_render_check_finds_what_is_stale(shell: Shell) -> None:
    """`render --check` fails where files are missing or stale, `render` writes them, and then all is well."""
    stale = shell.type("render", "--check")
    assert stale.code == FAILED
    assert "stale: " in stale.err
    assert list(shell.folder.rglob("*.json")) == []
    assert "wrote " in shell.type("render").out
    assert shell.type("render", "--check") == Said(DONE, "all rendered files are up to date\n", "")
    next(shell.folder.rglob("*.json")).write_text("{}")
    assert shell.type("render", "--check").code == FAILED


def test_the_rendered_files_of_this_project_are_up_to_date(shell: Shell, root: Path) -> None:
    """What lies in the repository is what its sources render."""
    shell.monkeypatch.chdir(root)
    assert shell.type("render", "--check").code == DONE


def test_without_a_verb_there_is_help(shell: Shell) -> None:
    """Typed without anything, the command says what it can do."""
    said = shell.type()
    assert re.search(r"Usage: \S*.*agentfabric .*COMMAND", said.out)


def test_every_verb_has_help_and_a_place_in_the_readme(shell: Shell, root: Path) -> None:
    """The README's table of verbs names exactly the verbs there are, and each explains itself."""
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    section = (root / "README.md").read_text().split("## The verbs", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {word for cell in cells for word in re.findall(r"`(\w+)", cell)} == verbs
    for verb in sorted(verbs):
        said = shell.type(verb, "--help")
        assert said.code == DONE
        assert re.search(rf"Usage: .*agentfabric {verb}", said.out)
