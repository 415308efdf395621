"""The same review, through the deployed fabric and in one process: place and time aside, it has one history."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from identify.vendor.licenses import LICENSES

from local.cli.review import reviewed_on_the_stack
from local.cli.shared import WAITING
from local.cli.stack import running
from local.clock import VirtualClock
from local.corpus import Item
from local.entrance import let_all_in
from local.review import Review
from local.sqlite.database import Database
from local.sqlite.documents import LocalDocuments
from local.stack import processes, state
from local.stack.client import Client
from local.stack.demo import ROLES, StackReview, follow_to_the_end
from local.stack.report import write_environment
from local.stack.supervisor import Supervisor
from local.wiring import TENANT
from shared.core.taxonomy import parse_taxonomy
from shared.errors import Permanent
from shared.events.catalog import encode, parse
from shared.taxonomies import builtin
from tests.local.histories import by_document
from tests.local.stack import readme
from tests.local.stack.serving import eventually
from tests.local.stack.trivial import MISSING, web
from tests.local.stage import MIT, PERSON, PLAIN, fabric, write_corpus
from tests.local.typed import DONE, FAILED, Shell

if TYPE_CHECKING:
    from shared.events.catalog import AnyEvent

pytestmark = [
    pytest.mark.timeout(400),  # sam builds and deploys first
    pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning"),
]
CORPUS = {
    "plain/LICENSE": MIT,
    "copyleft/COPYING": dict(LICENSES)["GPL-3.0"],
    "mixed/LICENSE": MIT,
    "mixed/LICENSE.empty": "",
}
OUTCOMES = {
    "plain/LICENSE": "done",
    "copyleft/COPYING": "waiting",
    "mixed/LICENSE": "done",
    "mixed/LICENSE.empty": "failed",
}

Call = Callable[..., tuple[int, Any]]
Histories = dict[str, list["AnyEvent"]]


def items(folder: Path) -> list[Item]:
    """Write the corpus and return its documents, each of its package."""
    write_corpus(folder, CORPUS)
    return [Item(folder / name, name, entity=f"package:{Path(name).parent}") for name in CORPUS]


def approve(call: Call, approval: str) -> None:
    """Look at an approval and approve it over HTTP."""
    _, shown = call("GET", f"/api/approvals/{approval}", person=PERSON, roles=ROLES)
    body = json.dumps({"verdict": "approved", "digest": shown["digest"]})
    assert call("POST", f"/api/approvals/{approval}/decision", person=PERSON, roles=ROLES, body=body)[0] == 200


def through_the_stack(client: Client, corpus: list[Item], taxonomy: str) -> tuple[list[Item], Histories]:
    """Review a corpus through the deployed fabric, approve what waits, and return outcomes and histories."""
    review = StackReview(client, PERSON)
    review.submit(corpus, taxonomy, lambda _done, _total: None)
    follow_to_the_end(review, review.follow, "its folder")
    found = review.collected()
    for item in found:
        if item.approval:
            approve(client.call, item.approval)

    def is_over() -> bool:
        return all(client.history(task=item.task)[-1]["type"].startswith("task.") for item in found)

    assert eventually(is_over)
    return found, {item.entity: [parse(json.dumps(one)) for one in client.history(task=item.task)] for item in found}


def in_one_process(corpus: list[Item], taxonomy: str) -> tuple[list[Item], Histories]:
    """Review a corpus in this process, approve what waits, and return outcomes and histories."""
    with fabric() as here:
        ref = here.engine.documents.write(taxonomy.encode(), "application/toml", parse_taxonomy(taxonomy).name)
        review = Review(here.engine, ref, PERSON)
        review.submit(corpus)
        here.engine.work()
        found = review.collected()
        for item in found:
            if item.approval:
                approve(here.engine.azure.call, item.approval)
        here.engine.work()
        return found, {item.entity: here.told(item.entity) for item in found}


def seen(item: Item) -> tuple[object, ...]:
    """Return what a person sees of a document's review."""
    return item.name, item.status, item.label, item.score, item.summary, item.verdict, item.reason, item.cost


def test_the_deployed_fabric_says_what_the_embedded_one_says(facts: dict[str, str], tmp_path: Path) -> None:
    """Packages that pass, fail in part and wait for a person have, place and time aside, equal histories."""
    corpus, taxonomy = items(tmp_path), builtin("licences")
    here, expected = in_one_process(corpus, taxonomy)
    there, told = through_the_stack(Client(facts), corpus, taxonomy)
    assert {item.name: item.status for item in there} == OUTCOMES
    assert list(map(seen, there)) == list(map(seen, here))
    for entity, events in told.items():
        assert by_document(events) == by_document(expected[entity]), entity
        first = events[0].sequence
        assert [event.sequence for event in events] == [*range(first, first + len(events))]
    assert {event.source for event in told["package:copyleft"]} == {"/aws", "/azure/review"}


def test_what_needs_nobody_stays_on_aws(facts: dict[str, str], tmp_path: Path) -> None:
    """A document that nobody can be asked about is reviewed by the Express pipeline alone, with an equal history."""
    corpus = items(tmp_path)[:1]
    _, expected = in_one_process(corpus, PLAIN)
    (item,), told = through_the_stack(Client(facts), corpus, PLAIN)
    assert item.status == "done"
    assert by_document(told[item.entity]) == by_document(expected[item.entity])
    assert {event.source for event in told[item.entity]} == {"/aws"}


def test_the_verbs_reach_the_stack(deployed: Path, shell: Shell) -> None:
    """What waits on the stack is listed, approved and explained by the verbs that do so for the embedded fabric."""
    corpus = [replace(item, entity="package:typed") for item in items(shell.folder)[1:2]]
    (item,) = reviewed_on_the_stack(Client(state.facts(deployed / "stack")), corpus, PERSON, deployed)
    there = ("--stack", "emulators", "--home", deployed)
    assert item.approval in {line["id"] for line in shell.type("approvals", *there, "--json").lines}
    assert f"--digest {shell.type('approvals', item.approval, *there, '--json').lines[0]['digest'][:8]}" in (
        shell.type("approvals", item.approval, *there).out
    )
    assert shell.type("approve", item.approval, *there).out == f"{item.approval[:8]}  COPYING: approved\n"
    assert eventually(lambda: "task.completed" in shell.type("events", "--task", item.task, *there).out)
    assert "approved" in shell.type("explain", item.task, *there).out
    assert eventually(lambda: "document-review: completed" in shell.type("trace", item.task, *there).out)
    (told,) = shell.type("trace", item.task, "--json", *there).lines
    assert {
        one["value"]["stringValue"] for part in told["resourceSpans"] for one in part["resource"]["attributes"]
    } == {*("agentfabric", "aws", "azure")}


def test_the_clients_and_operators_verbs_reach_the_stack(deployed: Path, shell: Shell) -> None:
    """On the stack a limit is changed, all work stopped and started, and a task submitted, looked at and cancelled."""
    there = ("--stack", "emulators", "--home", deployed)
    write_corpus(shell.folder, {"a.txt": MIT, "plain.toml": PLAIN})
    submit = ("submit", "a.txt", "--taxonomy", "plain.toml", "--priority", "background", *there)
    assert shell.type("tenants", "set", TENANT, "max_runs=900", *there).code == DONE
    assert shell.type("policy", *there).out == f"[tenants.{TENANT}]\nfour_eyes = false\nmax_runs = 900\n"
    assert shell.type("stop", "--all", "--reason", "a leak", "--as", "ann", "--wait", *there).code == DONE
    try:
        (line,) = shell.type("tenants", "--json", *there).lines
        assert (line["stopped"], line["limits"]["max_runs"]) == ("by ann: a leak", 900)
        refused = shell.type(*submit)
        assert (refused.code, "everything is stopped by ann: a leak" in refused.err) == (WAITING, True)
    finally:
        assert shell.type("start", "--all", *there).out == "started\n"
    assert eventually(lambda: shell.type(*submit).code == DONE)
    (task,) = shell.type(*submit).lines
    assert task["id"] in {line["id"] for line in shell.type("tasks", "--json", *there).lines}
    (whole,) = shell.type("status", task["id"], *there).lines
    assert (whole["priority"], whole["documents"][0]["name"]) == ("background", "a.txt")
    ended = shell.type("cancel", task["id"], "--reason", "a test", *there)
    assert ended.code == DONE or "already completed" in ended.err
    assert shell.type("parked", *there).code == DONE
    ended = shell.type("skip", "package:none", "1", "--reason", "a test", *there)
    assert (ended.code, ended.out) == (FAILED, "")


@pytest.fixture
def clone(root: Path, deployed: Path, facts: dict[str, str], tmp_path: Path) -> Path:
    """A folder that looks like a clone in which `up` was typed: it has the stack and the samples."""
    write_environment(deployed / "stack", facts)
    (tmp_path / ".agentfabric").symlink_to(deployed)
    (tmp_path / "tests").symlink_to(root / "tests")
    return tmp_path


def test_readme_shows_a_client_of_each_kind(root: Path) -> None:
    """README has three blocks: HTTP, the SDKs, and what became of the event; the last one stops the stack."""
    http, sdks, after = readme.blocks(root)
    assert http.startswith(f"{readme.ENVIRONMENT}\n")
    assert [len(re.findall("^curl", block, re.MULTILINE)) for block in (http, after)] == [3, 1]
    assert [name for name in ("boto3.client(", "DurableOrchestrationClient(", "PublisherClient(") if name in sdks] == [
        *("boto3.client(", "DurableOrchestrationClient(", "PublisherClient("),
    ]
    assert after.splitlines()[-1].startswith(readme.STOPS)


def test_curl_as_readme_has_it_is_answered(root: Path, clone: Path) -> None:
    """`curl` gets a page of tasks, what became of an entity's chain, and the list of functions."""
    tasks, verified, functions = map(json.loads, readme.typed(clone, readme.blocks(root)[0]))
    assert len(tasks["tasks"]) <= 1
    assert verified["intact"]
    assert len(functions) > 0
    assert {*functions[0]} == {"name", "trigger"}


def test_the_sdks_as_readme_has_them_are_answered(root: Path, clone: Path, facts: dict[str, str]) -> None:
    """The SDKs see the table and a person's review, and the event that is published by hand is in the record."""
    (item,), _ = through_the_stack(Client(facts), items(clone / "corpus")[1:2], builtin("licences"))
    _, sdks, after = readme.blocks(root)
    tables, *instances = readme.executed(clone, sdks)
    assert facts["TABLE_NAME"] in tables
    assert [line for line in instances if item.task in line and line.endswith(" Completed")]

    def told() -> list[Any]:
        (printed,) = readme.typed(clone, after)
        found: list[Any] = json.loads(printed)["events"]
        return found

    assert eventually(told)
    event = parse((root / "tests" / "samples" / "event.json").read_bytes()).model_copy(update={"sequence": 1})
    assert [one["event"] for one in told()] == [json.loads(encode(event))]


@pytest.mark.parametrize(
    "verb",
    [
        *(("approvals",), ("approve", "--all"), ("events", "--task", "t"), ("explain", "t"), ("parked",)),
        *(("tenants",), ("policy",), ("start", "--all"), ("status", "t"), ("tasks",), ("cancel", "t")),
        ("trace", "t"),
    ],
)
def test_verbs_for_a_stack_that_is_down_say_how_to_start_it(shell: Shell, verb: tuple[str, ...]) -> None:
    """Without a stack the verbs end with the command that starts one."""
    ended = shell.type(*verb, "--stack", "emulators")
    assert (ended.code, ended.out) == (FAILED, "")
    assert "agentfabric up" in ended.err


def test_a_demo_does_not_start_without_all_its_parts(shell: Shell) -> None:
    """What is missing is named with the command that installs it, and nothing is started."""
    parts = [web("first"), web("second", requires=(MISSING,))]
    shell.monkeypatch.setattr("local.stack.parts.all_parts", lambda: parts)
    ended = shell.type("demo", "--stack", "emulators")
    assert (ended.code, ended.out) == (FAILED, "")
    assert "unobtainium is missing: dig deeper" in ended.err
    assert state.facts(shell.folder / ".agentfabric" / "stack") == {}


def test_a_demo_stops_what_it_started_and_nothing_else(shell: Shell) -> None:
    """A stack that was started for a run ends with it, whatever happens; one that ran before goes on."""
    shell.monkeypatch.setattr("local.stack.parts.all_parts", lambda: [web("first")])
    stack = shell.folder / "stack"

    def work() -> None:
        with running(shell.folder):
            raise LookupError(state.facts(stack)["FIRST_URL"])

    with pytest.raises(LookupError, match="127"):
        work()
    assert state.facts(stack) == {}
    assert processes.marked(state.load(stack).mark) == []
    supervisor = Supervisor(stack, [web("first")])
    try:
        supervisor.up()
        with running(shell.folder):
            pass
        assert "FIRST_URL" in state.facts(stack)
    finally:
        supervisor.down()


class Silent(Client):
    """A fabric that takes every task and records nothing."""

    def history(self, **_of: str) -> list[dict[str, Any]]:
        """Return no events."""
        return []


def test_a_fabric_that_stands_still_is_not_waited_for_forever(tmp_path: Path) -> None:
    """When nothing moves any more, the run ends and says where the logs are."""
    review = StackReview(Silent({}), PERSON)
    review.track(Item(tmp_path, "LICENSE", "package:x", task="t"))
    now = iter(range(0, 10_000, 50))
    with pytest.raises(Permanent, match=r"1 of 1 documents are not settled.*the logs in some/logs"):
        follow_to_the_end(review, review.follow, "some/logs", clock=lambda: next(now), wait=lambda _: None)


class Busy(Client):
    """A fabric that has one run at a time, and ends it when somebody looks."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self.database = Database(folder / "documents.db")
        self.refused = 0
        self._open: list[str] = []

    @contextmanager
    def documents(self) -> Iterator[LocalDocuments]:
        """Open documents of its own."""
        yield LocalDocuments(self.database)

    def call_api(
        self,
        method: str,  # noqa: ARG002  as the client has it
        path: str,  # noqa: ARG002
        *,
        person: str,  # noqa: ARG002
        roles: Sequence[str] = (),  # noqa: ARG002
        body: str | None = None,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Take a task, or say when to come back."""
        if self._open:
            self.refused += 1
            return 429, {"detail": "1 runs are open", "code": "runs", "retry_after": 5.0}
        self._open.append((headers or {})["Idempotency-Key"])
        return 202, {"id": self._open[0]}

    def history(self, **of: str) -> list[dict[str, Any]]:
        """End the run that is asked about, well."""
        self._open.remove(of["task"])
        data = {"document": 0, "label": "mit", "score": 1.0, "summary": "", "verdict": "automatic", "reason": ""}
        return [{"type": "document.reviewed", "data": data}]


def test_a_fabric_that_is_full_is_asked_again(tmp_path: Path) -> None:
    """What a deployed fabric has no room for comes in when a run has ended, and none of it fails."""
    client, clock = Busy(tmp_path), VirtualClock()
    review = StackReview(client, PERSON, clock)
    review.submit(items(tmp_path)[:3], builtin("licences"), lambda _done, _total: None)
    assert review.tally == {"queued": 3}
    let_all_in(review, review.follow)
    assert [item.status for item in review.collected()] == ["done"] * 3
    assert client.refused == 2
    client.database.close()


def test_what_a_full_fabric_never_takes_is_parked(tmp_path: Path) -> None:
    """Documents that are still outside when nothing moves any more are parked, with the reason that was given."""
    client, clock = Busy(tmp_path), VirtualClock()
    review = StackReview(client, PERSON, clock)
    review.submit(items(tmp_path)[:3], builtin("licences"), lambda _done, _total: None)
    let_all_in(review, lambda: None)
    assert [item.reason for item in review.line.outside()] == ["not let in yet: 1 runs are open"] * 2
    client.database.close()


def test_a_client_of_a_stack_that_is_down_says_how_to_start_it() -> None:
    """Without the stack's addresses every door answers with the command that brings them."""
    with pytest.raises(Permanent, match="agentfabric up"):
        Client({}).ask("/events", {"task": "t"})
