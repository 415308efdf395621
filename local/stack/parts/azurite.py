"""Azure's storage: Azurite with blobs, queues and tables in the part's folder.

It writes its tables of contents down every few seconds and when it is asked to end, so a kill would lose messages that
it acknowledged.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from local.stack import sockets, tools
from local.stack.part import Command, Part, Room
from shared.core.routes import Route

_AZURITE = tools.of_node("tools/azurite", "azurite")
_SERVICES = ("blob", "queue", "table")
_ACCOUNT = "local"


def _command(room: Room) -> Command:
    flags = [word for name in _SERVICES for word in _flags(name, room.ports[name])]
    words = (str(tools.required(_AZURITE)), "--location", str(room.folder / "account"), "--silent")
    keys = {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_key(room.folder)}"}
    return Command((*words, "--disableTelemetry", "--skipApiVersionCheck", *flags), keys, room.folder)


def _flags(service: str, port: int) -> tuple[str, ...]:
    return (f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port))


def _key(folder: Path) -> str:
    """Return the account's key, made once: what is kept can be read again."""
    file = folder / "key"
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(base64.b64encode(secrets.token_bytes(64)).decode())
    return file.read_text()


def _ready(room: Room) -> bool:
    return all(sockets.listens(port) for port in room.ports.values())


def _prepare(room: Room) -> Mapping[str, str]:
    """Make the table, the container and the queues that a deployment makes."""
    from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415  SDKs load when they are needed
    from azure.data.tables import TableServiceClient  # noqa: PLC0415
    from azure.storage.blob import ContainerClient  # noqa: PLC0415

    from azure.fabric import wiring  # noqa: PLC0415

    account = _connection(room)
    with TableServiceClient.from_connection_string(account) as tables:
        tables.create_table_if_not_exists(wiring.TABLE)
    container = ContainerClient.from_connection_string(account, wiring.CONTAINER)
    queues = [wiring.queue(account, route.value) for route in Route]
    makers: list[Callable[[], object]] = [container.create_container, *(queue.create_queue for queue in queues)]
    for make in makers:
        with suppress(ResourceExistsError):
            make()
    container.close()
    for queue in queues:
        queue.close()
    return {"AzureWebJobsStorage": account}


def _connection(room: Room) -> str:
    ends = ";".join(f"{name.capitalize()}Endpoint=http://127.0.0.1:{room.ports[name]}/{_ACCOUNT}" for name in _SERVICES)
    return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_key(room.folder)};{ends};"


PART = Part(
    name="azurite",
    about="Azure's storage: blobs, queues, tables",
    requires=(_AZURITE, tools.command("node", "install Node.js", "--version")),
    ports=_SERVICES,
    command=_command,
    ready=_ready,
    prepare=_prepare,
    killable=False,
)
