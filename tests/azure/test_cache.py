"""The cache of answers on Azure's tables, held to every cache's contract, on Azurite."""

from __future__ import annotations

from uuid import uuid4

import pytest
from azure.data.tables import TableClient

from azure.fabric.adapters.cache import TableCache
from azure.fabric.adapters.tables import Table
from tests.azure.test_storage import Gate
from tests.contracts.cache_contract import CacheContract, CacheStore


class TableAnswers:
    def __init__(self, account: str) -> None:
        gate = Gate()
        name = f"t{uuid4().hex}"
        client = TableClient.from_connection_string(account, name, per_call_policies=[gate], retry_total=0)
        client.create_table()
        self.cache = TableCache(Table(client))
        self.busy = gate.cut


class TestTableCache(CacheContract):
    @pytest.fixture
    def caching(self, storage_account: str) -> CacheStore:
        """A table of its own."""
        return TableAnswers(storage_account)
