"""The operators' verbs on a fabric whose home is an Azure storage account, on Azurite."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from azure.data.tables import TableClient

from azure.fabric import wiring
from local.controls import Fabric, controls
from shared.app import switches
from shared.errors import Conflict

if TYPE_CHECKING:
    from pathlib import Path


def test_a_fabric_on_azure_is_reached(storage_account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy and switches are written into the table, where the functions read them."""
    monkeypatch.setattr(wiring, "TABLE", f"t{uuid4().hex}")
    TableClient.from_connection_string(storage_account, wiring.TABLE).create_table()
    monkeypatch.setenv("AzureWebJobsStorage", storage_account)
    monkeypatch.setenv("TENANTS", '{"acme": {"max_budget": 7}}')
    told: list[str] = []
    with controls(Fabric.AZURE, tmp_path, told.append) as mine:
        assert mine.tenants["acme"].max_budget == 7
        mine.put("[tenants.acme]\nmax_budget = 8\n", mine.text())
        with pytest.raises(Conflict, match="meanwhile"):
            mine.put("[tenants.acme]\nmax_budget = 9\n", "[tenants.acme]\nmax_budget = 7\n")
        switches.stop(mine, "all", "", by="ann", reason="a leak")
    with controls(Fabric.AZURE, tmp_path, told.append) as mine:
        assert mine.tenants["acme"].max_budget == 8
        assert mine.text() == "[tenants.acme]\nmax_budget = 8\n"
        assert [one.by for one in switches.switched(mine)] == ["ann"]
        assert switches.quiet(mine, "all", "")
    assert told == []
