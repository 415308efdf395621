from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from aws.adapters.ledger import DynamoLedger
from shared.app import ledger as spending
from shared.core import ledger as leases
from shared.core.draws import Outcome
from shared.core.ledger import UNLIMITED, Account, Posting
from shared.errors import Conflict, Permanent, Transient
from tests.contracts.amazon import OneAtATime, client, make_table, refusing
from tests.contracts.ledger_contract import AT, LedgerContract, Till, ask, call, opened
from tests.contracts.ledger_storm import LedgerStorm, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module", autouse=True)
def account() -> Iterator[None]:
    """One account for all tests of this file; each makes its own table in it."""
    with mock_aws():
        yield


@pytest.fixture(scope="module")
def dynamo() -> Any:
    """DynamoDB of this account."""
    return client("dynamodb")


class DynamoStore:
    """A table of its own."""

    def __init__(self, dynamo: Any) -> None:
        self.dynamo = dynamo
        self.table = make_table(dynamo)
        self._shared = OneAtATime(dynamo)

    def ledger(self) -> DynamoLedger:
        """Return the port; the client may be shared."""
        return DynamoLedger(self._shared, self.table)

    def drop(self) -> None:
        """Forget everything."""
        self.dynamo.delete_table(TableName=self.table)
        self.table = make_table(self.dynamo)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Throttle the table."""
        with refusing(self.dynamo, "ProvisionedThroughputExceededException"):
            yield


@pytest.fixture
def store(dynamo: Any) -> DynamoStore:
    """A table of its own."""
    return DynamoStore(dynamo)


class TestDynamoLedger(LedgerContract, LedgerStorm):
    usual = 300
    most = 500  # for each transaction moto copies all there is

    def anew(self, store: Store) -> None:
        """Drop the table."""
        assert isinstance(store, DynamoStore)
        store.drop()

    @pytest.mark.parametrize(
        ("code", "verdict"),
        [
            ("ThrottlingError", Transient),
            ("ProvisionedThroughputExceeded", Transient),
            ("TransactionConflict", Conflict),
            ("ConditionalCheckFailed", Conflict),
            ("ItemCollectionSizeLimitExceeded", Permanent),
        ],
    )
    def test_a_cancelled_transaction_says_why(self, store: DynamoStore, code: str, verdict: type[Exception]) -> None:
        """Each reason for which DynamoDB cancels a transaction has its verdict."""
        reasons = [{"Code": "None"}, {"Code": code, "Message": "secret"}]
        cancelled = refusing(store.dynamo, "TransactionCanceledException", CancellationReasons=reasons)
        with cancelled, pytest.raises(verdict) as refused:
            store.ledger().post(Posting(Account("acme", 1)))
        assert type(refused.value) is verdict
        assert "secret" not in str(refused.value)

    def test_a_table_out_of_reach_is_passing(self) -> None:
        """A connection that cannot be made asks for another attempt."""
        with pytest.raises(Transient):
            DynamoLedger(client("dynamodb", endpoint_url=NOWHERE), "table").account("acme")

    def test_an_answer_too_large_is_refused_for_good(self, store: DynamoStore) -> None:
        """An answer that no item can hold is refused before anything is written."""
        till = Till(store.ledger())
        opened(till.ledger, "acme")
        spending.draw(till, "acme", "lease-1", call())
        with pytest.raises(Permanent) as refused:
            spending.settle(till, "acme", "lease-1", "draw-1", Outcome(1, answer="x" * 400 * 1024))
        assert refused.value.code == "oversize"
        assert store.ledger().lease("acme", "lease-1") == till.ledger.lease("acme", "lease-1")

    def test_the_index_may_be_late(self, store: DynamoStore) -> None:
        """A lease that the index still names is overdue only if the table says so, and events stay out of it."""
        till = Till(store.ledger())
        spending.open_lease(till, "acme", ask(expires=AT), UNLIMITED)
        stale = {**_indexed(store)[0], "sk": {"S": "lease-2"}}
        store.dynamo.put_item(TableName=store.table, Item=stale | {"body": {"S": _closed(till)}})
        assert [lease.id for lease in till.ledger.overdue(AT, limit=9)] == ["lease-1"]
        assert {item["unsent"]["S"].partition("#")[0] for item in _indexed(store)} == {"lease"}
        spending.close(till, "acme", "lease-1")
        assert [item["sk"]["S"] for item in _indexed(store)] == ["lease-2"]


def _indexed(store: DynamoStore) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = store.dynamo.scan(TableName=store.table)["Items"]
    return [item for item in items if "unsent" in item]


def _closed(till: Till) -> str:
    from shared.core.ledger_rows import encode  # noqa: PLC0415  for this line alone

    found = till.ledger.lease("acme", "lease-1")
    assert found is not None
    posting = leases.close(till.ledger.account("acme"), found)
    assert posting.lease is not None
    return encode(posting.lease)
