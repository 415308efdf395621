"""The operators' verbs, as a person meets them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from local.clock import VirtualClock
from local.sqlite.database import Database
from local.sqlite.ledger import SqliteLedger
from local.wiring import TENANT, embedded
from shared.app import ledger
from shared.core.draws import DrawAsk
from shared.core.ledger import UNLIMITED, LeaseAsk
from shared.core.policy_edit import Value, edit
from tests.app.world import NoPipelines
from tests.contracts.amazon import REGION, client, make_table
from tests.contracts.ledger_contract import Till
from tests.local.typed import DONE, FAILED, USAGE, WAITING, Shell
from tests.lost import DRAW, lose_a_call

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = Path(".agentfabric")
GOOD = "[tenants.local]\nmax_budget = 5\n[tenants.acme]\n"


def policy_file(shell: Shell, text: str) -> str:
    """Write a policy and return its name."""
    (shell.folder / "mine.toml").write_text(text, encoding="utf-8")
    return "mine.toml"


def test_tenants_are_listed_with_what_they_used(shell: Shell) -> None:
    """Limits and what is used of them are in a line each, and in JSON for machines."""
    said = shell.type("tenants")
    assert said.code == DONE
    assert "local" in said.out
    assert "600,000" in said.out
    (line,) = shell.type("tenants", "--json").lines
    assert (line["tenant"], line["open_runs"], line["spent_today"]) == ("local", 0, 0)
    assert line["limits"]["max_budget"] == 1_000_000


def test_a_limit_is_changed(shell: Shell) -> None:
    """A changed limit is shown at once, is in force for the next command, and the comments of the file stay."""
    said = shell.type("tenants", "set", "local", "daily_budget=2_000_000", "priorities=standard,background")
    assert said.code == DONE
    assert "$2.00" in said.out
    assert "as standard, background" in shell.type("tenants", "show", "local").out
    assert "# per task" in (HOME / "policy.toml").read_text(encoding="utf-8")


def test_a_tenant_is_added(shell: Shell) -> None:
    """Setting a limit of somebody new makes a tenant of them, with the other limits at their defaults."""
    assert shell.type("tenants", "set", "acme", "max_runs=3").code == DONE
    assert [line["tenant"] for line in shell.type("tenants", "--json").lines] == ["acme", "local"]


def test_the_new_limit_holds(shell: Shell) -> None:
    """What is set is what submissions are measured by."""
    assert shell.type("tenants", "set", TENANT, "max_budget=1").code == DONE
    (shell.folder / "a.txt").write_text("Permission is hereby granted.", encoding="utf-8")
    said = shell.type("submit", "a.txt")
    assert said.code == FAILED
    assert "you may spend on a task" in said.err


def test_whoever_was_turned_away_finds_out_why(shell: Shell) -> None:
    """`events` lists what came too fast, and `explain` begins with it when the same submission was admitted later."""
    shell.type("tenants", "set", TENANT, "max_runs=1")
    for name in ("a.txt", "b.txt"):
        (shell.folder / name).write_text(f"{name}: permission is hereby granted.", encoding="utf-8")
    assert shell.type("submit", "a.txt", "--key", "a").code == DONE
    assert "1 of 1 runs are open" in shell.type("submit", "b.txt", "--key", "b").err
    shell.type("resume")
    assert shell.type("submit", "b.txt", "--key", "b").code == DONE
    shell.type("resume")
    (event,) = shell.type("events", "--entity", f"limits:{TENANT}", "--json").lines
    assert (event["type"], event["data"]["code"], event["data"]["limit"]) == ("task.throttled", "runs", 1)
    story = shell.type("explain", event["taskid"])
    assert story.code == DONE
    assert "turned away (runs), to come again in 5 s" in story.out


def test_what_was_refused_is_submitted_again(shell: Shell) -> None:
    """A refusal is noted and does not stick: the same submission asks again, and once accepted is the same task."""
    (shell.folder / "a.txt").write_text("Permission is hereby granted.", encoding="utf-8")
    shell.type("tenants", "set", TENANT, "daily_budget=100")
    for _ in range(2):
        assert "left of $0.000100" in shell.type("submit", "a.txt").err
    assert len(shell.type("tasks", "--json").lines) == 1
    shell.type("tenants", "set", TENANT, "daily_budget=1000000")
    accepted = shell.type("submit", "a.txt")
    assert accepted.code == DONE
    assert shell.type("submit", "a.txt").lines == accepted.lines
    assert "more than" in shell.type("submit", "a.txt", "--key", "k", "--budget", "2000000").err
    assert "more than" in shell.type("submit", "a.txt", "--key", "k", "--budget", "2000000").err


def test_what_is_refused_for_now_says_for_how_long(shell: Shell) -> None:
    """Whoever submits too fast is told when to come back, by words and by the exit code of what waits."""
    for name in ("a.txt", "b.txt"):
        (shell.folder / name).write_text(f"Permission is hereby granted, {name}.", encoding="utf-8")
    shell.type("tenants", "set", TENANT, "requests_per_minute=1", "request_burst=1")
    assert shell.type("submit", "a.txt").code == DONE
    said = shell.type("submit", "b.txt")
    assert (said.code, said.out) == (WAITING, "")
    assert "; try again in 60 s" in said.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tenants", "show"], "say which tenant"),
        (["tenants", "list", "local"], "takes no name"),
        (["tenants", "show", "nobody"], "no tenant 'nobody'; there are local"),
        (["tenants", "show", "local", "max_runs=1"], "limits are set as"),
        (["tenants", "set", "local"], "limits are set as"),
        (["tenants", "set", "local", "max_runs"], "key=value"),
        (["tenants", "set", "local", "max_runs="], "a whole number, not ''"),
        (["tenants", "set", "local", "max_runs=0"], "greater than 0"),
        (["tenants", "set", "local", "runs=1"], "a tenant has no runs; it has max_budget"),
        (["tenants", "set", "UPPER", "max_runs=1"], "a tenant is called by"),
        (["policy", "check"], "`policy check FILE`"),
        (["policy", "show", "mine.toml"], "no policy and no prices of version 'mine.toml' were ever in force here"),
        (["policy", "check", "nowhere.toml"], "nowhere.toml cannot be used"),
        (["stop", "--reason", "x"], "say what"),
        (["stop", "--all", "--tenant", "a", "--reason", "x"], "say what"),
        (["stop", "--all", "--reason", " "], "--reason wants a reason"),
        (["stop", "--all"], "--reason"),
        (["start"], "say what"),
    ],
)
def test_wrong_usage_says_what_to_do(shell: Shell, words: list[str], complaint: str) -> None:
    """Wrong usage ends with 2 and a sentence, and changes nothing."""
    said = shell.type(*words)
    assert (said.code, said.out) == (USAGE, "")
    assert complaint in " ".join(said.err.replace("│", " ").split())
    assert not (HOME / "policy.toml").exists()


def test_a_policy_is_checked_before_it_is_used(shell: Shell) -> None:
    """A file in order is described, one that is not is explained, and neither is put in force by that."""
    said = shell.type("policy", "check", policy_file(shell, GOOD))
    assert (said.code, "2 tenants, 1 model\n" in said.out) == (DONE, True)
    said = shell.type("policy", "check", policy_file(shell, '[tenants.acme]\ndaily_budget = ""'))
    assert said.code == USAGE
    assert "tenants.acme.daily_budget" in said.err
    assert not (HOME / "policy.toml").exists()


def test_a_check_tells_what_cannot_work(shell: Shell) -> None:
    """What is in order and cannot work as it says is named and ends with 1; `set` warns of it and obeys."""
    text = '[tenants.acme]\nworkflows = ["nosuch"]\n'
    said = shell.type("policy", "check", policy_file(shell, text))
    assert said.code == FAILED
    assert said.out.startswith("usable, but it cannot work as it says: version ")
    assert "acme: there is no workflow nosuch; there are document-review" in said.err
    said = shell.type("policy", "set", policy_file(shell, text))
    assert (said.code, "acme: there is no workflow nosuch" in said.err) == (DONE, True)
    assert "max_budget" in shell.type("tenants", "set", "acme", "nosuch=1").err


def test_a_policy_says_what_it_changes(shell: Shell) -> None:
    """Whoever checks or sets a policy reads what it changes, first of all whom it drops."""
    for do in ("check", "set"):
        said = shell.type("policy", do, policy_file(shell, "[tenants.acme]\n"))
        assert said.code == DONE
        assert "  tenant local is dropped: its work is refused from then on\n  tenant acme is new\n" in said.out
    (HOME / "policy.toml").write_text("[tenants.", encoding="utf-8")
    said = shell.type("policy", "check", policy_file(shell, GOOD))
    assert "what it changes cannot be told; the one that is written is broken" in said.out


def test_a_tenant_that_cannot_work_is_warned_of(shell: Shell) -> None:
    """A limit that contradicts another one is set, and said so, and other tenants' are not."""
    shell.type("tenants", "set", "acme", "daily_budget=3")
    said = shell.type("tenants", "set", "local", "daily_budget=100", "--json")
    assert said.code == DONE
    assert said.err == "agentfabric: local: a task may cost $1.000000, and a day has only $0.000100\n"


def test_a_policy_is_put_in_force(shell: Shell) -> None:
    """The file's text is what is in force; a broken one leaves it so."""
    assert shell.type("policy", "set", policy_file(shell, GOOD)).code == DONE
    assert shell.type("policy").out == GOOD
    assert shell.type("policy", "set", policy_file(shell, "")).code == USAGE
    assert shell.type("policy").out == GOOD


def test_a_colleagues_change_is_not_overwritten(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets a limit while somebody else writes the policy is told so, and that policy stays."""
    shell.type("policy", "set", policy_file(shell, GOOD))

    def meanwhile(text: str, tenant: str, changes: Mapping[str, Value]) -> str:
        (HOME / "policy.toml").write_text("[tenants.theirs]\n", encoding="utf-8")
        return edit(text, tenant, changes)

    monkeypatch.setattr("shared.core.policy_edit.edit", meanwhile)
    said = shell.type("tenants", "set", "local", "max_runs=3")
    assert said.code == FAILED
    assert "changed since you read it" in said.err
    assert shell.type("policy").out == "[tenants.theirs]\n"


def test_a_broken_file_is_told_and_the_last_good_one_holds(shell: Shell) -> None:
    """Whoever broke the file with an editor reads what is wrong with it, while the limits stay."""
    shell.type("policy", "set", policy_file(shell, GOOD))
    shell.type("tenants")
    (HOME / "policy.toml").write_text('[tenants.acme]\nmax_runs = ""', encoding="utf-8")
    said = shell.type("tenants", "--json")
    assert "tenants.acme.max_runs" in said.err
    assert [line["tenant"] for line in said.lines] == ["acme"]


def test_work_is_stopped_and_started(shell: Shell) -> None:
    """A stop says what it stopped, is seen with its reason, and ends with a start."""
    said = shell.type("stop", "--tenant", TENANT, "--reason", "a leak", "--as", "ann")
    assert (said.code, said.out) == (DONE, "stopped: tenant local\n")
    (line,) = shell.type("tenants", "--json").lines
    assert line["stopped"] == "by ann: a leak"
    assert "stopped by ann: a leak" in shell.type("tenants").out
    said = shell.type("start", "--all")
    assert said.out == "started; tenant local is still stopped by ann: a leak\n"
    assert shell.type("start", "--tenant", TENANT).out == "started\n"


def calling() -> None:
    """Have a call out that nobody will end."""
    database = Database(HOME / "fabric.db")
    till = Till(SqliteLedger(database))
    now = till.now().timestamp()
    ask = LeaseAsk("lease", "task", "document-review", "standard", 100, now, 4e9)
    ledger.open_lease(till, TENANT, ask, UNLIMITED)
    ledger.draw(till, TENANT, "lease", DrawAsk("draw", 0, "classify", "embedded", 10, "0" * 64, now, 4e9))
    database.close()


def _pass(passed: list[float], seconds: float) -> None:
    passed[0] += seconds


@pytest.mark.parametrize("words", [["--all"], ["--tenant", TENANT], ["--workflow", "document-review"]])
def test_stop_waits_until_all_is_quiet(shell: Shell, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With --wait the verb comes back when no call is out, or says after its patience that some still are."""
    passed = [0.0]
    sleep = partial(_pass, passed)
    monkeypatch.setattr("local.cli.limits.time", SimpleNamespace(monotonic=lambda: passed[0], sleep=sleep))
    monkeypatch.setattr("local.controls._now", lambda: datetime.now(UTC) + timedelta(seconds=passed[0]))
    said = shell.type("stop", *words, "--reason", "x", "--wait")
    assert (said.code, said.out.splitlines()[-1]) == (DONE, "all is quiet: no call is out")
    assert passed[0] >= 0.5  # by then every process goes by the switch
    calling()
    said = shell.type("stop", *words, "--reason", "x", "--wait", "--patience", "7")
    assert said.code == FAILED
    assert "calls are still out after 7 s" in said.err


def test_a_cloud_needs_its_settings(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever means a fabric on a cloud is told which settings name it."""
    monkeypatch.delenv("TABLE_NAME", raising=False)
    said = shell.type("tenants", "--on", "aws")
    assert said.code == FAILED
    assert "set TABLE_NAME" in said.err


def test_verbs_print_json_a_machine_reads(shell: Shell) -> None:
    """Each tenant is one JSON object on its own line."""
    shell.type("tenants", "set", "acme", "max_runs=3")
    assert [json.loads(line)["tenant"] for line in shell.type("tenants", "--json").out.splitlines()] == [
        "acme",
        "local",
    ]


def test_a_fabric_on_aws_is_reached(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """On AWS the same verbs work on the table: the seed is what is changed first, and a stop is seen."""
    with mock_aws():
        settings = {"TABLE_NAME": make_table(client("dynamodb")), "TENANTS": '{"acme": {"max_budget": 7}}'}
        keys = {"AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        for name, value in (settings | keys).items():
            monkeypatch.setenv(name, value)
        assert shell.type("policy", "--on", "aws").out == "[tenants.acme]\nmax_budget = 7\n"
        assert shell.type("tenants", "set", "acme", "max_runs=3", "--on", "aws").code == DONE
        assert shell.type("stop", "--all", "--reason", "a leak", "--as", "ann", "--on", "aws").code == DONE
        (line,) = shell.type("tenants", "--json", "--on", "aws").lines
    assert (line["limits"]["max_budget"], line["limits"]["max_runs"]) == (7, 3)
    assert line["stopped"] == "by ann: a leak"
    assert not HOME.exists()


def test_a_call_of_unknown_end_is_settled(shell: Shell) -> None:
    """It is listed with its worst case; who says what it has cost is believed once, and then it is listed no more."""
    (shell.folder / "a.txt").write_text("Pass it on.", encoding="utf-8")
    (submitted,) = shell.type("submit", "a.txt").lines
    task = submitted["id"]
    assert "no call of this task" in shell.type("settle", task).out
    database = Database(HOME / "fabric.db")
    ports = embedded(database, NoPipelines(), VirtualClock().now)
    lose_a_call(ports, ports.tasks.load(TENANT, task))
    database.close()
    assert f"{DRAW}  document 0, classify by extractive-1: charged at $0.000009" in shell.type("settle", task).out
    words = ("settle", task, DRAW, "--cost", "4", "--reason", "the invoice")
    assert "charged at $0.000004" in shell.type(*words, "--as", "olga").out
    assert shell.type("settle", task).out.startswith("no call of this task")
    (deed,) = [line for line in shell.type("trail", "--json").lines if line.get("act") == "settle"]
    assert (deed["by"], deed["reason"]) == ("olga", "the invoice")
    assert shell.type("settle", task, DRAW, "--cost", "5", "--reason", "x").code == FAILED
    assert shell.type("settle", task, DRAW, "--cost", "5").code == USAGE
