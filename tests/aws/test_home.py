from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from aws.adapters.pipelines import ExpressPipelines, StillRunning
from aws.handlers import home
from aws.wire import MAX_PEER_BODY
from local.wiring import TENANT, using
from shared.app.outcomes import fail_document, record_document
from shared.app.tasks import cancel
from shared.core.failure import Failure
from shared.core.workflow import pipeline_input
from shared.errors import Permanent, Transient
from tests.aws.stage import TEXT
from tests.contracts.control import refusal
from tests.contracts.gateway import home_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.task import Task
    from tests.aws.stage import Json, Stage

PEER = {"sub": "azure", "roles": "[fabric]"}
CLIENT = {"sub": "ann", "tenant": TENANT}


def ask(operation: str, claims: Json | None = None, **asked: object) -> tuple[int, Json]:
    """Ask the home; return the status and the answer."""
    return post(operation, json.dumps(asked).encode(), PEER if claims is None else claims)


def post(operation: str, body: bytes, claims: Json) -> tuple[int, Json]:
    """Post a body to the home; return the status and the answer."""
    told = home.handler(home_event(operation, body, claims), None)
    return told["statusCode"], json.loads(told["body"])


@pytest.mark.parametrize(
    "claims",
    [
        {},
        CLIENT,
        CLIENT | {"scope": "tasks"},
        CLIENT | {"scope": "fabricate"},
        CLIENT | {"tenant": "fabric"},
        CLIENT | {"roles": "[fabric-reader not_fabric]"},
        CLIENT | {"roles": None},
    ],
)
def test_a_clients_token_does_not_open_the_home(stage: Stage, claims: Json) -> None:
    """A token that does not grant exactly the fabric's own scope or role is refused, whatever else it says."""
    task = stage.submitted()
    status, told = ask("tasks.load", claims, tenant=TENANT, task=task.id)
    assert (status, told["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "grant",
    [{"scope": "fabric"}, {"scp": "a fabric b"}, {"roles": "[fabric]"}, {"roles": "[reader fabric]"}],
)
def test_a_function_of_the_fabric_comes_in(stage: Stage, grant: Json) -> None:
    """Scope or role, alone or among others, as text or as an array's text: the fabric's own functions come in."""
    task = stage.submitted()
    status, told = ask("tasks.load", {"sub": "azure", **grant}, tenant=TENANT, task=task.id)
    assert (status, told["task"]["id"]) == (200, task.id)


BAD: Mapping[str, tuple[str, bytes, int, str]] = {
    "an unknown operation": ("tasks.drop", b"{}", 400, "not-understood"),
    "no body": ("tasks.load", b"", 400, "not-understood"),
    "no JSON": ("tasks.load", b"tenant=local", 400, "not-understood"),
    "a list": ("tasks.load", b"[]", 400, "not-understood"),
    "a key twice": ("tasks.load", b'{"tenant": "a", "tenant": "b", "task": "t"}', 400, "not-understood"),
    "a field missing": ("tasks.load", b'{"tenant": "local"}', 400, "not-understood"),
    "a field too many": ("tasks.load", b'{"tenant": "local", "task": "t", "all": true}', 400, "not-understood"),
    "a tenant that ends a key": ("tasks.load", b'{"tenant": "a#tasks", "task": "t"}', 400, "not-understood"),
    "an endless list": ("tasks.page", b'{"tenant": "local", "limit": 1000000}', 400, "not-understood"),
    "an unknown event": ("outbox.mark_sent", b'{"events": [{"type": "task.teleported"}]}', 400, "not-understood"),
    "an event of text": ("outbox.mark_sent", b'{"events": ["task.placed"]}', 400, "not-understood"),
    "an unknown route": ("bus.publish", b'{"messages": [{"route": "home", "event": {}}]}', 400, "not-understood"),
    "too deep": ("pipelines.run", b'{"given": ' + b"[" * 99 + b"]" * 99 + b"}", 400, "too-deep"),
    "too large": ("tasks.commit", b" " * (MAX_PEER_BODY + 1), 413, "oversize"),
    "no such task": ("tasks.load", b'{"tenant": "local", "task": "t"}', 404, "not-found"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_done_is_explained(stage: Stage, bad: str) -> None:
    """Each request out of shape is refused under a code that tells bad content from a caller of another version."""
    operation, body, status, code = BAD[bad]
    before = stage.written()
    answered, told = post(operation, body, PEER)
    assert (answered, told["code"]) == (status, code)
    assert stage.written() == before


class Running:
    """A pipeline that takes longer than anybody waits."""

    def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Be at it still."""
        raise StillRunning(f"{workflow} {name} {given}")


def look(task: Task) -> Any:
    """Look at how the pipeline of a task's document stands."""
    status, told = ask("pipelines.look", tenant=task.tenant, task=task.id, document=0)
    return told["output"] if status == 200 else told["code"]


def run_steps(stage: Stage, task: Task) -> Json:
    """Run the pipeline's steps, up to its end, and return what it ended with."""
    execution = stage.run_pipeline(task)
    assert execution.status == "SUCCEEDED"
    output: Json = execution.output
    return output


def test_a_pipeline_that_ends_in_time_is_answered_at_once(stage: Stage) -> None:
    """The output of a pipeline that ends while the caller waits is the answer."""

    class Quick:
        def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"asked": [workflow, name, dict(given)]}

    given = pipeline_input(TENANT, "t1", 3)
    with using(replace(stage.ports, pipelines=Quick())):
        told = ask("pipelines.run", workflow="document-review", name="t1.1-3", given=given)
    assert told == (200, {"output": {"asked": ["document-review", "t1.1-3", given]}})


def test_a_pipeline_that_takes_long_is_looked_at(stage: Stage) -> None:
    """A pipeline nobody can wait for has no output until its steps are in the journal and its document is recorded."""
    task = stage.placed(stage.submitted())
    with using(replace(stage.ports, pipelines=Running())):
        told = ask("pipelines.run", workflow="document-review", name="n", given=pipeline_input(TENANT, task.id, 0))
    assert told == (200, {"output": None})
    assert look(task) is None
    output = run_steps(stage, task)
    assert look(task) == {**pipeline_input(TENANT, task.id, 0), "results": output["results"]}


def test_a_document_still_to_be_recorded_is_not_the_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all results in the journal and no human to ask, the pipeline ends when the document is recorded."""
    task = stage.placed(stage.submitted())
    with monkeypatch.context() as patched:
        patched.setattr("aws.handlers.record.record_document", lambda *_, **__: task)
        stage.run_pipeline(task)
    assert look(task) is None
    record_document(stage.ports, TENANT, task.id, 0, source="/test")
    assert look(task)["results"]["policy"]["approval_required"] is False


def test_a_document_that_waits_for_a_human_is_the_end(stage: Stage) -> None:
    """Where policy wants a human, the last step's result is the end, because nothing of the pipeline comes behind."""
    asking = stage.document(
        'name = "a"\nthreshold = 0.1\n[[classes]]\nname = "report"\nkeywords = ["revenue"]\napproval = true\n', "a.toml"
    )
    task = stage.placed(stage.submitted(taxonomy=asking.model_dump(mode="json")))
    output = run_steps(stage, task)
    assert look(task)["results"] == output["results"]
    assert look(task)["results"]["policy"]["approval_required"] is True


def test_a_pipeline_that_failed_is_looked_at(stage: Stage) -> None:
    """A document that failed meanwhile is the pipeline's failure, for good."""
    task = stage.placed(stage.submitted())
    fail_document(stage.ports, TENANT, task.id, 0, Failure("extract", "not-text", "not a text"), source="/test")
    assert look(task) == "pipeline-failed"


def test_a_cancelled_task_has_no_pipeline(stage: Stage) -> None:
    """A document of a task that was cancelled meanwhile comes to no other end."""
    task = stage.placed(stage.submitted())
    cancel(stage.ports, TENANT, task.id, "ann", "", source="/test")
    assert look(task) == "task-over"


class Express:
    """Step Functions, as far as one call goes: it answers, or loses patience."""

    def __init__(self, answer: Json | Exception) -> None:
        self.answer = answer

    def start_sync_execution(self, **_: object) -> Json:
        """Answer."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_client_that_loses_patience_leaves_the_execution_alone() -> None:
    """The wait that ends before the execution is told apart from a failure that another attempt may mend."""
    late = ExpressPipelines(Express(ReadTimeoutError(endpoint_url="x")), {"w": "arn"})
    with pytest.raises(StillRunning):
        late.run("w", "n", {})
    timed_out = ExpressPipelines(Express({"status": "TIMED_OUT"}), {"w": "arn"})
    with pytest.raises(Transient) as passing:
        timed_out.run("w", "n", {})
    assert not isinstance(passing.value, StillRunning)


def test_lists_fit_one_answer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list stops before it is larger than an answer, tells that there is more, and has one item at least."""
    ids = sorted(stage.submitted(key=f"k{number}", entity=f"e{number}").id for number in range(3))
    assert [task["id"] for task in ask("tasks.page", tenant=TENANT, limit=3)[1]["tasks"]] == ids
    monkeypatch.setattr(home, "MOST_ANSWERED", 1)
    _, told = ask("tasks.page", tenant=TENANT, limit=3)
    assert ([task["id"] for task in told["tasks"]], told["more"]) == (ids[:1], True)
    _, last = ask("tasks.page", tenant=TENANT, limit=3, after=ids[1])
    assert ([task["id"] for task in last["tasks"]], last["more"]) == (ids[2:], False)


def test_a_surprise_is_not_told(stage: Stage) -> None:
    """An error nobody foresaw is answered without its text, which may quote a document."""

    class Broken:
        def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
            raise RuntimeError(f"{workflow} {name} {given} {TEXT}")

    with using(replace(stage.ports, pipelines=Broken())):
        status, told = ask("pipelines.run", workflow="w", name="n", given=pipeline_input(TENANT, "t1", 0))
    assert (status, told["code"]) == (500, "internal")
    assert TEXT not in json.dumps(told)


def test_every_verdict_keeps_its_code(stage: Stage) -> None:
    """What a pipeline fails with arrives under its own code."""

    class Failing:
        def run(self, workflow: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
            raise Permanent(f"{workflow} {name} {len(given)}", code="document-missing")

    with using(replace(stage.ports, pipelines=Failing())):
        status, told = ask("pipelines.run", workflow="w", name="n", given=pipeline_input(TENANT, "t1", 0))
    assert (status, told["code"], told["detail"]) == (400, "document-missing", "w n 5")


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("task", {"tenant": "local#tasks"}),
        ("task", {"tenant": "loc\0al"}),
        ("task", {"id": "a#b"}),
        ("entry", {"tenant": "other"}),
        ("approvals", {"tenant": "other"}),
    ],
)
def test_what_is_written_together_is_one_tenants(stage: Stage, part: str, changes: Json) -> None:
    """A commit with a separator in a name, or with rows of two tenants, is refused and writes nothing."""
    task = stage.submitted()
    entry = {"tenant": TENANT, "task": task.id, "document": 0, "step": "a", "tool": "a", "input_sha256": "b"}
    asked: dict[str, Any] = {"task": task.model_dump(mode="json"), "entry": entry, "approvals": []}
    policy = {"levels": [{"approvers": ["reviewer"], "wait": 1}]}
    named = dict.fromkeys(("id", "entity", "name", "reason", "digest", "requested_by"), "x")
    moments = {"requested_at": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:00:00Z"}
    approval = named | moments | {"tenant": TENANT, "task": task.id, "run": 1, "document": 0, "policy": policy}
    asked["approvals"] = [approval | (changes if part == "approvals" else {})]
    asked |= {part: asked[part] | changes} if part != "approvals" else {}
    before = stage.written()
    status, told = ask("tasks.commit", expected=task.version, events=[], **asked)
    assert (status, told["code"]) == (400, "not-understood")
    assert stage.written() == before


@pytest.mark.parametrize("events", [[], ["acme", "other"], ["local#tasks"]])
def test_what_is_noted_together_is_about_one_entity(stage: Stage, events: list[str]) -> None:
    """Events without a task are refused, and nothing is written, unless they are some, and one entity's."""
    (first,) = refusal(1)
    rows = [first.model_dump(mode="json", exclude_none=True) | {"tenant": tenant} for tenant in events]
    before = stage.written()
    status, told = ask("tasks.note", events=rows)
    assert (status, told["code"]) == (400, "not-understood")
    assert stage.written() == before
    other = [first.model_dump(mode="json", exclude_none=True) | {"partitionkey": name} for name in ("a", "b")]
    assert ask("tasks.note", events=other)[0] == 400
