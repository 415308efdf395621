"""Writing events into the system of record, whatever order and shape they arrive in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core.recording import Parked, Verdict
from shared.errors import Permanent
from shared.events.catalog import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports import Ports


def record(ports: Ports, body: bytes | str, attributes: Mapping[str, str]) -> Verdict:
    """Record the event in `body`: applied, a duplicate, or parked for its entity alone.

    `attributes` are the transport's: they name tenant, entity and sequence even when the body cannot be read.
    Raises Permanent when neither says whose event it is.
    """
    try:
        event = parse(body)
    except Permanent as poison:
        ports.records.park(_poison(ports, body, attributes, poison))
        return "parked"
    return ports.records.apply(event, ports.now())


def _poison(ports: Ports, body: bytes | str, attributes: Mapping[str, str], why: Permanent) -> Parked:
    tenant, entity, sequence = (attributes.get(name, "") for name in ("tenant", "partitionkey", "sequence"))
    if not (tenant and entity and sequence.isdecimal()):
        raise why
    text = body if isinstance(body, str) else body.decode("utf-8", errors="backslashreplace")
    return Parked(tenant, entity, int(sequence), "poison", str(why), text, ports.now())
