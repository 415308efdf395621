"""The home store asked from another cloud, held to every store's contract: client, envelopes, handler, DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from azure.fabric.adapters.home import Home, HomeApprovals, HomeBus, HomeJournal, HomeOutbox, HomeTasks
from azure.fabric.adapters.home_ledger import HomeLedger
from azure.fabric.adapters.web import Web
from shared.errors import Transient
from tests.contracts.amazon import client, make_table, refusing
from tests.contracts.bus_contract import BusContract
from tests.contracts.control import AT, Flaky, control_ports, make, submitted, waits
from tests.contracts.gateway import PEER, InProcess, ask_home, loopback, serving
from tests.contracts.tasks_contract import TasksContract
from tests.contracts.test_aws import AmazonWires, DynamoStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.routes import Route
    from shared.ports import Bus, Ports


@pytest.fixture(scope="module", autouse=True)
def account() -> Iterator[None]:
    """One account for all tests of this file; each makes its own resources in it."""
    with mock_aws():
        yield


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home serves what the test has made."""
    monkeypatch.setenv("AGENTFABRIC_PORTS", "tests.contracts.gateway:served")
    monkeypatch.setenv("AGENTFABRIC_AUTH", "none")  # the gateway's tokens are not signed
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")


@pytest.fixture(scope="module")
def dynamo() -> Any:
    """DynamoDB of this account."""
    return client("dynamodb")


def ports_behind(there: Any, bus: Bus) -> Ports:
    """Return the ports that the home serves: a store's and a bus."""
    return control_ports(there, bus)


class HomeStore:
    """The ports of another cloud, in front of the home's."""

    def __init__(self, there: DynamoStore, home: Home) -> None:
        self.there = there
        self.tasks = HomeTasks(home)
        self.outbox = HomeOutbox(home)
        self.journal = HomeJournal(home)
        self.approvals = HomeApprovals(home)
        self.ledger = HomeLedger(home)

    def busy(self) -> AbstractContextManager[None]:
        """Throttle the home's table."""
        return refusing(self.there.dynamo, "ProvisionedThroughputExceededException")


class TestHome(TasksContract):
    fits = 380 * 1024
    oversize = (400 * 1024, 3 * 1024 * 1024)  # what the home's table cannot hold, and what the way there cannot carry

    @pytest.fixture
    def store(self, dynamo: Any) -> Iterator[HomeStore]:
        """A home of its own."""
        there = DynamoStore(dynamo, make_table(dynamo))
        with serving(ports_behind(there, Flaky(broken=False))):
            yield HomeStore(there, Home(InProcess(ask_home), "https://home.example.com", lambda: PEER))

    def test_lists_too_long_for_one_answer_are_joined(self, store: HomeStore) -> None:
        """More tasks than one answer holds are one page all the same."""
        for number in range(6):
            task = make(f"task-{number}", entity=f"package-{number}")
            store.tasks.commit(submitted(task.model_copy(update={"reason": "x" * 350_000})))
        assert [task.id for task in store.tasks.page("acme", limit=5)] == [f"task-{number}" for number in range(5)]

    def test_one_answer_holds_the_first_of_many_large_parked_tasks(self, store: HomeStore) -> None:
        """More parked tasks than one answer holds are cut at the end: those that wait longest are in it."""
        for number in range(8):
            name = f"task-{number}"
            store.tasks.commit(submitted(make(name, entity=f"package-{number}")))
            task = store.tasks.load("acme", name).model_copy(update={"submitted_by": "x" * 350_000})
            store.tasks.commit(waits(task, since=AT + timedelta(minutes=number)))
        found = [task.id for task in store.tasks.parked(limit=8)]
        assert found == [f"task-{number}" for number in range(len(found))]
        assert 0 < len(found) < 8


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server on this machine."""
    with loopback(ask_home) as address:
        yield address


class TestHomeOverHttp(TasksContract):
    fits, oversize = TestHome.fits, TestHome.oversize

    @pytest.fixture
    def store(self, dynamo: Any, address: str) -> Iterator[HomeStore]:
        """A home of its own, behind a real connection."""
        there = DynamoStore(dynamo, make_table(dynamo))
        with serving(ports_behind(there, Flaky(broken=False))):
            yield HomeStore(there, Home(Web(10.0), address, lambda: PEER))

    def test_a_home_out_of_reach_is_passing(self) -> None:
        """A connection that cannot be made asks for another attempt."""
        with pytest.raises(Transient):
            HomeTasks(Home(Web(1.0), "http://127.0.0.1:1", lambda: PEER)).load("acme", "task-1")


class HomeWires:
    """The bus of another cloud, in front of the home's."""

    def __init__(self, there: AmazonWires) -> None:
        self._there = there
        self.bus = HomeBus(Home(InProcess(ask_home), "https://home.example.com", lambda: PEER))

    def received(self, route: Route) -> Sequence[str]:
        """Return what arrived."""
        return self._there.received(route)

    def cut(self) -> AbstractContextManager[None]:
        """Throttle every service of the home's."""
        return self._there.cut()


class TestHomeBus(BusContract):
    @pytest.fixture
    def wires(self, dynamo: Any) -> Iterator[HomeWires]:
        """Wires of its own."""
        there = AmazonWires()
        with serving(ports_behind(DynamoStore(dynamo, "no-table"), there.bus)):
            yield HomeWires(there)
