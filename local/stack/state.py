"""What runs, in a file: so that another process can look, add, and stop.

Written whole at every change and replaced in one move. Only its owner may read it: facts carry keys of emulators.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from local.stack import processes
from local.stack.processes import Process

_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A part that was started: its process (None when it has none), its ports, and what it says.

    `given` is a digest of what the parts it needs said when it was started.
    """

    process: Process | None
    ports: Mapping[str, int]
    facts: Mapping[str, str] = field(default_factory=dict)
    ready: bool = False
    given: str = ""


@dataclass(slots=True)
class State:
    """Everything that was started; `mark` is what all of its processes carry."""

    mark: str
    boot: str
    entries: dict[str, Entry]

    def lives(self, name: str) -> bool:
        """Tell whether a part runs: its process, or for one without a process, that it was prepared."""
        entry = self.entries.get(name)
        if entry is None or not entry.ready:
            return False
        return entry.process is None or processes.is_alive(entry.process)


def load(folder: Path) -> State:
    """Read the state; what was written before the machine was restarted runs no more."""
    try:
        raw: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        entries = {name: _entry(value) for name, value in raw["parts"].items()}
        found = State(raw["mark"], raw["boot"], entries)
    except (OSError, ValueError, KeyError, TypeError):
        return State(uuid4().hex, processes.boot(), {})
    if found.boot != processes.boot():
        gone = {name: Entry(None, entry.ports) for name, entry in found.entries.items()}
        return State(uuid4().hex, processes.boot(), gone)
    return found


def save(folder: Path, state: State) -> None:
    """Replace the file."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: asdict(entry) for name, entry in state.entries.items()}
    text = json.dumps({"mark": state.mark, "boot": state.boot, "parts": parts}, indent=1)
    fresh = folder / f"{_FILE}.new"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(folder / _FILE)


def facts(folder: Path) -> dict[str, str]:
    """Return what all running parts said: the variables with which a client finds them."""
    state = load(folder)
    living = (entry for name, entry in state.entries.items() if state.lives(name))
    return {key: value for entry in living for key, value in entry.facts.items()}


def _entry(value: dict[str, Any]) -> Entry:
    process = None if value["process"] is None else Process(**value["process"])
    return Entry(process, value["ports"], value["facts"], value["ready"], value["given"])
