"""Older versions of facts, lifted one version at a time to the one the code knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.errors import Permanent

Data = dict[str, Any]


def _submitted_1_to_2(data: Data) -> Data:
    """Version 1 of a submission named one document; version 2 lists them."""
    rest = {key: value for key, value in data.items() if key != "document"}
    return {**rest, "documents": [data["document"]]}


UPCASTS: dict[tuple[str, int], Callable[[Data], Data]] = {
    ("task.submitted", 1): _submitted_1_to_2,
}


def upcast(kind: str, version: int, current: int, data: Data) -> Data:
    """Return `data` of `kind` at version `current`; Permanent when there is no way from `version`."""
    for step in range(version, current):
        lift = UPCASTS.get((kind, step))
        if lift is None:
            raise Permanent(f"{kind} version {step} can no longer be read", code="unknown-version", where="dataschema")
        try:
            data = lift(data)
        except KeyError as missing:
            raise Permanent(
                f"version {step} of {kind} needs it", code="invalid", where=f"data.{missing.args[0]}"
            ) from missing
    return data
