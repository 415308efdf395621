"""What the adapters cost a cold start: nothing, until a provider is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LISTING = "import json, sys; import providers.deployments, shared.app.router; print(json.dumps(sorted(sys.modules)))"
HEAVY = ("boto3", "botocore", "google.genai", "http.client", "jsonschema", "openai", "ssl", "urllib3", "xllamacpp")


def test_no_sdk_and_no_http_client_come_along(root: Path) -> None:
    """Importing every deployment and the router loads no SDK, no HTTP client and no TLS."""
    done = subprocess.run([sys.executable, "-c", LISTING], cwd=root, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "providers.deployments" in loaded
    assert [name for name in HEAVY if name in loaded] == []
