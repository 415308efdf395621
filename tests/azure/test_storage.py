"""The ports on Azure's storage, held to every store's contracts, on Azurite."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import requests
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableClient
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient
from urllib3 import HTTPResponse

from azure.fabric import wiring
from azure.fabric.adapters import tables
from azure.fabric.adapters.blobs import BlobDocuments
from azure.fabric.adapters.ledger import TableLedger
from azure.fabric.adapters.queues import StorageQueues
from local.wiring import using
from shared.core.routes import Route
from shared.core.task import Status
from shared.errors import Conflict, Duplicate, NotFound, Permanent
from tests.azure.stage import Script, Stage
from tests.contracts.bus_contract import BusContract, events
from tests.contracts.control import AT, REF, also, make, placed, submitted
from tests.contracts.documents_contract import Busy, DocumentsContract
from tests.contracts.tasks_contract import TasksContract

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest

MakeStage = Callable[[Script], Stage]


class Gate(SansIOHTTPPolicy[Any, Any]):
    """The network between a client and its service, which can be cut."""

    def __init__(self) -> None:
        self.closed = False

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Let the request pass, or lose it."""
        if self.closed:
            raise ServiceRequestError(f"the connection to {request.http_request.url} was refused")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing pass inside."""
        self.closed = True
        yield
        self.closed = False


class Throttle(requests.Session):
    """The connection to a service that answers everything with 503 while it is on, as storage does when it is busy."""

    def __init__(self) -> None:
        super().__init__()
        self._active = False
        self.transport = RequestsTransport(session=self, session_owner=False)

    def request(self, *asked: Any, **options: Any) -> requests.Response:
        """Let the request through, or answer in the service's place."""
        if not self._active:
            return super().request(*asked, **options)
        answer = requests.Response()
        answer.status_code, answer.reason = 503, "Server Busy"
        answer.raw = HTTPResponse(BytesIO(), status=503, preload_content=False)
        answer.headers["Retry-After"] = "3"
        return answer

    @contextmanager
    def on(self) -> Iterator[None]:
        """Answer for the service inside."""
        self._active = True
        yield
        self._active = False


class TableStore:
    """The four ports on a table of their own."""

    def __init__(self, account: str) -> None:
        throttle = Throttle()
        name = f"t{uuid4().hex}"
        client = TableClient.from_connection_string(account, name, transport=throttle.transport, retry_total=0)
        client.create_table()
        table = tables.Table(client)
        self.tasks = tables.TableTasks(table)
        self.outbox = tables.TableOutbox(table)
        self.journal = tables.TableJournal(table)
        self.approvals = tables.TableApprovals(table)
        self.ledger = TableLedger(table)
        self.busy = throttle.on


class TestTables(TasksContract):
    fits = 760_000  # a row has 1 MiB; the emulator counts it as it travels, in base64
    oversize = (1_100_000, 4 * 1024 * 1024)

    @pytest.fixture
    def store(self, storage_account: str) -> TableStore:
        """A table of its own."""
        return TableStore(storage_account)

    def test_a_large_task_is_read_back(self, store: TableStore) -> None:
        """A task with as many long references as a workflow takes fills several properties and is read back."""
        refs = (REF.model_copy(update={"uri": "blob:" + "x" * 2000, "name": "é" * 500}),) * 50
        change = submitted(make())
        large = change.task.model_copy(update={"documents": refs})
        store.tasks.commit(replace(change, task=large))
        assert store.tasks.load("acme", "task-1") == large

    @pytest.mark.parametrize("name", ["", "../t1", "t1/", "t1\x00", "💥", "t1'", "x" * 5000])
    def test_an_id_that_no_key_can_have_is_not_found(self, store: TableStore, name: str) -> None:
        """Ids with characters that a key cannot have are not found, and never reach the service."""
        with store.busy():
            with pytest.raises(NotFound):
                store.tasks.load("acme", name)
            with pytest.raises(NotFound):
                store.approvals.find("acme", name)
            assert store.journal.find("acme", name, 0, "extract") is None

    @pytest.mark.parametrize("speaks", [True, False])
    def test_one_of_many_rivals_wins(self, store: TableStore, speaks: bool) -> None:  # noqa: FBT001  a parameter of the test
        """Of eight that change one version at once exactly one succeeds, and the others are told of a conflict."""
        store.tasks.commit(submitted(make()))
        seen = store.tasks.load("acme", "task-1")

        def rival(number: int) -> str:
            try:
                store.tasks.commit(placed(seen, claim=f"claim-{number}") if speaks else also(seen))
            except Conflict:
                return "conflict"
            return "won"

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(rival, range(8))) == ["conflict"] * 7 + ["won"]
        assert store.tasks.load("acme", "task-1").version == 2

    def test_a_message_that_comes_to_eight_at_once_counts_once(self, store: TableStore) -> None:
        """Of eight that handle one message for eight tasks at once exactly one succeeds."""

        def handle(number: int) -> str:
            try:
                store.tasks.commit(submitted(make(f"task-{number}", entity=f"package-{number}"), claim="key"))
            except (Conflict, Duplicate) as lost:
                return type(lost).__name__
            return "won"

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(handle, range(8))) == ["Duplicate"] * 7 + ["won"]
        assert len(store.tasks.page("acme", limit=9)) == 1

    def test_a_review_with_an_approval_ends_on_tables(self, store: TableStore, stage_for: MakeStage) -> None:
        """The whole review, with an escalated question and its answer, runs on Azure's tables as it does on SQLite."""
        stage = stage_for(Script(asks=frozenset({0})))
        ours = {"tasks": store.tasks, "outbox": store.outbox, "journal": store.journal, "approvals": store.approvals}
        stage.ports = replace(stage.ports, **ours)  # type: ignore[arg-type]
        stage.script.ports = stage.ports
        with using(stage.ports):
            stage.place(2)
            stage.wait(days=3)
            assert stage.say("approved", "cid:owner", stage.approval()) == 200
            stage.settle()
        assert stage.task().status is Status.COMPLETED
        assert list(store.outbox.unsent(limit=9)) == []


class TestBlobs(DocumentsContract):
    foreign = ("blob:../secrets", "blob:" + "A" * 64, "blob:" + "0" * 64 + "?snapshot=1", "blob:/")
    unknown = "file:///etc/passwd"
    missing = "blob:" + "0" * 64
    reads_when_busy = False

    @pytest.fixture
    def throttle(self) -> Throttle:
        """What stands before the container."""
        return Throttle()

    @pytest.fixture
    def documents(self, storage_account: str, throttle: Throttle) -> BlobDocuments:
        """A container of its own."""
        gated: dict[str, Any] = {"transport": throttle.transport, "retry_total": 0}
        container = ContainerClient.from_connection_string(storage_account, f"c{uuid4().hex}", **gated)
        container.create_container()
        return BlobDocuments(container)

    @pytest.fixture
    def busy(self, throttle: Throttle) -> Busy:
        """Ask for fewer requests."""
        return throttle.on


class QueueWires:
    """A queue of its own per route."""

    def __init__(self, account: str) -> None:
        self.gate = Gate()
        names = {route: f"{route.value}-{uuid4().hex}" for route in Route}
        self.raw = {route: QueueClient.from_connection_string(account, name) for route, name in names.items()}
        for one in self.raw.values():
            one.create_queue()
        self.cut = self.gate.cut
        gated = {"raw_request_hook": self.gate.on_request, "retry_total": 0}
        self.bus = StorageQueues({route: wiring.queue(account, name, **gated) for route, name in names.items()})

    def received(self, route: Route) -> list[str]:
        """Return the bodies that a queue holds, out of the base64 that the Functions host expects."""
        found = self.raw[route].receive_messages(messages_per_page=32)
        return [base64.b64decode(message.content, validate=True).decode() for message in found]


class TestQueues(BusContract):
    @pytest.fixture
    def wires(self, storage_account: str) -> QueueWires:
        """Queues of its own."""
        return QueueWires(storage_account)

    def test_a_message_waits_for_as_long_as_it_takes(self, wires: QueueWires) -> None:
        """A message does not expire after a week, which is the service's default."""
        wires.bus.publish([(Route.REVIEWS, events(count=1)[0])])
        (message,) = wires.raw[Route.REVIEWS].receive_messages()
        assert message.expires_on is not None
        assert message.expires_on.year == 9999


def test_the_wiring_fills_every_port(storage_account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its settings the wiring on storage has every port; those of another cloud say where to ask."""
    monkeypatch.setenv("AzureWebJobsStorage", storage_account)
    monkeypatch.setenv("PIPELINES", "tests.azure.stage:Script")
    monkeypatch.setenv("TENANTS", '{"acme": {}}')
    ports = wiring.storage.__wrapped__()
    assert ports.tenants["acme"].max_budget > 0
    assert isinstance(ports.pipelines, Script)
    with pytest.raises(Permanent, match="kept on GCP"):
        ports.records.apply(events(count=1)[0], AT)
