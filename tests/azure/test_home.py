"""The way to a home store on another cloud: what its answers mean, where tokens come from, who sets it up."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from azure.fabric import wiring
from azure.fabric.adapters.home import (
    Home,
    HomeApprovals,
    HomeBus,
    HomeJournal,
    HomeOutbox,
    HomePipelines,
    HomeTasks,
)
from azure.fabric.adapters.tokens import Kept, ManagedIdentity, Place
from azure.fabric.adapters.web import Answer, Web
from shared.core.routes import Route
from shared.errors import Conflict, Duplicate, FabricError, NotFound, Permanent, Transient
from shared.events.catalog import encode
from tests.azure.stage import Stage, principal
from tests.contracts.bus_contract import events
from tests.contracts.control import make

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = {"tenant": "acme", "task": "t1", "document": 2, "results": {}}
OUTPUT = {**GIVEN, "results": {"policy": {"approval_required": False}}}


def answer(status: int = 200, headers: Mapping[str, str] | None = None, **told: Any) -> Answer:
    """Return a JSON answer."""
    return Answer(status, headers or {}, json.dumps(told).encode())


def problem(status: int, code: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return problem details."""
    return answer(status, headers, code=code, detail="why", where="")


@dataclass
class Scripted(Web):
    """The web as a script: its answers in order, the last one for good, and what was asked."""

    answers: list[Answer]
    asked: list[tuple[str, str, Mapping[str, str], Any]] = field(default_factory=list)

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Answer."""
        self.asked.append((method, url, headers, json.loads(body) if body else None))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def home(*answers: Answer) -> tuple[Home, Scripted]:
    """Return a home that answers so."""
    web = Scripted(list(answers))
    return Home(web, "https://api.example.com/", lambda: "token"), web


def test_an_operation_is_one_request_under_a_token() -> None:
    """An operation is a POST of its fields, to its own address, with a token of the moment."""
    there, web = home(answer(last=7))
    assert HomeTasks(there).last_sequence("acme", "package-a") == 7
    ((method, url, headers, body),) = web.asked
    assert (method, url) == ("POST", "https://api.example.com/fabric/tasks.last_sequence")
    assert headers["Authorization"] == "Bearer token"
    assert body == {"tenant": "acme", "entity": "package-a"}


VERDICTS: tuple[tuple[Answer, type[FabricError], object], ...] = (
    (problem(409, "conflict"), Conflict, 0.0),
    (problem(409, "duplicate"), Duplicate, None),
    (problem(404, "not-found"), NotFound, "not-found"),
    (problem(400, "document-missing"), Permanent, "document-missing"),
    (problem(400, "too-deep"), Permanent, "too-deep"),
    (problem(413, "oversize"), Permanent, "oversize"),
    (answer(413, message="Request Entity Too Large"), Permanent, "oversize"),
    (problem(503, "try-later", {"retry-after": "7"}), Transient, 7.0),
    (problem(500, "internal"), Transient, 15.0),
    (problem(500, "not-configured"), Transient, 15.0),
    # What the gateway says, or a home of another version, is about the deployment: no document may fail of it.
    (problem(400, "not-understood"), Transient, 15.0),
    (problem(403, "forbidden"), Transient, 15.0),
    (answer(401, message="Unauthorized"), Transient, 15.0),
    (answer(404, message="Not Found"), Transient, 15.0),
    (answer(429, message="Too Many Requests"), Transient, 15.0),
    (answer(503, message="Service Unavailable"), Transient, 1.0),
    (Answer(502, {}, b"<html>"), Transient, 1.0),
    (Answer(200, {}, b"<html>"), Transient, 15.0),
    (Answer(200, {}, b"[]"), Transient, 15.0),
)


@pytest.mark.parametrize(("told", "kind", "says"), VERDICTS)
def test_an_answer_is_raised_as_what_it_means(told: Answer, kind: type[FabricError], says: object) -> None:
    """The home's own verdicts come back as they were raised there, and anything else is waited out."""
    there, web = home(told)
    with pytest.raises(kind) as raised:
        HomeTasks(there).load("acme", "t1")
    error = raised.value
    assert type(error) is kind
    assert says == getattr(error, "code", getattr(error, "retry_after", None))
    assert len(web.asked) == 1


def test_what_is_too_large_is_not_sent() -> None:
    """A request that the home would not take is refused before it is made."""
    there, web = home(answer())
    with pytest.raises(Permanent) as refused:
        there.ask("tasks.commit", task="x" * 3_000_000)
    assert refused.value.code == "oversize"
    assert web.asked == []


def test_a_long_list_takes_several_answers() -> None:
    """A page that the home cuts is asked for again from where it was cut, until it is full or there is no more."""
    names = ("t1", "t2", "t3")
    pages = [answer(tasks=[make(name).model_dump(mode="json")], more=name != "t3") for name in names]
    there, web = home(*pages)
    assert [task.id for task in HomeTasks(there).page("acme", limit=3)] == list(names)
    assert [(body["after"], body["limit"]) for _, _, _, body in web.asked] == [("", 3), ("t1", 2), ("t2", 1)]
    empty, _ = home(answer(approvals=[], more=False))
    assert list(HomeApprovals(empty).pending("acme", limit=3)) == []


def test_many_messages_take_several_requests_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one request does not take goes into the next ones, in the same order."""
    said = events("package-a", count=6)
    monkeypatch.setattr("azure.fabric.adapters.home._BATCH_BYTES", int(2.5 * len(encode(said[0]))))
    there, web = home(answer())
    HomeBus(there).publish([(Route.RECORDS, event) for event in said])
    sent = [[message["event"]["sequence"] for message in body["messages"]] for _, _, _, body in web.asked]
    assert [sequence for batch in sent for sequence in batch] == [1, 2, 3, 4, 5, 6]
    assert len(sent) > 1
    HomeOutbox(there).mark_sent(said)
    HomeBus(there).publish([])
    HomeOutbox(there).mark_sent([])
    assert [url.rpartition(".")[2] for _, url, _, _ in web.asked] == ["publish"] * len(sent) + ["mark_sent"] * len(sent)


def test_a_step_that_never_started_has_no_entry() -> None:
    """The absence of an entry is an answer, not a failure."""
    there, _ = home(answer(entry=None))
    assert HomeJournal(there).find("acme", "t1", 0, "extract") is None


def run(*answers: Answer) -> tuple[Any, list[float], list[str]]:
    """Run a pipeline; return its output or failure, the waits, and the operations that were asked."""
    there, web = home(*answers)
    waits: list[float] = []
    result: Any
    try:
        result = HomePipelines(there, waits.append).run("document-review", "t1.1-2", GIVEN)
    except FabricError as error:
        result = error
    return result, waits, [url.rpartition("/")[2] for _, url, _, _ in web.asked]


def test_a_pipeline_that_ends_in_time_is_one_request() -> None:
    """A pipeline's output comes with the answer to its start."""
    assert run(answer(output=OUTPUT)) == (OUTPUT, [], ["pipelines.run"])


def test_a_long_pipeline_is_looked_at_until_it_ends() -> None:
    """A pipeline that takes longer than a request is not started again but looked at, also past a home that is away."""
    result, waits, asked = run(
        answer(output=None), answer(output=None), problem(503, "try-later"), answer(output=OUTPUT)
    )
    assert result == OUTPUT
    assert waits == [3.0] * 3
    assert asked == ["pipelines.run", *["pipelines.look"] * 3]


def test_a_long_pipeline_may_fail() -> None:
    """A failure that a look finds is the pipeline's, for good."""
    result, _, _ = run(answer(output=None), problem(400, "pipeline-failed"))
    assert (type(result), result.code) == (Permanent, "pipeline-failed")


def test_a_pipeline_without_end_is_passing() -> None:
    """A pipeline that no look finds an end of within its five minutes may be started again."""
    result, waits, asked = run(answer(output=None))
    assert type(result) is Transient
    assert sum(waits) == 300
    assert asked.count("pipelines.run") == 1


def test_a_pipeline_that_cannot_be_started_is_not_looked_at() -> None:
    """A start that failed is the engine's to repeat."""
    result, waits, asked = run(problem(503, "try-later"))
    assert (type(result), waits, asked) == (Transient, [], ["pipelines.run"])


# --- tokens and wiring


def test_the_function_apps_identity_is_asked_for_the_homes_token() -> None:
    """The platform's endpoint is asked for a token of the home's audience, and proves itself by its header."""
    web = Scripted([answer(access_token="t", expires_on="1767225600", token_type="Bearer")])
    identity = ManagedIdentity(web, "http://127.0.0.1:41000/msi/token/", "header", "api://home")
    assert identity() == ("t", 1767225600.0)
    ((method, url, headers, _),) = web.asked
    assert (method, headers) == ("GET", {"X-IDENTITY-HEADER": "header"})
    assert url.endswith("?resource=api%3A%2F%2Fhome&api-version=2019-08-01")


def test_a_token_is_kept_until_shortly_before_it_expires() -> None:
    """A token is fetched once, and again five minutes before its end."""
    now, fetched = [1000.0], []

    def fetch() -> tuple[str, float]:
        fetched.append(now[0])
        return f"token-{len(fetched)}", now[0] + 3600

    kept = Kept(fetch, lambda: now[0])
    said = [kept(), kept()]
    now[0] += 3299
    said.append(kept())
    now[0] += 1
    assert [*said, kept()] == ["token-1", "token-1", "token-1", "token-2"]


def test_an_identity_that_gives_no_token_is_passing() -> None:
    """An endpoint that refuses now is asked again later."""
    with pytest.raises(Transient):
        ManagedIdentity(Scripted([answer(500)]), "http://127.0.0.1:1", "header", "api://home")()


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://127.0.0.1.example.com", "http://localhost.example.com", "http://10.0.0.1"]
)
def test_no_token_travels_in_the_clear(url: str) -> None:
    """Outside this machine requests are made over TLS alone."""
    with pytest.raises(Permanent) as refused:
        Web(1.0).ask("POST", url, {})
    assert refused.value.code == "not-configured"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment that names a home."""
    wiring.home.cache_clear()
    for name in ("AGENTFABRIC_PORTS", "HOME_TOKEN", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AzureWebJobsStorage"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME_URL", "https://api.example.com")
    monkeypatch.setenv("HOME_AUDIENCE", "api://home")
    monkeypatch.setenv("TENANTS", '{"acme": {}}')
    yield monkeypatch
    wiring.home.cache_clear()


def test_a_named_home_keeps_the_control_state(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a home named, every port of the control state leads there, and no storage of our own is needed."""
    settings.setenv("HOME_TOKEN", (tmp_path / "token").as_uri())
    ports = wiring.ports()
    assert isinstance(ports.tasks, HomeTasks)
    assert isinstance(ports.bus, HomeBus)
    assert isinstance(ports.pipelines, HomePipelines)
    assert ports is wiring.ports()
    with pytest.raises(Permanent) as refused:
        ports.documents.write(b"", "text/plain")
    assert refused.value.code == "not-here"


def test_tokens_come_from_the_platform_unless_a_place_is_named(settings: pytest.MonkeyPatch) -> None:
    """On Azure the function app's own identity speaks, on one machine a file or an address that was named."""
    settings.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:41000/msi/token")
    settings.setenv("IDENTITY_HEADER", "header")
    kept = wiring._token(Web(1.0))
    assert isinstance(kept, Kept)
    assert isinstance(kept.fetch, ManagedIdentity)
    assert kept.fetch.resource == "api://home"
    settings.setenv("HOME_TOKEN", "http://127.0.0.1:1/token")
    assert isinstance(wiring._token(Web(1.0)), Place)


def test_a_home_elsewhere_needs_no_storage_sdk(root: Path) -> None:
    """Ports on another cloud's home load none of the storage SDKs, nor any of that cloud's."""
    code = (
        "import sys; from azure.fabric import wiring; wiring.ports();"
        "print([name for name in sys.modules if name.startswith(('azure.storage', 'azure.data', 'boto'))])"
    )
    environment = {"HOME_URL": "http://127.0.0.1:1", "HOME_TOKEN": "file:///token", "TENANTS": "{}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


# --- the fabric's own functions at our door


def post(stage: Stage, body: str, roles: list[str], tenant: str) -> tuple[int, Any]:
    """Post an event as a function of another cloud."""
    headers = {"X-MS-CLIENT-PRINCIPAL": principal("aws-forwarder", roles, tenant)}
    told = stage.host.invoke_http("POST", "/api/reviews", headers, body)
    return told.status_code, json.loads(told.get_body())


def placed(stage: Stage) -> str:
    """Place a task and return the event that says so."""
    stage.place(1)
    (event,) = stage.events("task.placed")
    return encode(event)


def test_the_fabrics_own_functions_bring_any_tenants_event(stage: Stage) -> None:
    """A caller with the fabric's role speaks for every tenant that is set up here, others for their own."""
    body = placed(stage)
    status, told = post(stage, body, ["reviewer"], "an-entra-tenant")
    assert (status, told["code"]) == (403, "unknown-tenant")
    status, told = post(stage, body, ["fabric"], "an-entra-tenant")
    assert (status, told["done"]) == (202, "started")


def test_a_tenant_that_is_not_set_up_here_is_refused(stage: Stage) -> None:
    """Not even the fabric's own functions start reviews for a tenant nobody has set up."""
    body = json.dumps(json.loads(placed(stage)) | {"tenant": "stranger"})
    status, told = post(stage, body, ["fabric"], "an-entra-tenant")
    assert (status, told["code"]) == (403, "unknown-tenant")


def test_an_application_without_a_name_comes_in_by_its_role(stage: Stage) -> None:
    """An application's token names no person; its role is enough to bring events, and not enough to decide."""
    claims = [{"typ": "tid", "val": "an-entra-tenant"}, {"typ": "roles", "val": "fabric"}]
    content = {"auth_typ": "aad", "name_typ": "name", "role_typ": "roles", "claims": claims}
    headers = {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(content).encode()).decode()}
    assert stage.host.invoke_http("POST", "/api/reviews", headers, placed(stage)).status_code == 202
    assert stage.host.invoke_http("GET", "/api/approvals", headers).status_code == 401
