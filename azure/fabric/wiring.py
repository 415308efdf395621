"""Environment to ports. The only file on Azure that reads settings; clients are made on first use."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.ports import Ports


def ports() -> Ports:
    """Return the ports: those that AGENTFABRIC_PORTS=`module:callable` yields, else Azure's own."""
    made: Ports = _source()()
    return made


@cache
def _source() -> Callable[[], Any]:
    chosen = os.environ.get("AGENTFABRIC_PORTS")
    if not chosen:
        return _azure
    module, _, name = chosen.partition(":")
    source: Callable[[], Any] = getattr(import_module(module), name)
    return source


def identity_is_vouched_for() -> bool:
    """Tell whether identity headers come from App Service authentication and not from the caller.

    https://learn.microsoft.com/azure/app-service/reference-app-settings: a deployed app has WEBSITE_INSTANCE_ID,
    one with authentication turned on also WEBSITE_AUTH_ENABLED. Anywhere else the host listens on loopback only.
    """
    deployed = "WEBSITE_INSTANCE_ID" in os.environ
    return not deployed or os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"


def refuse_objects_in_json() -> None:
    """Keep the durable SDK from making objects of the classes that a payload names: plain JSON in, plain JSON out."""
    os.environ["AZURE_FUNCTIONS_DURABLE_STRICT_TYPING"] = "1"


@cache
def _azure() -> Ports:
    what = "not every port has an Azure adapter yet; set AGENTFABRIC_PORTS=module:callable"
    raise Permanent(what, code="not-wired")
