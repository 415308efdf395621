"""The parts, one file each: a module here that has a `PART` is a part of the stack."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from local.stack.part import Part


def all_parts() -> list[Part]:
    """Return every part, each behind those it needs."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = {part.name: part for name in names if (part := getattr(import_module(f"{__name__}.{name}"), "PART", None))}
    ordered: dict[str, Part] = {}

    def add(part: Part) -> None:
        for need in part.needs:
            add(found[need])
        ordered.setdefault(part.name, part)

    for part in found.values():
        add(part)
    return list(ordered.values())
