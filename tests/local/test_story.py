"""One run with everything that makes a bill hard to read, and what a finance person is told of it.

Four providers' protocols at the model server, one clock for it and the fabric: a throttled deployment and the one asked
instead, two calls of unknown end and the retry, an answer that needs a repair, answers from the cache, a pause until a
person grants more money, and one until a model can be asked.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.clock import VirtualClock
from local.clouds import aws
from local.corpus import Item, documents_in, referenced
from local.model_server.scenario import Deployment, Phase, Scenario
from local.model_server.server import served
from local.model_server.service import ModelService
from local.review import claims
from local.wiring import TENANT
from shared.app.leases import lease_id
from shared.core.cost_tree import Cost, cost_tree
from shared.core.costs import WAYS
from shared.core.money import usd
from shared.core.story import tell
from tests.local.stage import PERSON, Fabric, SameClock, fabric, write_corpus
from tests.local.typed import DONE, FAILED, USAGE, Shell

if TYPE_CHECKING:
    from shared.core.ledger import Lease
    from shared.core.task import Task
    from shared.events.catalog import AnyEvent

HOME = Path(".agentfabric")
KEY = "MODELS_KEY"
TENANT_BUDGET = 100_000
BUDGET = 5_200  # micro-USD: enough for the first two documents, their two lost calls included, and not for the third
POLICY = """
[tenants.local]
four_eyes = false
max_budget = {most}

[candidates.reserved]
provider = "azure-openai"
kind = "provisioned"
model = "gpt"
url = "{url}"
credential = "{key}"
tokens_in = 500_000
tokens_out = 2_000_000

[candidates.cheap]
provider = "gemini"
model = "flash"
url = "{url}/v1beta"
credential = "{key}"
tokens_in = 100_000
tokens_out = 400_000

[candidates.dear]
provider = "bedrock"
model = "haiku"
region = "eu-central-1"
url = "{url}"
credential = "{key}"
tokens_in = 1_000_000
tokens_out = 4_000_000

[candidates.late]
provider = "openai"
model = "mini"
url = "{url}/v1"
credential = "{key}"
abilities = ["summarise", "json"]
tokens_in = 100_001
tokens_out = 400_001
"""
A_PERSON_TAKES = 10.0  # seconds to decide
BUSY = Phase(kind="429", start=5, end=20)
SCENARIO = Scenario(
    deployments={
        "azure/gpt": Deployment(phases=(Phase(kind="429", end=30),)),
        "gemini/flash": Deployment(
            phases=(Phase(kind="truncated-json", end=0.5), Phase(kind="malformed", end=1.5, every=2), BUSY)
        ),
        "bedrock/haiku": Deployment(phases=(Phase(kind="truncated-json", end=0.5), BUSY)),
        "openai/mini": Deployment(),
    }
)
TAXONOMY = """
name = "notes"
threshold = 0.1
unknown_needs_approval = false

[[classes]]
name = "invoice"
keywords = ["invoice", "amount", "pay"]
"""
NOTE = "Invoice number 17. Total amount due: 120 EUR. Please pay the invoice amount within 30 days."
LONG = " ".join(f"Invoice number {number} is about an amount that somebody must pay." for number in range(150))


@dataclass
class Told:
    """What is known of the run when it is over."""

    task: Task
    lease: Lease
    account: Any
    events: list[AnyEvent]
    asked: dict[str, Any]

    def of(self, kind: str) -> list[Any]:
        """Return what was said of that kind."""
        return [event.data for event in self.events if event.type == kind]

    @property
    def tree(self) -> Cost:
        """The tree of what the task cost."""
        return cost_tree(self.task.id, self.events)

    @property
    def story(self) -> str:
        """Its sentences and reasons."""
        return "\n".join(f"{line.text} | {line.why}" for line in tell(self.events))


def submitted(at: Fabric, folder: Path) -> str:
    """Submit the folder's documents as one task with a budget."""
    items = [referenced(Item(item.path, item.name, "case-7")) for item in documents_in([folder])]
    at.engine.documents.add_root(folder)
    body = {
        "entity": "case-7",
        "documents": [item.ref.model_dump(mode="json") for item in items if item.ref],
        "taxonomy": at.taxonomy(TAXONOMY).model_dump(mode="json"),
        "budget_micro_usd": BUDGET,
    }
    headers = {"Idempotency-Key": "case-7"}
    status, answer = aws.call_api("POST", "/tasks", claims=claims(PERSON), body=json.dumps(body), headers=headers)
    assert status == 202, answer
    return str(answer["id"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the run was."""
    return tmp_path_factory.mktemp("story")


@pytest.fixture(scope="module")
def told(home: Path) -> Iterator[Told]:
    """Let the run happen, once for all tests: until it asks for money, and after that was granted to its end."""
    folder = write_corpus(home / "case", {"1-note.txt": NOTE, "2-copy.txt": NOTE, "3-long.txt": LONG})
    clock = VirtualClock()
    service = ModelService(SCENARIO, now=clock.now().timestamp())
    with pytest.MonkeyPatch.context() as patch, served(service, SameClock(clock)) as url:
        patch.setenv(KEY, "any")
        write_corpus(home / HOME, {"policy.toml": POLICY.format(url=url, key=KEY, most=TENANT_BUDGET)})
        with fabric(home / HOME, clock=clock) as at:
            name = submitted(at, folder)
            at.engine.work()
            (asked,) = at.call_approvals("GET", "", roles=("owner",))[1]["approvals"]
            assert at.task(name).parked_for == "budget"
            clock.wait(A_PERSON_TAKES)
            assert at.decide(asked["id"], "approved", roles=("owner",))[0] == 200
            at.engine.work()
            ledger = at.engine.ports.ledger
            lease = ledger.lease(TENANT, lease_id(name))
            assert lease is not None
            yield Told(at.task(name), lease, ledger.account(TENANT), at.told("case-7"), asked)


@pytest.fixture
def shell(home: Path, told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell beside the run's state, when it is over."""
    assert told.task.over
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("AGENTFABRIC_HOME", raising=False)
    return Shell(home, monkeypatch, capsys)


def test_the_run_had_all_that_it_is_about(told: Told) -> None:
    """It ended well, in three runs, after a fallback, a retry, a repair, cache hits and two pauses."""
    assert (told.task.status, told.task.run) == ("completed", 3)
    assert {one.kind for one in told.of("model.routed")} == {"first", "fallback", "retry", "repair"}
    assert [one.by for one in told.of("usage.saved")] == ["cache", "cache"]
    assert [one.code for one in told.of("task.parked")] == ["budget", "throttled"]
    outcomes = [one.outcome for one in told.of("usage.metered")]
    assert {"answered", "repaired", "failed", "unknown"} == set(outcomes)


def test_tree_ledger_and_bill_agree_to_the_micro_dollar(told: Told) -> None:
    """Lease, bill, tree and task name the same sum, the bill's lines count from 1, and nothing is held any more."""
    lines = told.of("usage.metered")
    assert [one.line for one in lines] == list(range(1, len(lines) + 1)) == list(range(1, told.task.lines + 1))
    bill = sum(one.cost_micro_usd for one in lines)
    assert told.of("usage.corrected") == []
    assert told.lease.settled == bill == told.tree.total == told.task.spent > 0
    assert (told.lease.state, told.lease.held, told.lease.overrun) == ("closed", 0, 0)
    assert sum(line.cost or 0 for line in tell(told.events)) == bill
    books = set(told.account.books.values())
    assert {(book.settled, book.open) for book in books} == {(bill, 0)}
    assert told.account.runs == 0


def test_it_never_spent_more_than_was_granted(told: Told) -> None:
    """What was spent before the pause fits the first budget, and all of it what a person made of that."""
    events = [event.type for event in told.events]
    pause = events.index("task.parked")
    before = [event.data for event in told.events[:pause] if event.type == "usage.metered"]
    assert sum(one.cost_micro_usd for one in before) <= BUDGET < told.task.budget
    assert told.task.spent <= told.task.budget
    assert [one.budget_micro_usd for one in told.of("task.resumed")] == [told.task.budget] * 2


def test_waste_and_savings_stand_in_the_tree(told: Told) -> None:
    """What brought no answer, and what was not paid again, is the sum of its lines; the copy cost nothing."""
    wasted = sum(one.cost_micro_usd for one in told.of("usage.metered") if one.outcome in {"failed", "unknown"})
    saved = sum(one.saved_micro_usd for one in told.of("usage.saved"))
    assert (told.tree.wasted, told.tree.saved) == (wasted, saved)
    assert min(wasted, saved) > 0
    assert {run: list(node.parts) for run, node in told.tree.parts.items()} == {
        "run 1": ["1-note.txt", "2-copy.txt"],
        "run 3": ["3-long.txt"],
    }
    copy = told.tree.parts["run 1"].parts["2-copy.txt"]
    assert (copy.total, copy.saved) == (0, saved)


@pytest.mark.parametrize(
    "substance",
    [
        r"ann submitted 3 documents to document-review",
        r"admitted with a budget of \$0\.005200; the tenant has",
        r"1-note\.txt: classify asks reserved \| provisioned capacity; at most \$0\.00\d+ of \$0\.005200 left",
        r"asks cheap instead; its end is not known: charged at its worst \| reserved throttled",
        r"asks dear instead; its end is not known: charged at its worst \| cheap answered half an answer",
        r"classify failed on attempt 1, to be tried again",
        r"classify begins, attempt 2",
        r"classify asks cheap again: [\d,]+ tokens read, \d+ written; its answer will not do",
        r"classify asks cheap to repair its answer: [\d,]+ tokens read, \d+ written \| cheap answered what will not do",
        r"2-copy\.txt: classify was answered before by cheap: \$0\.\d+ saved \| the answer was in the cache",
        r"waits for a model that takes calls until 2026-01-01 00:00:2\d UTC",
        r"waits for a decision on its budget \| a call of \w+ may cost \$0\.\d+, and \$0\.\d+ are left",
        r"asked for more budget: owner to decide by 2026-01-08",
        r"approved by ann for more budget",
        r"goes on as run 2 with a budget of \$0\.\d+ \| ann granted \$0\.\d+ more",
        r"completed: 3 reviewed, 0 failed, \$0\.\d+ spent",
    ],
)
def test_the_story_says_what_a_finance_person_asks(told: Told, substance: str) -> None:
    """Who wanted it, what it might cost, why money was spent twice or not at all, who granted more, and the sum."""
    assert re.search(substance, told.story), told.story


def test_the_story_has_no_riddles(told: Told) -> None:
    """Neither amounts in millionths nor codes of ours are left in its sentences, and it is in order."""
    assert "micro-USD" not in told.story
    assert not re.search(r"\b(truncated-json|bad-answer|budget-used-up|models-busy)\b", told.story)
    places = [told.story.index(word) for word in ("submitted", "admitted", "asks reserved", "granted", "completed")]
    assert places == sorted(places)


def test_explain_prints_story_tree_and_ledger(shell: Shell, told: Told) -> None:
    """The sums below the tree are those of the bill, and the ledger agrees; amounts stand below each other."""
    said = shell.type("explain", told.task.id)
    assert (said.code, said.err) == (DONE, "")
    assert f"spent: ${told.task.spent / 1e6:.6f} of a budget of ${told.task.budget / 1e6:.6f} in 3 runs" in said.out
    assert f"saved: ${told.tree.saved / 1e6:.6f}" in said.out
    assert f"in vain: ${told.tree.wasted / 1e6:.6f}" in said.out
    assert "agrees with the tree to the micro-dollar" in said.out
    assert "end unknown, charged at its worst" in said.out
    story, tree = said.out.split("\ntask ")[0], said.out[said.out.index(f"task {told.task.id}") :]
    ends = {match.end() for line in story.splitlines() if (match := re.search(r"\s{2}-?\$[\d.]{8}$", line))}
    columns = [re.search(r"\$[\d.]{8}", line) for line in tree.splitlines() if "line " in line]
    assert len({match.start() for match in columns if match}) == 1
    assert len(ends) == 1


@pytest.mark.parametrize("column", WAYS)
def test_every_column_of_the_bill_adds_up_to_the_same(shell: Shell, told: Told, column: str) -> None:
    """However the costs are grouped, cost, waste and savings are those of the task, and no line is missing."""
    said = shell.type("costs", "--by", column, "--json")
    assert (said.code, said.err) == (DONE, "")
    sums = {name: sum(line[name] for line in said.lines) for name in ("cost", "wasted", "saved", "calls")}
    assert sums == {
        "cost": told.lease.settled,
        "wasted": told.tree.wasted,
        "saved": told.tree.saved,
        "calls": told.task.lines,
    }


def test_a_month_of_the_bill_is_that_of_the_tenants_budget(shell: Shell, told: Told) -> None:
    """What `costs` adds up for a month is what the tenant's account has settled in it; another month is empty."""
    (month,) = (window for window in told.account.books if window.startswith("month:"))
    said = shell.type("costs", "--during", month.removeprefix("month:"), "--json")
    assert sum(line["cost"] for line in said.lines) == told.account.books[month].settled
    assert shell.type("costs", "--during", "2025-12", "--json").lines == []
    assert shell.type("costs", "--during", "christmas").code == USAGE


def test_calls_are_where_they_were_made_and_savings_whose_they_are(shell: Shell, told: Told) -> None:
    """A batch is Azure's, its calls are made on AWS; an answer from the cache is saved by who gave it."""
    assert told.task.placed_on == "azure"
    assert [one["name"] for one in shell.type("costs", "--by", "cloud", "--json").lines] == ["aws"]
    saved = {one["name"]: one["saved"] for one in shell.type("costs", "--by", "deployment", "--json").lines}
    assert {name for name, amount in saved.items() if amount} == {"cheap", "late"}


@pytest.fixture
def robbed(
    home: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Shell, sqlite3.Connection]]:
    """A shell beside a copy of the run's state, and that copy's rows."""
    shutil.copytree(home / HOME, tmp_path / HOME)
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect(tmp_path / HOME / "fabric.db", isolation_level=None)) as rows:
        yield shell, rows


def test_a_lost_last_line_is_missed(robbed: tuple[Shell, sqlite3.Connection], told: Told) -> None:
    """The end of a task says how many lines there are: one lost at the end of the bill shows like any other."""
    shell, rows = robbed
    rows.execute("DELETE FROM record_billing WHERE outcome != 'closed' AND line = ?", (told.task.lines,))
    said = shell.type("costs")
    assert said.code == FAILED
    assert f"the bill of task {told.task.id} lacks {told.task.lines}" in said.err
    assert "were charged" in said.err
    assert "agentfabric parked" in said.err


def test_a_bill_that_never_came_is_missed(robbed: tuple[Shell, sqlite3.Connection], told: Told) -> None:
    """Where all of it is lost, its end included, the ledger still knows what was charged; the story says so, too."""
    shell, rows = robbed
    rows.execute("DELETE FROM record_billing")
    charged = f"{usd(told.task.spent)} were charged"
    said = shell.type("costs")
    assert (said.code, f"the bill of task {told.task.id} says $0.000000, and {charged}" in said.err) == (FAILED, True)
    last = max(event.sequence for event in told.events if event.type == "usage.metered")
    rows.execute("DELETE FROM record_audit WHERE sequence >= ?", (last,))
    story = shell.type("explain", told.task.id)
    assert (story.code, charged in story.err) == (FAILED, True)
