"""The functions as gcloud would upload them from build/gcp, over their own lock, served by functions-framework."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.gcp.emulators import free_port, running
from tests.packaging.deployed import HERE, ISOLATED, PROBES, Deployed, environment, relative, without

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def serving(deployed: Deployed, target: str, applied: Path) -> Iterator[str]:
    """Serve a function; yield its address."""
    port = free_port()
    words = [
        "--source",
        str(deployed.folder / "main.py"),
        "--target",
        target,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    job = {"path": [str(PROBES)], "allowed": [], "probe": "google_serve", "given": words}
    told = applied.with_suffix(".job")
    told.write_text(json.dumps(job))
    settings = {
        "AGENTFABRIC_PORTS": "standin:ports",
        "AGENTFABRIC_AUTH": "none",
        "APPLIED": str(applied),
        "GUNICORN_LOG_LEVEL": "info",
    }
    start = 'exec "$@" < "$JOB"'
    command = ["sh", "-c", start, "sh", *deployed.python, str(HERE / "boot.py")]
    with running(command, "Listening at", {**settings, "JOB": str(told)}, deployed.folder.parent):
        yield f"http://127.0.0.1:{port}/"


def post(url: str, body: bytes) -> int:
    """Post as Pub/Sub does; return the status."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  loopback
            return int(response.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code


def lost(deployed: Deployed) -> list[str]:
    """Return the imports of the functions that lead nowhere."""
    files = ["main.py", *sorted(relative(deployed.folder, deployed.folder.glob("gcp/**/*.py")))]
    found: list[str] = deployed.asked("imports", {"root": [str(deployed.folder)], "files": files})
    return found


def test_a_push_is_recorded(gcp: Deployed, root: Path, tmp_path: Path) -> None:
    """The recorded push is applied and answered 204; what is no push is refused."""
    applied = tmp_path / "applied"
    event = json.loads((root / "tests/samples/event.json").read_text(encoding="utf-8"))
    with serving(gcp, "record", applied) as url:
        assert post(url, (root / "tests/samples/gcp/push.json").read_bytes()) == 204
        assert applied.read_text() == f"{event['id']} 12:00"
        assert post(url, b"{}") == 400


def test_every_import_leads_somewhere(gcp: Deployed) -> None:
    """Whatever the functions import, now or later, is in their folder or in their lock."""
    assert lost(gcp) == []


def test_a_missing_dependency_is_noticed(gcp: Deployed, tmp_path: Path) -> None:
    """A lock without one package is reported by the files that need it."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(without((gcp.folder / "requirements.txt").read_text(), "google-cloud-spanner"))
    broken = Deployed((str(environment(tmp_path / "venv", lock)), *ISOLATED), gcp.path)
    assert "gcp/adapters/spanner.py: google.cloud.spanner_v1" in lost(broken)
