from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from aws.adapters.settings import DynamoSettings
from shared.errors import Permanent
from shared.ports import Setting
from tests.contracts.amazon import client, make_table, refusing
from tests.contracts.settings_contract import SettingsContract

if TYPE_CHECKING:
    from collections.abc import Iterator


class Table:
    """A table of its own."""

    def __init__(self) -> None:
        self._dynamo = client("dynamodb")
        self._name = make_table(self._dynamo)

    def settings(self) -> DynamoSettings:
        """Return the port."""
        return DynamoSettings(self._dynamo, self._name)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Throttle the table."""
        with refusing(self._dynamo, "ProvisionedThroughputExceededException"):
            yield

    def keys(self) -> list[Any]:
        """Return the keys of all items."""
        return [item["pk"]["S"] for item in self._dynamo.scan(TableName=self._name)["Items"]]


class TestDynamoSettings(SettingsContract):
    @pytest.fixture
    def store(self) -> Iterator[Table]:
        """An account of its own."""
        with mock_aws():
            yield Table()

    def test_no_tenant_can_have_the_key(self, store: Table) -> None:
        """Tenants' keys have a `#` in them, the settings' has none."""
        store.settings().write(Setting("policy", "p", 1))
        assert store.keys() == ["settings"]

    def test_a_text_too_large_is_refused_for_good(self, store: Table) -> None:
        """What no item can hold is refused before it is sent."""
        with pytest.raises(Permanent) as refused:
            store.settings().write(Setting("policy", "x" * 400 * 1024, 1))
        assert refused.value.code == "oversize"
