"""Ports whose product lies on another cloud: asked here, they say where to ask instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Never

from shared.errors import Permanent


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Any port, refusing everything."""

    port: str
    where: str

    def __getattr__(self, name: str) -> Never:
        """Refuse."""
        raise Permanent(f"{self.port}.{name}: {self.where}", code="not-here")
