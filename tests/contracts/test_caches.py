from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from aws.adapters.cache import DynamoCache
from local.sqlite.cache import SqliteCache
from local.sqlite.database import Database
from tests.contracts.amazon import client, make_table, refusing
from tests.contracts.cache_contract import KEY, NOW, CacheContract, CacheStore

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


class SqliteAnswers:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.cache = SqliteCache(database)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the file's write lock, as another process would."""
        other = Database(self.database.path)
        with other.transaction():
            yield
        other.close()


class TestSqliteCache(CacheContract):
    @pytest.fixture
    def caching(self, tmp_path: Path) -> Iterator[CacheStore]:
        """A file of its own; whoever finds it locked is told so at once."""
        database = Database(tmp_path / "fabric.db")
        database.connection.execute("PRAGMA busy_timeout = 0")
        yield SqliteAnswers(database)
        database.close()

    def test_what_expired_long_ago_is_dropped(self, tmp_path: Path) -> None:
        """The file does not grow with answers that nobody asks for any more."""
        database = Database(tmp_path / "fabric.db")
        cache = SqliteCache(database)
        for days in range(100):
            cache.put("acme", f"{days}", "text", NOW + days * DAY)
        assert database.connection.execute("SELECT count(*) FROM answers").fetchone()[0] <= 31
        database.close()


class DynamoAnswers:
    def __init__(self, dynamo: Any) -> None:
        self.dynamo = dynamo
        self.table = make_table(dynamo)
        self.cache = DynamoCache(dynamo, self.table)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Throttle the table."""
        with refusing(self.dynamo, "ProvisionedThroughputExceededException"):
            yield


class TestDynamoCache(CacheContract):
    @pytest.fixture
    def caching(self) -> Iterator[CacheStore]:
        """A table of its own in an account of its own."""
        with mock_aws():
            yield DynamoAnswers(client("dynamodb"))

    def test_the_table_knows_when_an_answer_expires(self, caching: DynamoAnswers) -> None:
        """The item carries the attribute of the table's time to live, in whole seconds."""
        caching.cache.put("acme", KEY, "text", NOW)
        item = caching.dynamo.scan(TableName=caching.table)["Items"][0]
        assert item["expires"] == {"N": str(int(NOW.timestamp()))}
