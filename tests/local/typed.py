"""What a person types and is told: the command line in this process. Must not know what a test expects."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.cli import main
from tests.local.stage import write_corpus

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DONE, FAILED, USAGE, WAITING = 0, 1, 2, 3


@dataclass(frozen=True)
class Said:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it printed, as the JSON lines they must be."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Shell:
    """Types verbs, in a folder with documents."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def type(self, *words: str | Path) -> Said:
        """Return what the command line says."""
        self.monkeypatch.setattr(sys, "argv", ["agentfabric", *map(str, words)])
        self.capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        return Said(code, *self.capsys.readouterr())

    def run(self, **contents: str) -> Said:
        """Review documents, `name="text"` each, with classes of which some need an approval."""
        write_corpus(self.folder / "documents", {f"{name}.txt": text for name, text in contents.items()})
        return self.type("run", "documents", "--taxonomy", "asking.toml", "--json")

    def is_wide(self, columns: int) -> None:
        """Give the screen so many columns."""
        self.monkeypatch.setenv("COLUMNS", str(columns))
