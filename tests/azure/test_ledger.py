"""The ledger in Azure's tables, held to every ledger's contract, on Azurite."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from azure.data.tables import TableClient

from azure.fabric.adapters import tables
from azure.fabric.adapters.ledger import TableLedger
from shared.app import ledger as spending
from shared.core.draws import Outcome
from shared.core.ledger import UNLIMITED
from shared.errors import Permanent
from tests.azure.test_storage import Gate
from tests.contracts.ledger_contract import LedgerContract, Till, ask, call, opened
from tests.contracts.ledger_storm import LedgerStorm

if TYPE_CHECKING:
    from shared.ports import Ledger


class TableStore:
    """A table of its own."""

    def __init__(self, account: str) -> None:
        self._gate = Gate()
        name = f"t{uuid4().hex}"
        client = TableClient.from_connection_string(account, name, per_call_policies=[self._gate], retry_total=0)
        client.create_table()
        self._table = tables.Table(client)

    def ledger(self) -> TableLedger:
        """Return the port; the client may be shared."""
        return TableLedger(self._table)

    def busy(self) -> AbstractContextManager[None]:
        """Cut the way to the table."""
        return self._gate.cut()


class TestTableLedger(LedgerContract, LedgerStorm):
    usual = 300

    @pytest.fixture
    def store(self, storage_account: str) -> TableStore:
        """A table of its own."""
        return TableStore(storage_account)

    @pytest.mark.parametrize("name", ["", "../t1", "t1/", "t1\x00", "a|b", "t1'", "x" * 500])
    def test_an_id_that_no_key_can_have_is_not_there(self, store: TableStore, name: str) -> None:
        """Ids with characters that a key cannot have are not found, and cannot be made."""
        ledger: Ledger = store.ledger()
        with store.busy():
            assert ledger.lease("acme", name) is None
            assert ledger.draw("acme", "lease-1", name) is None
        with pytest.raises(Permanent):
            spending.open_lease(Till(ledger), "acme", ask(name), UNLIMITED)

    def test_a_long_answer_is_read_back(self, store: TableStore) -> None:
        """An answer that fills several properties comes back as it was."""
        till = Till(store.ledger())
        opened(till.ledger, "acme")
        spending.draw(till, "acme", "lease-1", call())
        spending.settle(till, "acme", "lease-1", "draw-1", Outcome(1, answer="é" * 200_000))
        drawn = till.ledger.draw("acme", "lease-1", "draw-1")
        assert drawn is not None
        assert drawn.answer == "é" * 200_000
