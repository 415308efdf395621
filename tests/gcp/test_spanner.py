from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.api_core import exceptions

from gcp.adapters.spanner import SpannerRecords
from shared.app.record import verify
from shared.errors import Transient
from tests.contracts.records_contract import AT, Entity
from tests.gcp.databases import RETRY_DELAY, SpannerStore, spanner_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.cloud.spanner_v1.transaction import Transaction


class Down:
    """A database that fails in one way."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def run_in_transaction(self, *_: object, **__: object) -> None:
        """Fail."""
        raise self._failure

    def batch(self, **_: object) -> None:
        """Fail."""
        raise self._failure

    def snapshot(self) -> None:
        """Fail."""
        raise self._failure


class Abortive:
    """A database that aborts each transaction once, after all of it was buffered."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.aborted = 0

    def run_in_transaction(self, work: Callable[[Transaction], Any], **options: Any) -> Any:
        """Run the work, abort it, and leave the rest to the SDK."""
        before = self.aborted

        def once_aborted(transaction: Transaction) -> Any:
            made = work(transaction)
            if self.aborted == before:
                self.aborted += 1
                transaction.rollback()
                raise exceptions.Aborted("somebody else was first", errors=[self])
            return made

        return self._database.run_in_transaction(once_aborted, **options)

    def batch(self, **options: Any) -> Any:
        """Leave what needs no transaction to the SDK."""
        return self._database.batch(**options)


@pytest.mark.parametrize(
    "failure",
    [
        exceptions.Aborted("x"),
        exceptions.DeadlineExceeded("x"),
        exceptions.ServiceUnavailable("x"),
        exceptions.ResourceExhausted("x"),
        exceptions.RetryError("x", None),
    ],
)
def test_what_passes_by_itself_is_transient(failure: Exception) -> None:
    """A store that is down, slow, busy or contended is worth another delivery, for writing and for reading."""
    down: Any = Down(failure)
    records = SpannerRecords(down)
    (event,) = Entity().events(1)
    for call in (lambda: records.apply(event, AT), lambda: records.history("acme"), lambda: records.head("acme", "e")):
        with pytest.raises(Transient, match=type(failure).__name__):
            call()


def test_a_mistake_is_not_transient() -> None:
    """A failure that would repeat itself stays what it is."""
    down: Any = Down(exceptions.InvalidArgument("no such column"))
    with pytest.raises(exceptions.InvalidArgument):
        SpannerRecords(down).parked("acme")


@pytest.fixture(scope="module")
def store() -> Iterator[SpannerStore]:
    """Yield a database on the real emulator."""
    with spanner_store() as (store, _):
        yield store


def test_an_aborted_transaction_runs_anew(store: SpannerStore) -> None:
    """When every transaction is aborted once, the record is the same as if none had been."""
    abortive: Any = Abortive(store.database)
    records = SpannerRecords(abortive, retry_delay=RETRY_DELAY)
    mine = Entity()
    first, *rest = mine.events(8)
    assert [records.apply(event, AT) for event in [*rest, first]] == ["parked"] * 7 + ["applied"]
    assert abortive.aborted == 8
    assert [row.sequence for row in store.records().bill("acme")] == [4, 8]
    assert verify(store.ports(), "acme", mine.name).checked == 8


def test_inbox_and_commit_time(store: SpannerStore) -> None:
    """Each applied number has its inbox row, stamped by the commit that wrote its audit row."""
    mine = Entity()
    for event in mine.events(3):
        store.records().apply(event, AT)
    statement = (
        "SELECT i.Sequence, i.EventId = a.EventId AND i.AppliedAt = a.RecordedAt FROM Inbox i"
        " JOIN Audit a USING (Tenant, Entity, Sequence) WHERE i.Entity = @entity ORDER BY i.Sequence"
    )
    with store.database.snapshot() as snapshot:
        rows = list(snapshot.execute_sql(statement, params={"entity": mine.name}))
    assert rows == [[1, True], [2, True], [3, True]]
