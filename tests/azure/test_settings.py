"""The settings on Azure's storage, held to the contract on Azurite."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from azure.data.tables import TableClient

from azure.fabric.adapters.settings import TableSettings
from azure.fabric.adapters.tables import Table
from tests.azure.test_storage import Gate
from tests.contracts.settings_contract import SettingsContract

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Place:
    """A table of its own, and the network before it."""

    def __init__(self, account: str) -> None:
        self._gate = Gate()
        name = f"t{uuid4().hex}"
        self._client = TableClient.from_connection_string(account, name, per_call_policies=[self._gate], retry_total=0)
        self._client.create_table()

    def settings(self) -> TableSettings:
        """Return the port."""
        return TableSettings(Table(self._client))

    def busy(self) -> AbstractContextManager[None]:
        """Cut the network."""
        return self._gate.cut()


class TestTableSettings(SettingsContract):
    @pytest.fixture
    def store(self, storage_account: str) -> Place:
        """A table of its own."""
        return Place(storage_account)
