"""The ports that the functions under test find through AGENTFABRIC_PORTS=tests.gcp.served:ports."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.ports import Ports

CURRENT: ContextVar[Ports] = ContextVar("ports")


def ports() -> Ports:
    """Return the ports of the test at work."""
    return CURRENT.get()
