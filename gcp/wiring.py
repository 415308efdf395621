"""Environment to ports and gate on GCP: the only file here that reads the environment.

AGENTFABRIC_PORTS     `module:callable` that returns the ports; without it they are Spanner and Pub/Sub:
AGENTFABRIC_SPANNER   projects/…/instances/…/databases/…
AGENTFABRIC_TOPIC     projects/…/topics/… where events for the record go; not needed to receive them
AGENTFABRIC_AUTH      `oidc` (the default) or, on one machine behind no network, `none`
AGENTFABRIC_AUDIENCE  whom tokens must be meant for
AGENTFABRIC_PUSHER    the service account of the push subscription
AGENTFABRIC_CALLERS   JSON: which tenant each account may read; `_quarantine` is what nobody owns
AGENTFABRIC_OPERATORS comma-separated: which of these may skip a parked number, too; nobody by default
AGENTFABRIC_ISSUERS   comma-separated, Google's by default; AGENTFABRIC_CERTS is where their keys are
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Never

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gcp.adapters.identity import Gate
    from shared.ports import Bus, Ports, Records

_EMULATOR = "SPANNER_EMULATOR_HOST"
_EMULATOR_RETRY_DELAY = 0.02  # it names no delay of its own, and the SDK would then wait for seconds


def ports() -> Ports:
    """Return the ports; which ones is settled by the first call."""
    return _source()()


@cache
def _source() -> Callable[[], Ports]:
    named = os.environ.get("AGENTFABRIC_PORTS")
    if named:
        module, _, attribute = named.partition(":")
        source: Callable[[], Ports] = getattr(import_module(module), attribute)
        return source
    made = _google_ports()
    return lambda: made


def _google_ports() -> Ports:
    from shared.ports import Ports  # noqa: PLC0415  not needed where the ports come from elsewhere

    topic = os.environ.get("AGENTFABRIC_TOPIC", "")
    elsewhere: Any = _Elsewhere()
    return Ports(
        tasks=elsewhere,
        outbox=elsewhere,
        bus=_bus(topic) if topic else elsewhere,
        journal=elsewhere,
        approvals=elsewhere,
        documents=elsewhere,
        models=elsewhere,
        pipelines=elsewhere,
        records=_records(_setting("AGENTFABRIC_SPANNER")),
        ledger=elsewhere,
        cache=None,
        learned=elsewhere,
        settings=elsewhere,
        policy=lambda: elsewhere.policy,
        now=lambda: datetime.now(UTC),
    )


class _Elsewhere:
    """A need that another cloud fills."""

    def __getattr__(self, name: str) -> Never:
        raise Permanent(f"nothing on GCP answers {name!r}; it lives in another cloud", code="not-wired")


def _records(path: str) -> Records:
    emulated = _EMULATOR in os.environ
    if emulated:
        # The emulator loses half of the concurrent transactions on multiplexed sessions.
        os.environ.setdefault("GOOGLE_CLOUD_SPANNER_MULTIPLEXED_SESSIONS_FOR_RW", "false")
    from google.cloud.spanner_v1 import Client  # noqa: PLC0415  heavy: loaded by the first request, not by the import

    from gcp.adapters.spanner import SpannerRecords  # noqa: PLC0415  heavy, as above

    _, project, _, instance, _, database = path.split("/")
    return SpannerRecords(
        Client(project).instance(instance).database(database),
        retry_delay=_EMULATOR_RETRY_DELAY if emulated else None,
    )


def _bus(topic: str) -> Bus:
    from gcp.adapters.pubsub import PubsubBus, publisher  # noqa: PLC0415  heavy, as above

    return PubsubBus(publisher(), topic)


@cache
def gate() -> Gate:
    """Return who decides about callers. Without a word in the environment nobody comes in unverified."""
    from gcp.adapters.identity import GOOGLE, GOOGLE_CERTS, OidcGate, OpenGate, Tokens  # noqa: PLC0415  heavy, as above

    kind = os.environ.get("AGENTFABRIC_AUTH", "oidc")
    if kind == "none":
        return OpenGate()
    if kind != "oidc":
        raise Permanent(f"AGENTFABRIC_AUTH is {kind!r}; it is `oidc` or `none`", code="not-configured")
    issuers = os.environ.get("AGENTFABRIC_ISSUERS")
    tokens = Tokens(
        audience=_setting("AGENTFABRIC_AUDIENCE"),
        issuers=tuple(issuers.split(",")) if issuers else GOOGLE,
        certs_url=os.environ.get("AGENTFABRIC_CERTS", GOOGLE_CERTS),
    )
    callers = json.loads(os.environ.get("AGENTFABRIC_CALLERS", "{}"))
    operators = frozenset(filter(None, os.environ.get("AGENTFABRIC_OPERATORS", "").split(",")))
    return OidcGate(tokens, pusher=os.environ.get("AGENTFABRIC_PUSHER", ""), callers=callers, operators=operators)


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise Permanent(f"{name} is not set", code="not-configured")
    return value
