"""Spanner's emulator with our schema in it. It keeps everything in memory: what it held ends with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

from local.stack import sockets, tools
from local.stack.part import ROOT, Command, Part, Room
from shared.errors import Permanent

PROJECT = "local"
_INSTANCE = f"projects/{PROJECT}/instances/agentfabric"
_DATABASE = "records"
_EMULATOR = tools.of_gcloud("cloud-spanner-emulator", "bin/cloud_spanner_emulator/gateway_main")
_DONE = {HTTPStatus.OK, HTTPStatus.CONFLICT}  # it may be there already
_SECONDS = 30.0


def _command(room: Room) -> Command:
    ports = ("--grpc_port", str(room.ports["grpc"]), "--http_port", str(room.ports["rest"]))
    return Command((str(tools.required(_EMULATOR)), "--hostname", "127.0.0.1", *ports), folder=room.folder)


def _ready(room: Room) -> bool:
    return sockets.answers(room.ports["rest"], f"/v1/projects/{PROJECT}/instanceConfigs")


def _prepare(room: Room) -> Mapping[str, str]:
    """Make instance and database by REST: a gRPC client would stay in this process with its threads."""
    config = f"projects/{PROJECT}/instanceConfigs/emulator-config"
    instance = {"config": config, "displayName": "local", "nodeCount": 1}
    _make(room, f"projects/{PROJECT}/instances", {"instanceId": "agentfabric", "instance": instance})
    statement = f"CREATE DATABASE `{_DATABASE}`"
    _make(room, f"{_INSTANCE}/databases", {"createStatement": statement, "extraStatements": statements()})
    return {
        "SPANNER_EMULATOR_HOST": f"127.0.0.1:{room.ports['grpc']}",
        "AGENTFABRIC_SPANNER": f"{_INSTANCE}/databases/{_DATABASE}",
        "SPANNER_INCARNATION": uuid4().hex,  # who knew the one before has to begin anew
    }


def _make(room: Room, place: str, what: Mapping[str, object]) -> None:
    status, body = sockets.ask(room.ports["rest"], "POST", f"/v1/{place}", json.dumps(what), seconds=_SECONDS)
    if status not in _DONE:
        raise Permanent(f"{place} answered {status}: {body.decode(errors='replace')[:500]}", code="not-made")


def statements() -> list[str]:
    """Return the schema's statements, without the comments."""
    text = (ROOT / "gcp" / "schema.sql").read_text(encoding="utf-8")
    plain = "\n".join(line.partition("--")[0] for line in text.splitlines())
    return [statement.strip() for statement in plain.split(";") if statement.strip()]


PART = Part(
    name="spanner",
    about="Spanner's emulator, with the record's schema",
    requires=(_EMULATOR,),
    ports=("grpc", "rest"),
    command=_command,
    ready=_ready,
    prepare=_prepare,
)
