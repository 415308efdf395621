"""Our own template on the local AWS: `sam build` and `sam deploy`, the same commands as for an account.

Has no process. What was built is built again only when its sources changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.stack import tools
from local.stack.gateway import complete
from local.stack.identity import AUDIENCE
from local.stack.part import ROOT, Part, Room
from local.stack.parts.ministack import REGION
from local.wiring import TENANT
from tools.package import AWS_SOURCES

STACK = "agentfabric"
_SAM = tools.in_environment(".venv-sam", "aws-sam-cli", "sam")
_PARAMETERS = {
    "EnhancedFanOut": "false",  # there is no AWS::Kinesis::StreamConsumer here
    "ExpressHostPrefix": "false",
    "InteractiveConcurrency": "0",  # a bound that comes from a parameter is a text here, and stops the poller
    "BackgroundConcurrency": "0",
    "JwtAudience": AUDIENCE,
    "Egress": "127.0.0.0/8",  # the model server is on this machine
}
_FACTS = {
    "StateMachineArn": "STATE_MACHINE_ARN",
    "InteractiveLaneUrl": "INTERACTIVE_QUEUE_URL",
    "BackgroundLaneUrl": "BACKGROUND_QUEUE_URL",
    "ReviewsQueueUrl": "REVIEWS_QUEUE_URL",
    "RecordsQueueUrl": "RECORDS_QUEUE_URL",
    "DocumentsBucket": "DOCUMENTS_BUCKET",
}
TENANTS = json.dumps({TENANT: {"four_eyes": False}}, separators=(",", ":"))  # sam splits what it is given at blanks


def _prepare(room: Room) -> Mapping[str, str]:
    """Build, deploy, do what the local CloudFormation leaves out, and say what was made."""
    sam = str(tools.required(_SAM))
    built = _build(sam, room)
    room.run(_deployment(sam, built, room.facts), _environment(room))
    return complete(STACK, room.facts, room.facts["AWS_ENDPOINT_URL"], _FACTS) | {"TENANTS": TENANTS}


def _build(sam: str, room: Room) -> Path:
    """Return the folder of the artefacts; it lies beside the data, which may be dropped without it."""
    folder = room.folder.parent.parent / "build" / "aws"
    stamp, wanted = folder / ".sources", _digest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        room.run([sam, "build", "--template", "template.yaml", "--build-dir", str(folder)], _environment(room))
        stamp.write_text(wanted)
    return folder / "template.yaml"


def _deployment(sam: str, template: Path, facts: Mapping[str, str]) -> list[str]:
    parameters = _PARAMETERS | {
        "JwtIssuer": facts["ISSUER_URL"],
        "Tenants": TENANTS.replace('"', '\\"'),
        "TracesEndpoint": facts["OTEL_EXPORTER_OTLP_ENDPOINT"],
    }
    return [
        *(sam, "deploy", "--template-file", str(template), "--stack-name", STACK, "--region", REGION),
        *("--capabilities", "CAPABILITY_IAM", "--resolve-s3", "--no-progressbar"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset"),
        *("--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())),
    ]


def _environment(room: Room) -> dict[str, str]:
    return {**os.environ, **room.facts, "SAM_CLI_TELEMETRY": "0", "PYTHON": sys.executable}


def _digest() -> str:
    seen = hashlib.sha256()
    for path in sorted(_files()):
        seen.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return seen.hexdigest()


def _files() -> Iterator[Path]:
    for name in AWS_SOURCES:
        source = ROOT / name
        inside = source.rglob("*") if source.is_dir() else [source]
        yield from (path for path in inside if path.is_file() and "__pycache__" not in path.parts)


PART = Part(
    name="deploy",
    about="template.yaml, deployed on the local AWS by sam",
    requires=(_SAM, tools.command("make", "install make", "--version")),
    needs=("identity", "ministack", "collector"),
    prepare=_prepare,
)
