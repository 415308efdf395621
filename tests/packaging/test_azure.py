"""The function app as `func` would publish it from build/azure, over its own lock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from azure.fabric import names
from tests.azure.test_deployment import FUNCTIONS
from tests.packaging.deployed import ISOLATED, Deployed, environment, relative, without

if TYPE_CHECKING:
    from pathlib import Path

STANDIN = {"AGENTFABRIC_PORTS": "standin:ports"}


def sample(root: Path, name: str) -> Any:
    """Return a recorded envelope."""
    return json.loads((root / "tests/samples/azure" / name).read_text(encoding="utf-8"))


def lost(deployed: Deployed) -> list[str]:
    """Return the imports of the app that lead nowhere."""
    files = ["function_app.py", *sorted(relative(deployed.folder, deployed.folder.glob("azure/**/*.py")))]
    found: list[str] = deployed.asked("imports", {"root": [str(deployed.folder)], "files": files})
    return found


def test_every_function_is_indexed(azure: Deployed) -> None:
    """The worker finds every function, each with its trigger."""
    triggers = azure.asked("microsoft", {"do": "index"})
    assert set(triggers) == FUNCTIONS
    assert triggers["on_review_message"] == "queueTrigger"
    assert triggers[names.REVIEW] == "orchestrationTrigger"


def test_a_message_starts_a_review(azure: Deployed, root: Path) -> None:
    """The recorded queue message starts the review that its task was placed for."""
    review = {"tenant": "acme", "task": "task-42", "run": 1, "documents": 3}
    given = {"do": "message", "message": sample(root, "queue_message.json"), "tenant": "acme", "task": "task-42"}
    ((name, instance, handed),) = azure.asked("microsoft", given, STANDIN)
    assert (name, instance) == (names.REVIEW, "task-42.1")
    assert handed | review == handed


def test_a_decision_is_answered(azure: Deployed, root: Path) -> None:
    """The recorded decision reaches the store when the platform vouches for its sender, and is refused otherwise."""
    given = {"do": "request", "request": sample(root, "http_decision.json")}
    vouched = STANDIN | {"WEBSITE_AUTH_ENABLED": "True"}
    assert azure.asked("microsoft", given, vouched) == [404, "not-found"]
    assert azure.asked("microsoft", given, STANDIN) == [401, "unauthenticated"]
    given["request"]["headers"].pop("x-ms-client-principal")
    assert azure.asked("microsoft", given, vouched) == [401, "unauthenticated"]


def test_every_import_leads_somewhere(azure: Deployed) -> None:
    """Whatever the app imports, now or later, is in its folder or in its lock."""
    assert lost(azure) == []


def test_a_missing_dependency_is_noticed(azure: Deployed, tmp_path: Path) -> None:
    """A lock without one package is reported by the files that need it."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(without((azure.folder / "requirements.txt").read_text(), "azure-data-tables"))
    broken = Deployed((str(environment(tmp_path / "venv", lock)), *ISOLATED), azure.path)
    assert "azure/fabric/adapters/tables.py: azure.data.tables" in lost(broken)
