from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contracts.records_contract import RecordsContract
from tests.gcp.databases import SpannerStore, spanner_store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def store() -> Iterator[SpannerStore]:
    """Yield one database on the real emulator for all of the contract; each test brings its own entity."""
    with spanner_store() as (store, _):
        yield store


class TestSpannerRecords(RecordsContract):
    """The contract, on the real emulator."""
