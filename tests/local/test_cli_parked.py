from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from local.clock import VirtualClock
from local.corpus import documents_in
from local.model_server.scenario import ANY, Deployment, Phase, Scenario
from local.model_server.server import served
from local.model_server.service import ModelService
from local.review import Review
from tests.local.stage import INVOICE, MIT, PERSON, PLAIN, SameClock, fabric, outcomes, write_corpus
from tests.local.typed import DONE, FAILED, WAITING, Shell

if TYPE_CHECKING:
    import pytest

LATER = datetime(2100, 1, 1, tzinfo=UTC)
POLICY = """
[tenants.local]
[candidates.far]
provider = "openai"
model = "m"
url = "{url}/v1"
tokens_in = 100
tokens_out = 100
"""


def test_a_task_that_needs_more_money_says_so_wherever_one_looks(shell: Shell) -> None:
    """It is no failure: `resume`, `tasks`, `status` and `approvals` tell what it waits for; a decision ends that."""
    write_corpus(shell.folder, {"a.txt": MIT, "b.txt": MIT + " "})
    assert shell.type("submit", "b.txt", "--taxonomy", "plain.toml").code == DONE
    poor = shell.type("submit", "a.txt", "--taxonomy", "plain.toml", "--budget", "1").lines[0]["id"]
    resumed = shell.type("resume")
    sums = "2 tasks: 1 over, 0 documents wait for a human, 1 task waits for a decision on its budget\n"
    assert (resumed.code, resumed.out) == (WAITING, sums)
    listed = shell.type("tasks").out
    assert "waits for a decision on its budget: a call of extractive-1 may cost $0.000" in listed
    assert listed.count("waits for") == 1
    said = shell.type("status", poor)
    assert (said.lines[0]["status"], said.lines[0]["parked_for"]) == ("parked", "budget")
    assert said.err.startswith("the task waits for a decision on its budget: ")
    (asked,) = shell.type("approvals", "--json").lines
    assert (asked["about"], asked["task"]) == ("budget", poor)
    assert "more" in shell.type("approvals").out
    assert shell.type("approve", asked["id"]).code == DONE
    assert shell.type("resume").out == "2 tasks: 2 over, 0 documents wait for a human\n"
    assert "goes on as run 2" in shell.type("explain", poor).out


def test_a_refused_budget_ends_the_task(shell: Shell) -> None:
    """Who asked for too much is told who refused it; nothing was spent."""
    write_corpus(shell.folder, {"a.txt": MIT})
    poor = shell.type("submit", "a.txt", "--taxonomy", "plain.toml", "--budget", "1").lines[0]["id"]
    shell.type("resume")
    assert shell.type("reject", "--all", "--as", "bob").code == DONE
    assert shell.type("resume").out == "1 task: 1 over, 0 documents wait for a human\n"
    told = shell.type("explain", poor).out
    assert "cancelled by agentfabric" in told
    assert "bob refused the $" in told


def test_work_that_no_model_takes_now_is_parked_not_failed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Providers throttle for longer than an engine is patient: documents are parked, and it is told until when."""
    clock = VirtualClock(LATER)
    busy = Deployment(phases=(Phase(kind="429", end=600),))
    service = ModelService(Scenario(deployments={ANY: busy}), now=clock.now().timestamp())
    monkeypatch.setenv("AGENTFABRIC_HOME", str(tmp_path / "home"))
    folder = write_corpus(tmp_path / "docs", {"a.txt": INVOICE})
    with served(service, SameClock(clock)) as url:
        write_corpus(tmp_path / "home", {"policy.toml": POLICY.format(url=url)})
        with fabric(tmp_path / "home", clock=clock) as at:
            classes = at.engine.documents.write(PLAIN.encode(), "application/toml", "plain")
            review = Review(at.engine, classes, PERSON)
            review.submit(documents_in([folder]))
            at.engine.work(review.heard)
            item = outcomes(review)["a.txt"]
    assert item.status == "parked"
    assert item.reason.startswith("waits for a model that takes calls until 2100-01-01 00:")
    listed = shell.type("tasks").out
    assert "waits for a model that takes calls until 2100-01-01 00:" in listed
    resumed = shell.type("resume")
    assert resumed.code == WAITING
    assert "0 over, 0 documents wait for a human, 1 parked, the first until 2100-01-01 00:" in resumed.out
    run = shell.type("run", folder, "--taxonomy", "plain.toml")
    assert run.code == WAITING
    assert "1 document: 1 parked; $0.000000 spent" in run.out


def test_who_asked_for_money_does_not_grant_it(shell: Shell) -> None:
    """With four eyes the submitter is refused and told who may, before and after; on a laptop one person is enough."""
    write_corpus(shell.folder, {"a.txt": MIT})
    shell.type("tenants", "set", "local", "four_eyes=true")
    poor = shell.type("submit", "a.txt", "--taxonomy", "plain.toml", "--budget", "1", "--as", "ann").lines[0]["id"]
    shell.type("resume")
    listed = shell.type("approvals").out
    assert "owner, but not ann" in listed
    assert "a.txt  " in listed
    assert "more budget" not in listed
    said = shell.type("approve", "--all", "--as", "ann")
    assert said.code == FAILED
    assert "ann asked for this and may not decide it; somebody else may, or anybody where the policy" in said.out
    assert shell.type("status", poor).lines[0]["status"] == "parked"
    assert shell.type("approve", "--all", "--as", "bob").code == DONE
    assert "bob granted $0." in shell.type("explain", poor).out
