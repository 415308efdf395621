from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from aws.adapters.ledger import DynamoLedger
from azure.fabric.adapters.home import Home
from azure.fabric.adapters.home_ledger import HomeLedger
from tests.contracts.amazon import OneAtATime, client, make_table, refusing
from tests.contracts.fakes import Unneeded, ports_with
from tests.contracts.gateway import PEER, InProcess, ask_home, serving
from tests.contracts.ledger_contract import AT, LedgerContract

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def account() -> Iterator[None]:
    """One account for all tests of this file; each makes its own table in it."""
    with mock_aws():
        yield


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home serves what the test has made."""
    monkeypatch.setenv("AGENTFABRIC_PORTS", "tests.contracts.gateway:served")
    monkeypatch.setenv("AGENTFABRIC_AUTH", "none")  # the gateway's tokens are not signed
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")


class HomeStore:
    """The ledger as another cloud reaches it, in front of the home's table."""

    def __init__(self, dynamo: Any, home: Home) -> None:
        self._dynamo = dynamo
        self._home = home

    def ledger(self) -> HomeLedger:
        """Return the port."""
        return HomeLedger(self._home)

    def busy(self) -> AbstractContextManager[None]:
        """Throttle the home's table."""
        return refusing(self._dynamo, "ProvisionedThroughputExceededException")


class TestHomeLedger(LedgerContract):
    @pytest.fixture
    def store(self) -> Iterator[HomeStore]:
        """A home of its own."""
        dynamo, none = client("dynamodb"), Unneeded()
        there = replace(ports_with(none, lambda: AT), ledger=DynamoLedger(OneAtATime(dynamo), make_table(dynamo)))
        with serving(there):
            yield HomeStore(dynamo, Home(InProcess(ask_home), "https://home.example.com", lambda: PEER))
