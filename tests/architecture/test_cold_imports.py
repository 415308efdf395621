"""A handler's import brings nothing heavy along and needs no setting: a cold start pays for both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.architecture.source import tracked

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = (
    "azure.data",
    "azure.storage",
    "boto3",
    "botocore.client",
    "botocore.session",
    "bs4",
    "google.cloud.pubsub",
    "google.cloud.pubsub_v1",
    "google.cloud.spanner",
    "google.cloud.spanner_v1",
    "identify",
    "moto",
    "openai",
    "pypdf",
)
LISTING = "import importlib, json, sys; importlib.import_module({!r}); print(json.dumps(sorted(sys.modules)))"


def entry_points() -> list[str]:
    """Return the modules that a cloud imports first."""
    handlers = [path for path in tracked() if path.startswith("aws/handlers/") and path.endswith(".py")]
    found = [*handlers, *(path for path in ("gcp/main.py", "function_app.py") if path in tracked())]
    return [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in found]


def imported_by(module: str, folder: Path) -> list[str]:
    """Return what a fresh interpreter without any setting has loaded after one import."""
    command = [sys.executable, "-c", LISTING.format(module)]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return [str(name) for name in json.loads(done.stdout)]


def heavy_in(modules: list[str]) -> list[str]:
    """Return the heavy SDKs among loaded modules."""
    loaded = set(modules)
    return [name for name in HEAVY if name in loaded]


@pytest.mark.parametrize("module", entry_points())
def test_an_entry_point_imports_nothing_heavy(module: str, root: Path) -> None:
    """A cloud's entry point imports in a fresh interpreter, without settings and without a heavy SDK."""
    assert heavy_in(imported_by(module, root)) == []


def test_a_heavy_import_is_noticed(tmp_path: Path) -> None:
    """A handler that imports a heavy SDK at its top is reported by that SDK's name."""
    (tmp_path / "planted_handler.py").write_text("import pypdf\n")
    assert heavy_in(imported_by("planted_handler", tmp_path)) == ["pypdf"]


def test_a_setting_read_at_import_is_noticed(tmp_path: Path) -> None:
    """A handler that needs a setting to be imported fails here, where there is none."""
    (tmp_path / "planted_handler.py").write_text("import os\nTABLE = os.environ['TABLE']\n")
    with pytest.raises(AssertionError, match="KeyError"):
        imported_by("planted_handler", tmp_path)
