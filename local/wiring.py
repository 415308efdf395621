"""Environment to ports, on a laptop: SQLite behind every port.

The clouds' own wiring finds `ports` here through AGENTFABRIC_PORTS=local.wiring:ports.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING

from local.policies import policy_of
from local.sqlite.broker import Broker, SqliteDeadLetters
from local.sqlite.cache import SqliteCache
from local.sqlite.documents import LocalDocuments
from local.sqlite.ledger import SqliteLedger
from local.sqlite.records import SqliteRecords
from local.sqlite.settings import SqliteSettings
from local.sqlite.tasks import SqliteApprovals, SqliteJournal, SqliteOutbox, SqliteTasks
from providers import otlp
from providers.deployments import Deployments
from providers.egress import LOOPBACK, Egress, egress
from providers.embedders import embedder
from providers.http import Pool
from shared.app.learned import Learned
from shared.app.nearby import Nearby
from shared.app.recent import Recent
from shared.app.together import Together
from shared.ports import Pipelines, Ports, Spans

if TYPE_CHECKING:
    from local.sqlite.database import Database
    from providers.otlp import Collector

_log = logging.getLogger(__name__)
TENANT = "local"
_ENVIRONMENT = {
    "AGENTFABRIC_PORTS": "local.wiring:ports",
    "AGENTFABRIC_AUTH": "none",  # who may run this process may read its files
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_LOG_LEVEL": "WARNING",  # progress is the report's to tell
}
_CURRENT: ContextVar[Ports] = ContextVar("ports")


def ports() -> Ports:
    """Return the ports of the engine at work; LookupError outside `using`."""
    return _CURRENT.get()


@contextmanager
def using(mine: Ports) -> Iterator[None]:
    """Let every cloud's handlers work on these ports."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    token = _CURRENT.set(mine)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def collector() -> Collector | None:
    """Return where spans are sent besides the state folder, if anywhere."""
    return otlp.collector(os.environ, deployment_environment_name="laptop")


def embedded(
    database: Database, pipelines: Pipelines, now: Callable[[], datetime], spans: Spans | None = None
) -> Ports:
    """Return the ports of a fabric whose every part is in this process."""
    settings = SqliteSettings(database)
    policy = policy_of(database.path.parent if database.path else None, settings, now, _log.error)
    recent = Recent(settings, now)
    return Ports(
        tasks=SqliteTasks(database),
        outbox=SqliteOutbox(database),
        bus=Broker(database),
        journal=SqliteJournal(database),
        approvals=SqliteApprovals(database),
        documents=LocalDocuments(database),
        models=Deployments(lambda: policy().candidates, os.environ, Pool(_egress())),
        pipelines=pipelines,
        records=SqliteRecords(database),
        ledger=SqliteLedger(database),
        cache=SqliteCache(database),
        learned=Together(Learned(breaker=lambda: policy().breaker.breaker), recent, now),
        settings=recent,
        policy=policy,
        now=now,
        dead_letters=SqliteDeadLetters(database),
        spans=spans,
        nearby=Nearby(embedder(os.environ.get("AGENTFABRIC_EMBEDDER", "lexical"))),
    )


def _egress() -> Egress:
    """Return where models may be asked: on the internet, in the networks that EGRESS names, and on this machine."""
    return Egress((*egress(os.environ.get("EGRESS", "")).networks, *LOOPBACK))
