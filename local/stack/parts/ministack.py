"""The local AWS: ministack, in an environment of its own, with all it keeps in the part's folder.

What it acknowledged outlives a `kill -9`: see local_aws_journal.py; S3 objects are files at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from uuid import uuid4

from local.stack import sockets, tools
from local.stack.part import ROOT, Command, Part, Room

REGION = "us-east-1"
_MINISTACK = tools.in_environment(".venv-ministack", "ministack", "ministack")


def credentials(endpoint: str) -> dict[str, str]:
    """Return the variables that lead any AWS client here, and to no account."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _command(room: Room) -> Command:
    scratch, leftovers = room.folder / "tmp", room.folder / "leftovers"
    leftovers.mkdir(exist_ok=True)
    if scratch.exists():  # with every function's unpacked code, which takes minutes to delete: local_aws.py does it
        scratch.rename(leftovers / uuid4().hex)
    scratch.mkdir()
    environment = {
        **credentials(room.address),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(room.port),
        "MINISTACK_REGION": REGION,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(room.folder / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(room.folder / "s3"),
        "TMPDIR": str(scratch),
        "AGENTFABRIC_LEFTOVERS": str(leftovers),
        "IOT_MTLS_ENABLED": "0",  # it would open a port of its own
        "SFTP_ENABLED": "0",  # likewise
    }
    python = tools.required(_MINISTACK).with_name("python")
    return Command((str(python), "-P", str(ROOT / "local/stack/local_aws.py")), environment, room.folder)


def _ready(room: Room) -> bool:
    return sockets.answers(room.port, "/_ministack/health")


def _facts(room: Room) -> Mapping[str, str]:
    return credentials(room.address)


PART = Part(
    name="ministack",
    about="local AWS: API Gateway, Lambda, Step Functions, DynamoDB, Kinesis, SQS, S3",
    requires=(_MINISTACK,),
    ports=("http",),
    command=_command,
    ready=_ready,
    prepare=_facts,
)
