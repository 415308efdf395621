from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from azure.fabric.adapters.home import Home
from azure.fabric.adapters.home_settings import HomeSettings
from local.sqlite.database import Database
from local.sqlite.settings import SqliteSettings
from shared.errors import Permanent
from shared.ports import Setting
from tests.contracts.fakes import Unneeded, ports_with
from tests.contracts.gateway import PEER, InProcess, ask_home, serving
from tests.contracts.settings_contract import SettingsRead

if TYPE_CHECKING:
    from shared.ports import Settings


class Elsewhere:
    """The settings of a home store, and how another cloud sees them."""

    def __init__(self, there: Settings) -> None:
        self.there = there

    def settings(self) -> HomeSettings:
        """Return the port of the other cloud."""
        return HomeSettings(Home(InProcess(ask_home), "https://home.example", lambda: PEER))


class TestHomeSettings(SettingsRead):
    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
        """A home that serves its settings."""
        monkeypatch.setenv("AGENTFABRIC_PORTS", "tests.contracts.gateway:served")
        monkeypatch.setenv("AGENTFABRIC_AUTH", "none")  # the gateway's tokens are not signed
        monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
        none: Any = Unneeded()
        database = Database(None)
        there = SqliteSettings(database)
        with serving(replace(ports_with(none, none), settings=there)):
            yield Elsewhere(there)
        database.close()

    @pytest.fixture
    def writer(self, store: Elsewhere) -> Settings:
        """The home's own port, where its operators write."""
        return store.there

    def test_the_other_cloud_writes_none(self, store: Elsewhere) -> None:
        """Policy and switches are written where the home is, by its operators."""
        with pytest.raises(Permanent, match="at the home store"):
            store.settings().write(Setting("switches", "", 1))
        assert store.settings().read("switches").version == 0
