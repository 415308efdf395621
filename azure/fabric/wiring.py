"""Environment to ports, on Azure. Only here is the environment read, and only here are clients made.

AGENTFABRIC_PORTS  "module:callable" names another place that has ports: a laptop, a test
HOME_URL           the home store's API on another cloud; without it the home is this storage account
HOME_AUDIENCE      whom the managed identity's token is for, as the home's authorizer wants it
HOME_TOKEN         file:///… or http://127.0.0.1:…, where a token is found instead; for one machine
AGENTFABRIC_AUTH   `none` believes identity headers without App Service authentication; for one machine, on loopback
EGRESS             networks, such as 10.1.0.0/16, where models may be asked besides the public internet
OTEL_EXPORTER_OTLP_ENDPOINT and what belongs to it: see providers/otlp.py
APPROVAL_LINK_KEYS base64, 32 bytes each: the first seals approval links, all open them; without one there are none
PIPELINES          "module:callable" yields the way to AWS; only where the home is here
"""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.storage.queue import QueueClient

    from azure.fabric.adapters.web import Web
    from providers.otlp import Exporter
    from shared.app.learned import Learned
    from shared.core.policy import Policy
    from shared.ports import Documents, Pipelines, Ports, Records

_log = logging.getLogger(__name__)
TABLE = "agentfabric"
CONTAINER = "documents"
_HOME_SECONDS = 32.0  # the home's API gives up after thirty


def ports() -> Ports:
    """Return the ports of this place."""
    ours = "azure.fabric.wiring:home" if os.environ.get("HOME_URL") else "azure.fabric.wiring:storage"
    made: Ports = _named(os.environ.get("AGENTFABRIC_PORTS", ours))()
    return made


@cache
def _named(named: str) -> Callable[[], Any]:
    module, _, name = named.partition(":")
    return cast("Callable[[], Any]", getattr(import_module(module), name))


def identity_is_vouched_for() -> bool:
    """Tell whether identity headers come from App Service authentication and not from the caller.

    https://learn.microsoft.com/azure/app-service/reference-app-settings: WEBSITE_AUTH_ENABLED says that it is on.
    Nothing else does: what tells a deployed app from another differs from plan to plan.
    """
    if os.environ.get("AGENTFABRIC_AUTH") == "none":
        return True
    return os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"


def link_keys() -> tuple[bytes, ...]:
    """Return the keys of approval links; without one there are none."""
    from shared.core.links import keys_in  # noqa: PLC0415  loads when it is needed

    return keys_in(os.environ.get("APPROVAL_LINK_KEYS", ""))


def refuse_objects_in_json() -> None:
    """Keep the durable SDK from making objects of the classes that a payload names: plain JSON in, plain JSON out."""
    os.environ["AZURE_FUNCTIONS_DURABLE_STRICT_TYPING"] = "1"


@cache
def home() -> Ports:
    """Return the ports on the home store of another cloud; nothing of the control state is kept here."""
    from azure.fabric.adapters import home as homes  # noqa: PLC0415  loads when it is needed
    from azure.fabric.adapters.elsewhere import Elsewhere  # noqa: PLC0415
    from azure.fabric.adapters.home_ledger import HomeLedger  # noqa: PLC0415
    from azure.fabric.adapters.home_settings import HomeSettings  # noqa: PLC0415
    from azure.fabric.adapters.web import Web  # noqa: PLC0415
    from shared.app.policy import stored  # noqa: PLC0415
    from shared.app.recent import Recent  # noqa: PLC0415
    from shared.models.extractive import Extractive  # noqa: PLC0415
    from shared.ports import Ports  # noqa: PLC0415

    web = Web(_HOME_SECONDS)
    there = homes.Home(web, os.environ["HOME_URL"], _token(web))
    settings, seed = HomeSettings(there), _seed()
    policy = stored(settings, lambda: seed, _now, _log.error)
    return Ports(
        tasks=homes.HomeTasks(there),
        outbox=homes.HomeOutbox(there),
        bus=homes.HomeBus(there),
        journal=homes.HomeJournal(there),
        approvals=homes.HomeApprovals(there),
        documents=cast("Documents", Elsewhere("documents", "they lie beside the home store; reviews read its journal")),
        models=Extractive(),
        pipelines=homes.HomePipelines(there, time.sleep),
        records=cast("Records", Elsewhere("records", "kept on GCP; publish on the records route")),
        ledger=HomeLedger(there),
        cache=None,
        learned=_learned(policy),  # models are called at the home
        settings=Recent(settings, _now),
        policy=policy,
        now=_now,
        spans=spans(),
    )


def _token(web: Web) -> Callable[[], str]:
    """Return the source of tokens for the home: a named place, else the function app's own identity."""
    from azure.fabric.adapters.tokens import Kept, ManagedIdentity, Place  # noqa: PLC0415  loads when it is needed

    named = os.environ.get("HOME_TOKEN")
    if named:
        return Place(web, named)
    endpoint, header = os.environ["IDENTITY_ENDPOINT"], os.environ["IDENTITY_HEADER"]  # the platform's names for them
    return Kept(ManagedIdentity(web, endpoint, header, os.environ["HOME_AUDIENCE"]), time.time)


@cache
def storage() -> Ports:
    """Return the ports on one storage account: this is the home store.

    Clients are made once per process, on first use. Their SDKs' own retries are the only ones below the engine's.
    """
    from azure.data.tables import TableClient  # noqa: PLC0415  SDKs load when they are needed
    from azure.storage.blob import ContainerClient  # noqa: PLC0415

    from azure.fabric.adapters import tables  # noqa: PLC0415
    from azure.fabric.adapters.blobs import BlobDocuments  # noqa: PLC0415
    from azure.fabric.adapters.cache import TableCache  # noqa: PLC0415
    from azure.fabric.adapters.elsewhere import Elsewhere  # noqa: PLC0415
    from azure.fabric.adapters.ledger import TableLedger  # noqa: PLC0415
    from azure.fabric.adapters.queues import StorageQueues  # noqa: PLC0415
    from azure.fabric.adapters.settings import TableSettings  # noqa: PLC0415
    from providers.deployments import Deployments  # noqa: PLC0415
    from providers.egress import egress  # noqa: PLC0415
    from providers.http import Pool  # noqa: PLC0415
    from shared.app.policy import stored  # noqa: PLC0415
    from shared.app.recent import Recent  # noqa: PLC0415
    from shared.app.together import Together  # noqa: PLC0415
    from shared.core.routes import Route  # noqa: PLC0415
    from shared.ports import Ports  # noqa: PLC0415

    account = os.environ["AzureWebJobsStorage"]  # noqa: SIM112  the Functions host's own name for it
    table = tables.Table(TableClient.from_connection_string(account, TABLE))
    settings, seed = TableSettings(table), _seed()
    policy, recent = stored(settings, lambda: seed, _now, _log.error), Recent(settings, _now)
    return Ports(
        tasks=tables.TableTasks(table),
        outbox=tables.TableOutbox(table),
        bus=StorageQueues({route: queue(account, route.value) for route in Route}),
        journal=tables.TableJournal(table),
        approvals=tables.TableApprovals(table),
        documents=BlobDocuments(ContainerClient.from_connection_string(account, CONTAINER)),
        models=Deployments(lambda: policy().candidates, os.environ, Pool(egress(os.environ.get("EGRESS", "")))),
        pipelines=cast("Pipelines", _named(os.environ["PIPELINES"])()),
        records=cast("Records", Elsewhere("records", "kept on GCP; publish on the records route")),
        ledger=TableLedger(table),
        cache=TableCache(table),
        learned=Together(_learned(policy), recent, _now),
        settings=recent,
        policy=policy,
        now=_now,
        spans=spans(),
    )


@cache
def spans() -> Exporter | None:
    """Return where spans are recorded, or None when OTEL_EXPORTER_OTLP_ENDPOINT names no collector."""
    from providers.otlp import exporter  # noqa: PLC0415  loads when it is needed

    return exporter(os.environ, cloud_provider="azure")


def flush() -> None:
    """Send what this invocation recorded: the platform may end the process at any time after it."""
    mine = spans()
    if mine is not None:
        mine.flush()


def queue(account: str, name: str, **settings: Any) -> QueueClient:  # noqa: ANN401  the SDK's own settings
    """Return a queue's client that writes messages the way the Functions host reads them."""
    from azure.storage.queue import QueueClient, TextBase64EncodePolicy  # noqa: PLC0415  loads when it is needed

    return QueueClient.from_connection_string(account, name, message_encode_policy=TextBase64EncodePolicy(), **settings)


def _now() -> datetime:
    return datetime.now(UTC)


def _learned(policy: Callable[[], Policy]) -> Learned:
    """Return what this instance learns of its own."""
    from shared.app.learned import Learned, seat_of  # noqa: PLC0415  loads when it is needed

    return Learned(seat_of(os.environ.get("WEBSITE_INSTANCE_ID", "")), lambda: policy().breaker.breaker)


def _seed() -> Policy:
    """Return the policy in force until operators write one."""
    from shared.core.policy_text import seeded  # noqa: PLC0415  loads when it is needed

    return seeded(os.environ["TENANTS"])
