"""What is installed for the stack, which version, and what installs the rest."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.stack.part import Found, Part, Requirement


@dataclass(frozen=True, slots=True)
class Finding:
    """A requirement and what was found of it; `parts` cannot start without."""

    name: str
    parts: tuple[str, ...]
    found: Found | None
    install: str

    @property
    def version(self) -> str:
        """The version; empty when it is not installed, or does not say."""
        return self.found.version if self.found else ""


def examine(parts: Sequence[Part]) -> list[Finding]:
    """Look for everything that the parts require, each requirement once."""
    known: dict[str, Requirement] = {}
    users: dict[str, list[str]] = {}
    for part in parts:
        for requirement in part.requires:
            known.setdefault(requirement.name, requirement)
            users.setdefault(requirement.name, []).append(part.name)
    ours = Finding("python", (), Found(Path(sys.executable), platform.python_version()), "")
    return [ours, *(Finding(name, tuple(users[name]), one.find(), one.install) for name, one in known.items())]
