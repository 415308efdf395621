from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.contracts.ledger_contract import LedgerContract
from tests.contracts.ledger_storm import LedgerStorm
from tests.gcp.databases import RETRY_DELAY, spanner_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gcp.adapters.ledger import SpannerLedger
    from shared.ports import Ledger


class Gate:
    """A database that can be too busy to answer."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        from google.api_core.exceptions import ResourceExhausted  # noqa: PLC0415  heavy, and for these tests alone

        if self.closed:
            raise ResourceExhausted("too many requests")
        return getattr(self._database, name)


class SpannerStore:
    """One database for all of the contract; each test brings its own tenant."""

    def __init__(self, database: Any) -> None:
        self._gate = Gate(database)

    def ledger(self) -> SpannerLedger:
        """Return the port; its clients may be shared between threads."""
        from gcp.adapters.ledger import SpannerLedger  # noqa: PLC0415  heavy, as above

        gate: Any = self._gate
        return SpannerLedger(gate, retry_delay=RETRY_DELAY)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let the database be too busy."""
        self._gate.closed = True
        yield
        self._gate.closed = False


@pytest.fixture(scope="module")
def store() -> Iterator[SpannerStore]:
    """Yield one database on the real emulator."""
    with spanner_store() as (store, _):
        yield SpannerStore(store.database)


class TestSpannerLedger(LedgerContract, LedgerStorm):
    usual = 600

    def test_money_is_kept_in_integers(self, store: SpannerStore) -> None:
        """Every column of money is INT64, so that no store ever rounds it."""
        found = store._gate.snapshot()
        statement = (
            "SELECT COLUMN_NAME, SPANNER_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME IN"
            " ('Books', 'Leases', 'Draws') AND COLUMN_NAME IN"
            " ('Settled', 'Open', 'Amount', 'Held', 'Booked', 'Overrun', 'Worst', 'Actual')"
        )
        with found as snapshot:
            types = dict(snapshot.execute_sql(statement))
        assert len(types) == 8
        assert set(types.values()) == {"INT64"}

    def test_the_ledger_is_a_port(self, store: SpannerStore) -> None:
        """What is built on Spanner is what the use cases ask for."""
        ledger: Ledger = store.ledger()
        assert ledger.account("t-nobody").version == 0
