from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from azure.fabric.adapters.home import Home
from azure.fabric.adapters.settings import HomeSettings
from local.sqlite.database import Database
from local.sqlite.settings import SqliteSettings
from shared.errors import Permanent
from shared.ports import Setting
from tests.contracts.fakes import Unneeded, ports_with
from tests.contracts.gateway import PEER, InProcess, ask_home, serving


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteSettings]:
    """The settings that the home serves."""
    monkeypatch.setenv("AGENTFABRIC_PORTS", "tests.contracts.gateway:served")
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    none: Any = Unneeded()
    database = Database(None)
    made = SqliteSettings(database)
    with serving(replace(ports_with(none, none), settings=made)):
        yield made
    database.close()


@pytest.fixture
def settings() -> HomeSettings:
    """The settings as the other cloud sees them."""
    return HomeSettings(Home(InProcess(ask_home), "https://home.example", lambda: PEER))


def test_the_other_cloud_is_under_the_homes_policy(store: SqliteSettings, settings: HomeSettings) -> None:
    """What operators write at the home is read on the other cloud, and what they never wrote is empty there, too."""
    assert settings.read("policy") == Setting("policy", "", 0)
    store.write(Setting("policy", "zwei ☂", 1))
    assert settings.read("policy") == Setting("policy", "zwei ☂", 1)


def test_the_other_cloud_writes_none(store: SqliteSettings, settings: HomeSettings) -> None:
    """Policy and switches are written where the home is, by its operators."""
    with pytest.raises(Permanent, match="at the home store"):
        settings.write(Setting("switches", "", 1))
    assert store.read("switches").version == 0
