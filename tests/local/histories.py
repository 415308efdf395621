"""What histories of the same work say wherever and whenever it was done.

May know events; must not know where they were recorded.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.events.catalog import AnyEvent

# What names a place, a moment or an id of its own, or hashes one; everything else has to be equal.
OF_ITS_OWN = frozenset(
    {"approval", "at", "call", "day", "deadline", "input_sha256", "uri", "left_micro_usd", "policy", "price_version"}
)


def said(event: AnyEvent) -> dict[str, Any]:
    """Return what an event says wherever and whenever it is said."""
    data = _without_its_own(json.loads(event.data.model_dump_json()))
    if data.get("step") == "extract":
        data.pop("output_sha256", None)  # its output is a reference, which names a place
    return {"type": event.type, "data": data}


def by_document(events: Iterable[AnyEvent]) -> dict[int | None, list[dict[str, Any]]]:
    """Return what is said of each document of a task, and under None of the task, each in its order.

    Documents are reviewed beside each other, so there is no order between them to compare.
    """
    found: dict[int | None, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        told = said(event)
        found[told["data"].get("document")].append(told)
    return dict(found)


def _without_its_own(value: Any) -> Any:
    """Return a JSON value without those names, however deep they stand."""
    if isinstance(value, dict):
        return {name: _without_its_own(inner) for name, inner in value.items() if name not in OF_ITS_OWN}
    return [_without_its_own(inner) for inner in value] if isinstance(value, list) else value
