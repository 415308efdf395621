"""What the Functions host and its tools read: the app, host.json, .funcignore."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from azure.fabric import names
from azure.fabric.handlers import activities, review
from azure.fabric.handlers.review import Backoff
from shared.core.workflow import Retry
from tests.azure.stage import app

if TYPE_CHECKING:
    from pathlib import Path

FUNCTIONS = {
    *("on_review_message", "post_review", "list_approvals", "get_approval", "decide"),
    *("make_link", "look_link", "decide_link"),
    *(names.REVIEW, names.REVIEW_DOCUMENT, names.APPROVAL_CHECKPOINT),
    *(names.RUN_PIPELINE, names.FAIL_DOCUMENT, names.REQUEST_APPROVAL, names.CHECK_APPROVAL, names.RECORD_DOCUMENT),
}
LISTING = "import function_app as f; print(*(one.get_function_name() for one in f.app.get_functions()))"


def test_the_app_has_every_function(root: Path) -> None:
    """The file that the host loads registers every function, under the names that orchestrators call."""
    listed = subprocess.run([sys.executable, "-c", LISTING], cwd=root, capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) == FUNCTIONS
    assert {one.get_function_name() for one in app().get_functions()} == FUNCTIONS


def test_annotations_are_classes() -> None:
    """Activities are annotated with plain classes: Azure's worker refuses to load `dict[str, Any]`."""
    handlers = [activities.run_pipeline, activities.fail_document, activities.request_approval]
    handlers += [activities.check_approval, activities.record_document]  # type: ignore[list-item]
    for handler in handlers:
        assert all(isinstance(kind, type) for kind in handler.__annotations__.values())


def test_retries_say_what_the_table_says() -> None:
    """Attempts stay attempts, seconds become milliseconds, and the extension hears of backoff and its bound."""
    assert Backoff(Retry(attempts=4, interval=1.5, backoff=2.0, max_interval=30.0)).to_json() == {
        "maxNumberOfAttempts": 4,
        "firstRetryIntervalInMilliseconds": 1500,
        "backoffCoefficient": 2.0,
        "maxRetryIntervalInMilliseconds": 30_000,
    }


def test_host_json_bounds_deliveries(root: Path) -> None:
    """A message is delivered a bounded number of times as base64, and payloads stay out of traces."""
    host = json.loads((root / "host.json").read_text(encoding="utf-8"))
    assert host["extensions"]["queues"]["maxDequeueCount"] == 5
    assert host["extensions"]["queues"]["messageEncoding"] == "base64"
    assert host["extensions"]["durableTask"]["tracing"]["traceInputsAndOutputs"] is False
    assert host["extensionBundle"]["version"].startswith("[4.")


def ignored(root: Path, path: str) -> bool:
    """Tell whether Core Tools leave a path out: each line is a regular expression from the root, to a word's end."""
    lines = (root / ".funcignore").read_text(encoding="utf-8").split()
    return any(re.match(rf"{line.replace('**/', '(.*/)?')}\b", path) for line in lines)


@pytest.mark.parametrize(
    "path",
    [
        *("function_app.py", "host.json", "requirements.txt", "azure/fabric/handlers/start.py"),
        *("azure/fabric/adapters/tables.py", "shared/app/tasks.py", "shared/tools/extract.py", "shared/render.py"),
        *("shared/models/extractive.py", "shared/core/workflow.py"),
    ],
)
def test_what_runs_is_published(root: Path, path: str) -> None:
    """Everything that the functions import is uploaded."""
    assert not ignored(root, path)


@pytest.mark.parametrize(
    "path",
    [
        *(".git/config", ".venv/bin/python", ".env", "local.settings.json", "aws/wire.py", "gcp/main.py"),
        *("local/cli/__init__.py", "tests/azure/stage.py", "benchmarks/__main__.py", "template.yaml", "docs/x.md"),
        *("shared/core/__pycache__/task.cpython-311.pyc", "requirements-dev.txt", "build/gcp/main.py"),
    ],
)
def test_what_does_not_run_is_not_published(root: Path, path: str) -> None:
    """Other clouds, tests, secrets and caches stay at home."""
    assert ignored(root, path)


def test_orchestrators_have_versions() -> None:
    """Each orchestrator's name ends in its version, so that a changed one can live beside those that run."""
    for name in (review.review_v1, review.review_document_v1, review.approval_checkpoint_v1):
        assert re.search(r"_v\d+$", name.__name__)
