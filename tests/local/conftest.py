"""The fabric that the tests of the embedded engine start from, and the shell that those of the verbs type into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.stage import ASKING, PLAIN, Fabric, fabric, write_corpus
from tests.local.typed import Shell


@pytest.fixture
def memory() -> Iterator[Fabric]:
    """A fabric in memory."""
    with fabric() as opened:
        yield opened


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in an empty folder, but for taxonomies."""
    write_corpus(tmp_path, {"asking.toml": ASKING, "plain.toml": PLAIN})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("AGENTFABRIC_HOME", raising=False)
    return Shell(tmp_path, monkeypatch, capsys)
