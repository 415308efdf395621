"""What operators reach: the policy, the switches and the ledger of the fabric here, or of one on AWS or Azure.

A fabric on a cloud is found by the settings that its functions have, too: TABLE_NAME and TENANTS on AWS (and the AWS
SDK's own), AzureWebJobsStorage and TENANTS on Azure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import Conflict, Permanent

if TYPE_CHECKING:
    from shared.core.policy import Policy, TenantPolicy
    from shared.ports import Ledger, Settings

_NEEDED = {"aws": ("TABLE_NAME", "TENANTS"), "azure": ("AzureWebJobsStorage", "TENANTS")}


class Fabric(StrEnum):
    """Which fabric is meant."""

    HERE = "here"
    AWS = "aws"
    AZURE = "azure"


@dataclass(frozen=True, slots=True)
class Controls:
    """The few ports that operators need.

    `text` is the policy as it is written; `put` writes another one instead of a text, Conflict when there is a third.
    `revision` counts its writings where they are counted; a file's are not, and are 0.
    """

    settings: Settings
    ledger: Ledger
    policy: Callable[[], Policy]
    now: Callable[[], datetime]
    text: Callable[[], str]
    put: Callable[[str, str], Policy]
    revision: Callable[[], int] = lambda: 0

    @property
    def tenants(self) -> Mapping[str, TenantPolicy]:
        """What each tenant may do."""
        return self.policy().tenants


@contextmanager
def controls(fabric: Fabric, home: Path, tell: Callable[[str], None]) -> Iterator[Controls]:
    """Open the controls; `tell` hears what is wrong with the policy that is in force."""
    if fabric is Fabric.HERE:
        with _here(home, tell) as made:
            yield made
        return
    missing = [name for name in _NEEDED[fabric] if name not in os.environ]
    if missing:
        raise Permanent(f"set {', '.join(missing)} as the functions on {fabric} have it", code="not-wired")
    yield _aws(tell) if fabric is Fabric.AWS else _azure(tell)


@contextmanager
def _here(home: Path, tell: Callable[[str], None]) -> Iterator[Controls]:
    from local import policies  # noqa: PLC0415  `agentfabric --help` should not load what few verbs need
    from local.sqlite.database import Database  # noqa: PLC0415
    from local.sqlite.ledger import SqliteLedger  # noqa: PLC0415
    from local.sqlite.settings import SqliteSettings  # noqa: PLC0415

    database = Database(home / "fabric.db")
    try:
        settings = SqliteSettings(database)
        yield Controls(
            settings=settings,
            ledger=SqliteLedger(database),
            policy=policies.policy_of(home, settings, _now, tell),
            now=_now,
            text=lambda: _first(policies.text_in(home), policies.packaged()),
            put=lambda text, before: policies.put(home, text, settings, instead_of=before),
        )
    finally:
        database.close()


def _aws(tell: Callable[[str], None]) -> Controls:
    from aws import wiring  # noqa: PLC0415
    from aws.adapters.ledger import DynamoLedger  # noqa: PLC0415
    from aws.adapters.settings import DynamoSettings  # noqa: PLC0415

    dynamo, table = wiring.client("dynamodb"), os.environ["TABLE_NAME"]
    return _on_a_cloud(DynamoSettings(dynamo, table), DynamoLedger(dynamo, table), tell)


def _azure(tell: Callable[[str], None]) -> Controls:
    from azure.data.tables import TableClient  # noqa: PLC0415

    from azure.fabric import wiring  # noqa: PLC0415
    from azure.fabric.adapters.ledger import TableLedger  # noqa: PLC0415
    from azure.fabric.adapters.settings import TableSettings  # noqa: PLC0415
    from azure.fabric.adapters.tables import Table  # noqa: PLC0415

    account = os.environ["AzureWebJobsStorage"]  # noqa: SIM112  the Functions host's own name for it
    table = Table(TableClient.from_connection_string(account, wiring.TABLE))
    return _on_a_cloud(TableSettings(table), TableLedger(table), tell)


def _on_a_cloud(settings: Settings, ledger: Ledger, tell: Callable[[str], None]) -> Controls:
    from shared.app import policy as policies  # noqa: PLC0415
    from shared.core.policy_text import seeded  # noqa: PLC0415

    seed = seeded(os.environ["TENANTS"])
    policy = policies.stored(settings, lambda: seed, _now, tell)

    def text() -> str:
        return _first(policies.written(settings, policies.NAME), _as_toml(seed.text))

    def put(fresh: str, before: str) -> Policy:
        revision = settings.read(policies.NAME).version
        if text() != before:
            raise Conflict("another policy was written meanwhile")
        return policies.change(settings, fresh, instead_of=revision, now=policy())

    return Controls(
        settings=settings,
        ledger=ledger,
        policy=policy,
        now=_now,
        text=text,
        put=put,
        revision=lambda: settings.read(policies.NAME).version,
    )


def _as_toml(seed: str) -> str:
    """Return the seed as the TOML that operators go on with; it is JSON until they write a policy."""
    from shared.core.policy_edit import toml_of  # noqa: PLC0415

    return toml_of(seed)


def _first(text: str | None, otherwise: str) -> str:
    return otherwise if text is None else text


def _now() -> datetime:
    return datetime.now(UTC)
